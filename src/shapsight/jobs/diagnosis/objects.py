"""Where things of each category are in some pictures, from a COCO file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool
from numpy import ndarray

from shapsight.data.annotations import Shapes, read_categories
from shapsight.data.roi import Roi
from shapsight.errors import DataError

FEWEST = 2  # categories: one alone is a region of interest


def object_masks(
    spec: str | None, roi: str | None, rows: pd.DataFrame, size: int
) -> dict[str, Bool[ndarray, "rows size size"]]:
    """Masks of each category at the size that the model sees; empty where no file names several.

        object_masks("coco.json", None, rows, 224)["chair"]

    Without `spec` the region of interest's file is looked into. Raises `DataError` for a `spec` that is no COCO file of
    two categories or more.
    """
    categories = read_categories(Path(spec or roi or ""))
    if len(categories) < FEWEST:
        if spec is not None:
            raise DataError(f"{spec} is no COCO file with {FEWEST} categories or more: --objects needs one")
        return {}
    return {name: _masks(name, shapes, rows, size) for name, shapes in categories.items()}


def _masks(
    name: str, shapes: Mapping[str, Shapes], rows: pd.DataFrame, size: int
) -> Bool[ndarray, "rows size size"]:
    of_name = {PurePosixPath(path).name: shape for path, shape in shapes.items()}

    def draw(row: Mapping[Any, Any]) -> Bool[ndarray, "height width"]:
        found = shapes.get(row["path"]) or of_name.get(PurePosixPath(row["path"]).name) or Shapes()
        return found.draw(row["width"], row["height"])

    region = Roi(name, draw)
    return np.stack([region.mask(row, size) for row in rows.to_dict("records")])
