"""What the model answers to every changed picture: variants, each region on each scene, and patches of scenes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from numpy import ndarray

from shapsight.attribution.regions import RegionShap
from shapsight.attribution.shared.outputs import Outputs, TopK
from shapsight.diagnosis.changes import Effects
from shapsight.diagnosis.crossed import share_table
from shapsight.diagnosis.interventions import scene_patches
from shapsight.diagnosis.scene_patches import Patches, ranked_patches
from shapsight.studies.diagnose.case import Report
from shapsight.studies.diagnose.why.swaps import (
    LABEL,
    Swapping,
    asked_in_all,
    measure_variants,
    predict_pairs,
    predict_variants,
    variant_table,
)

GRID = (4, 4)
BLUR = 4  # a hidden patch becomes a blur of a quarter of the width; a fill from its neighbours would tell of them


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


@dataclass(frozen=True, eq=False)
class Answers:
    """All that the numbers, sentences and pictures of this part are made from.

    Attributes
        said: by variant, what the model says.
        effects: by target (or "label") and variant.
        variants: the same as a table.
    """

    swaps: Swapping
    said: Mapping[str, ndarray]
    effects: Mapping[str, Mapping[str, Effects]]
    variants: pd.DataFrame
    crossing: Crossing
    patches: Patches | None


def ask(swaps: Swapping, crossed: int, patch_images: int, evaluations: int, report: Report) -> Answers:
    """Ask the model about every changed picture; the progress counts pictures."""
    design = min(crossed, len(swaps.pieces))
    taken_apart = spread_out(swaps, min(patch_images, len(swaps.pieces)))
    total = asked_in_all(swaps) + design**2 + len(taken_apart) * evaluations
    asked = 0

    def done(images: int) -> None:
        nonlocal asked
        asked += images
        report(min(asked, total), total)

    said = predict_variants(swaps, done)
    effects = measure_variants(swaps, said)
    crossing = cross(swaps, design, done)
    patches = None
    if len(taken_apart):
        patches = take_apart(swaps, taken_apart, evaluations, done)
    report(total, total)
    return Answers(swaps, said, effects, variant_table(effects, swaps), crossing, patches)


def cross(swaps: Swapping, size: int, done: Callable[[int], None]) -> Crossing:
    """Predict `size` regions on as many scenes, as many of each environment, spread over the first target."""
    images = spread_out(swaps, size)
    regions, scenes = (grid.ravel() for grid in np.meshgrid(images, images, indexing="ij"))
    said = predict_pairs(swaps, regions, scenes, done)
    predictions = said.reshape(len(images), len(images), -1)
    environments = swaps.environments[images]
    card, seed = swaps.case.bundle.card, swaps.case.seed
    targets = {LABEL: slice(None)} if card.class_names else {}
    targets |= {
        name: slice(n, n + 1) for n, name in enumerate(card.output_names) if name in swaps.case.targets
    }
    shares = share_table(predictions, environments, targets, seed=seed)
    return Crossing(images, environments, predictions, shares)


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


def take_apart(
    swaps: Swapping, images: Int[ndarray, "images"], evaluations: int, done: Callable[[int], None]
) -> Patches:
    """Shapley values of the region and of the patches of a grid of the scene, for the first target or the class said.

    A hidden patch is blurred.
    """
    bundle, targets = swaps.case.bundle, swaps.case.targets
    pixels, masks = swaps.pieces.images[torch.from_numpy(images)], swaps.pieces.masks.numpy()[images]
    labels = scene_patches(masks, *GRID)
    values = np.zeros((len(images), 1 + GRID[0] * GRID[1]))
    side = max(2, pixels.shape[-1] // BLUR)
    masker = f"blur({side},{side})"
    outputs: Outputs = [targets[0]] if targets else TopK(1)
    for number in range(len(images)):
        # Numbers of patches that are all region are left out, so that the others count on from 0.
        present, compact = np.unique(labels[number], return_inverse=True)
        explainer = RegionShap(
            bundle.on_pictures, masker, compact.reshape(labels[number].shape), "kernel", max_evals=evaluations,
            output_names=bundle.card.output_names, seed=swaps.case.seed,
        )  # fmt: skip
        found = explainer.by_region(pixels[number : number + 1], outputs)
        values[number, present] = found.values[0, 0].cpu().double().numpy()
        done(evaluations)
    return ranked_patches(images, values, labels, swaps.environments[images], GRID)
