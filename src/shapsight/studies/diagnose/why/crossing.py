"""Some regions on some scenes, each with each: what of the prediction follows the region, and what the scene."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from numpy import ndarray

from shapsight.diagnosis.crossed import scene_share_interval, variance_shares
from shapsight.diagnosis.groups import EVERY
from shapsight.studies.diagnose.why.swaps import LABEL, Swapping, predict_pairs


@dataclass(frozen=True, eq=False)
class Crossing:
    """A crossed design: `predictions[i, j]` is what the model says of region i on scene j.

    Attributes
        images: positions among the swapped rows; region i and scene i are of the same image, by environment and target.
        shares: one row a target and place (an environment, or all): `scene`, `region` (Shapley values as shares of the
            variance), `scene_alone`, `region_alone`, `together`, and an interval of `scene`.
    """

    images: Int[ndarray, "images"]
    environments: ndarray
    predictions: Float[ndarray, "images images outputs"]
    shares: pd.DataFrame


def cross(swaps: Swapping, size: int, done: Callable[[int], None]) -> Crossing:
    """Predict `size` regions on as many scenes, as many of each environment, spread over the first target."""
    images = spread_out(swaps, size)
    regions, scenes = (grid.ravel() for grid in np.meshgrid(images, images, indexing="ij"))
    said = predict_pairs(swaps, regions, scenes, done)
    predictions = said.reshape(len(images), len(images), -1)
    environments = swaps.environments[images]
    return Crossing(images, environments, predictions, _shares(swaps, predictions, environments))


def spread_out(swaps: Swapping, size: int) -> Int[ndarray, "images"]:
    """At most `size` images, as many of each environment as there are, at even steps of the target."""
    places = list(dict.fromkeys(swaps.environments.tolist()))
    order = swaps.rows[swaps.case.targets[0] if swaps.case.targets else LABEL].to_numpy()
    chosen: list[int] = []
    for number, place in enumerate(places):
        rows = np.flatnonzero(swaps.environments == place)
        rows = rows[np.argsort(order[rows], kind="stable")]
        count = min(len(rows), size // len(places) + (number < size % len(places)))
        chosen += rows[np.linspace(0, len(rows) - 1, count).round().astype(int)].tolist() if count else []
    return np.array(chosen, int)


def _shares(swaps: Swapping, predictions: ndarray, environments: ndarray) -> pd.DataFrame:
    card = swaps.case.bundle.card
    targets = {LABEL: slice(None)} if card.class_names else {}
    targets |= {
        name: slice(n, n + 1) for n, name in enumerate(card.output_names) if name in swaps.case.targets
    }
    records = []
    for target, columns in targets.items():
        for place in dict.fromkeys((EVERY, *environments)):
            rows = np.flatnonzero((environments == place) | (place == EVERY))
            if len(rows) < 2:
                continue
            block = predictions[np.ix_(rows, rows)][..., columns]
            low, high = scene_share_interval(block, seed=swaps.case.seed)
            records.append(
                {"target": target, "environment": place, "images": len(rows)}
                | vars(variance_shares(block))
                | {"scene_low": low, "scene_high": high}
            )
    return pd.DataFrame(records)
