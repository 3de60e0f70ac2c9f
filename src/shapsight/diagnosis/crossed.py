"""How much of a prediction comes from the region and how much from the scene: every region on every scene."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from shapsight.diagnosis.groups import EVERY
from shapsight.diagnosis.intervals import drawn_pairs, interval
from shapsight.errors import DataError

TINY = 1e-12  # of the largest squared prediction: less variance than that is rounding


@dataclass(frozen=True)
class VarianceShares:
    """The variance of predictions over a crossed design, shared out; see `variance_shares`.

    Attributes
        variance: of all predictions, in squared units of the output.
        region_alone, scene_alone, together: main effects and interaction as shares of it, which sum to 1; NaN where
            predictions do not vary.
        region, scene: the Shapley values of the two as shares, main effect plus half of the interaction; they sum to 1.
    """

    variance: float
    region_alone: float
    scene_alone: float
    together: float
    region: float
    scene: float


def variance_shares(predictions: Float[ndarray, "regions scenes *outputs"]) -> VarianceShares:
    """Two-way analysis of variance of `predictions[i, j]`, the prediction for region i on scene j.

        variance_shares(np.add.outer([0.0, 1.0], [0.0, 2.0]))      # region 0.2, scene 0.8, together 0

    `predictions[i, j] = mean + region_i + scene_j + rest_ij`, and the variances of the three parts, over all pairs
    alike, sum to the whole variance. With the value `v(S) = Var(E[prediction | S])` of knowing some of the two,
    their Shapley values are the main effect plus half of the interaction (Owen 2014, Sobol' indices and Shapley value).
    With several outputs, such as the probabilities of classes, variances are summed over them.
    Raises `DataError` for fewer than two regions or scenes, and for predictions that are not finite.
    """
    values = np.asarray(predictions, dtype=float)
    if values.ndim < 2 or min(values.shape[:2]) < 2:
        raise DataError(f"a crossed design needs two regions and two scenes or more, not {values.shape}")
    if not np.isfinite(values).all():
        raise DataError("the predictions of a crossed design must be finite numbers")
    parts = _parts(values)
    total = parts.sum()
    if total <= TINY * max(1e-30, float(np.square(values).max())):
        return VarianceShares(float(total), np.nan, np.nan, np.nan, np.nan, np.nan)
    region, scene, together = (float(part / total) for part in parts)
    return VarianceShares(float(total), region, scene, together, region + together / 2, scene + together / 2)


def scene_share_interval(
    predictions: Float[ndarray, "regions scenes *outputs"],
    *,
    resamples: int = 500,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """The ends of an interval of `variance_shares(...).scene`; NaN where predictions do not vary.

    Regions and scenes are drawn with replacement, each on its own (the pigeonhole bootstrap, Owen 2007).
    """
    values = np.asarray(predictions, dtype=float)
    generator = np.random.default_rng(seed)
    drawn = []
    for rows, columns in drawn_pairs(values.shape, generator, resamples):
        region, scene, together = _parts(values[np.ix_(rows, columns)])
        total = region + scene + together
        drawn.append((scene + together / 2) / total if total > 0 else np.nan)
    return interval(np.array(drawn), level)


def share_table(
    predictions: Float[ndarray, "images images outputs"],
    environments: ndarray,
    targets: Mapping[str, slice],
    *,
    seed: int = 0,
) -> pd.DataFrame:
    """`variance_shares` of each target and place, an environment or all, with an interval of the scene's.

        share_table(predictions, np.array(["home", "away"]), {"x": slice(0, 1)})

    Region i and scene i are of the same image, from `environments[i]`; a target is some of the outputs.
    Columns: `target, environment, images`, the fields of `VarianceShares`, `scene_low, scene_high`.
    """
    records = []
    for target, columns in targets.items():
        for place in dict.fromkeys((EVERY, *environments)):
            rows = np.flatnonzero((environments == place) | (place == EVERY))
            if len(rows) < 2:
                continue
            block = predictions[np.ix_(rows, rows)][..., columns]
            low, high = scene_share_interval(block, seed=seed)
            records.append(
                {"target": target, "environment": place, "images": len(rows)}
                | vars(variance_shares(block))
                | {"scene_low": low, "scene_high": high}
            )
    return pd.DataFrame(records)


def _parts(values: Float[ndarray, "regions scenes *outputs"]) -> Float[ndarray, "3"]:
    """The variances of the region's part, the scene's part and the rest."""
    regions, scenes = values.mean(1, keepdims=True), values.mean(0, keepdims=True)
    rest = values - regions - scenes + values.mean((0, 1))
    return np.array([part.var((0, 1)).sum() for part in (regions, scenes, rest)])
