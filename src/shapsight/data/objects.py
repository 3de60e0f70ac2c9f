"""Kinds of objects in images: a mask for each kind that annotations name, such as track, chair and window."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool
from numpy import ndarray

from shapsight.data.annotations import Shapes, read_categories, refuse_another_size, shapes_of
from shapsight.data.framing import Framing, framing_of
from shapsight.errors import DataError

GRAMMAR = (
    "Objects are read from a COCO file (its categories), a CSV of boxes (path, left, top, right, bottom, category), or "
    "LabelMe (its labels): one file for all images, or a folder with room_1/112_98_a.json for room_1/112_98_a.jpg."
)


def object_masks(
    source: str | os.PathLike[str], rows: pd.DataFrame, size: int | Framing
) -> dict[str, Bool[ndarray, "images height width"]]:
    """The masks of each kind of object in some rows of a manifest's table, at the size that the model sees.

        object_masks("annotations.json", manifest.table, 224)       # {"chair": (images, 224, 224), "track": ...}

    A kind that an image does not show has an empty mask there. Kinds may overlap. `source` is a COCO file, a CSV of
    boxes with a column `category`, a LabelMe file for all images, or a folder with one for each.
    Raises `DataError` for another file, an image that the annotations do not list, or one of another size.
    """
    path = Path(source)
    if not path.exists():
        raise DataError(f"there is no {path}. {GRAMMAR}")
    found: dict[str, ndarray] = {}
    framing = framing_of(size)
    shared = None if path.is_dir() else read_categories(path, GRAMMAR)
    for number, row in enumerate(rows.to_dict("records")):
        kinds = _of_image(path, str(row["path"])) if shared is None else shared
        for kind, shapes in kinds.items():
            mask = _drawn(path, shapes, row)
            masks = found.setdefault(kind, np.zeros((len(rows), *framing.size), bool))
            masks[number] = framing.mask(mask)
    return dict(sorted(found.items()))


def _of_image(folder: Path, name: str) -> dict[str, Shapes | dict[str, Shapes]]:
    path = (folder / name).with_suffix(".json")
    if not path.is_file():
        raise DataError(f"there are no annotations of {name}: looked for {path}. {GRAMMAR}")
    return read_categories(path, GRAMMAR)


def _drawn(
    path: Path, shapes: Shapes | dict[str, Shapes], row: Mapping[Any, Any]
) -> Bool[ndarray, "height width"]:
    found = shapes if isinstance(shapes, Shapes) else shapes_of(shapes, str(row["path"]), path)
    if found.size is not None:
        refuse_another_size(f"{path} was drawn on an image of", found.size, row)
    return found.draw(int(row["width"]), int(row["height"]))
