"""Which places of the scene matter most, from the Shapley values of its patches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from numpy import ndarray

from shapsight.diagnosis.groups import EVERY

ROWS, COLUMNS = (
    ("top", "upper middle", "lower middle", "bottom"),
    ("left", "centre left", "centre right", "right"),
)


@dataclass(frozen=True, eq=False)
class Patches:
    """RegionSHAP values of the patches of some scenes.

    Attributes
        images: which they are, by their positions.
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


def ranked_patches(
    images: Int[ndarray, "images"],
    values: Float[ndarray, "images patches"],
    labels: Int[ndarray, "images height width"],
    environments: ndarray,
    grid: tuple[int, int],
) -> Patches:
    """The patches of a grid in each environment and in all, the largest mean absolute value first."""
    sizes = np.abs(values[:, 1:])
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
