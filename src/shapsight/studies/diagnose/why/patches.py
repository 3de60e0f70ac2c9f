"""Which places of the scene matter most: exact questions of a black box, patch by patch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from numpy import ndarray

from shapsight.attribution.explain import EightBitModel
from shapsight.attribution.regions import RegionShap
from shapsight.attribution.shared.outputs import Outputs, TopK
from shapsight.attribution.shared.progress import Report
from shapsight.diagnosis.groups import EVERY
from shapsight.diagnosis.interventions import scene_patches
from shapsight.studies.diagnose.why.swaps import Swapping

BLUR = 4  # a hidden patch becomes a blur of a quarter of the width; a fill from its neighbours would tell of them
ROWS, COLUMNS = (
    ("top", "upper middle", "lower middle", "bottom"),
    ("left", "centre left", "centre right", "right"),
)


@dataclass(frozen=True, eq=False)
class Patches:
    """RegionSHAP values of the patches of some scenes.

    Attributes
        images: positions among the swapped rows.
        values: of the region of interest first, then of each patch of the grid; 0 for a patch that is all region.
        labels: each pixel's number among them.
        ranking: one row a patch and environment: `environment, rank, row, column, place, images, value` (mean absolute
            value over images), `share` of what all patches of the scene have.
        scene_share: the mean absolute value of all patches of the scene, over that of scene and region.
    """

    images: Int[ndarray, "images"]
    values: Float[ndarray, "images patches"]
    labels: Int[ndarray, "images height width"]
    ranking: pd.DataFrame
    scene_share: float


def rank_patches(
    swaps: Swapping, images: Int[ndarray, "images"], grid: tuple[int, int], evaluations: int, report: Report
) -> Patches:
    """Shapley values of the region and of the patches of a grid of the scene, for the first target or the class said.

    A hidden patch is blurred.
    """
    bundle, targets = swaps.case.bundle, swaps.case.targets
    model = EightBitModel(bundle.model, bundle.card.mean, bundle.card.std).eval()
    pixels, masks = swaps.pieces.images[torch.from_numpy(images)], swaps.pieces.masks.numpy()[images]
    labels = scene_patches(masks, *grid)
    values = np.zeros((len(images), 1 + grid[0] * grid[1]))
    side = max(2, pixels.shape[-1] // BLUR)
    masker = f"blur({side},{side})"
    outputs: Outputs = [targets[0]] if targets else TopK(1)
    for number in range(len(images)):
        # Numbers of patches that are all region are left out, so that the others count on from 0.
        present, compact = np.unique(labels[number], return_inverse=True)
        explainer = RegionShap(
            model, masker, compact.reshape(labels[number].shape), "kernel", max_evals=evaluations,
            output_names=bundle.card.output_names, seed=swaps.case.seed,
        )  # fmt: skip
        found = explainer.by_region(pixels[number : number + 1], outputs)
        values[number, present] = found.values[0, 0].cpu().double().numpy()
        report(number + 1, len(images))
    return _ranked(swaps, images, values, labels, grid)


def _ranked(
    swaps: Swapping, images: ndarray, values: ndarray, labels: ndarray, grid: tuple[int, int]
) -> Patches:
    sizes = np.abs(values[:, 1:])
    environments = swaps.environments[images]
    records = []
    for place in dict.fromkeys((*environments, EVERY)):
        rows = (environments == place) | (place == EVERY)
        means = sizes[rows].mean(0)
        total = means.sum()
        for rank, patch in enumerate(np.argsort(-means, kind="stable"), start=1):
            row, column = divmod(int(patch), grid[1])
            if not (labels[rows] == patch + 1).any():
                continue
            records.append(
                {
                    "environment": place,
                    "rank": rank,
                    "row": row + 1,
                    "column": column + 1,
                    "place": place_of(row, column, grid),
                    "images": int(rows.sum()),
                    "value": float(means[patch]),
                    "share": float(means[patch] / total) if total > 0 else np.nan,
                }
            )
    scene, region = float(sizes.sum(1).mean()), float(np.abs(values[:, 0]).mean())
    share = scene / (scene + region) if scene + region > 0 else np.nan
    return Patches(images, values, labels, pd.DataFrame(records), share)


def place_of(row: int, column: int, grid: tuple[int, int]) -> str:
    """Where a patch is, in words for a grid of 4 × 4 and in numbers for others."""
    if grid == (len(ROWS), len(COLUMNS)):
        return f"{ROWS[row]}, {COLUMNS[column]}"
    return f"row {row + 1} of {grid[0]}, column {column + 1} of {grid[1]}"
