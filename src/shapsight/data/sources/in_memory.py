"""Images that are objects beside their targets: lists, arrays and tensors, or a column of a pandas DataFrame."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from shapsight.data.pictures import KINDS, Pictures, is_image, numbered
from shapsight.data.rules import ITEM_PATH
from shapsight.data.sources.asked import Asked
from shapsight.data.sources.listing import Listing
from shapsight.data.sources.table_file import (
    list_columns,
    list_paths,
    path_column_of,
    without_categories,
)
from shapsight.data.sources.targets_given import Columns, target_columns_of
from shapsight.errors import DataError

EXPECTED = f"An image is {KINDS}."


def list_given(columns: Columns, pictures: Pictures, name: str, asked: Asked, said: str = "") -> Listing:
    """Images that are no files, and the columns that were given beside them.

    `name` stands for the dataset in messages; `said` tells where the targets were found.
    """
    table = asked.with_columns(columns.table)
    table = table.rename(columns={"path": ITEM_PATH}).assign(path=list(pictures.names))
    listing = list_columns(table, Path(name), name)
    return replace(
        listing,
        pictures=pictures,
        may_lack_targets=True,
        class_names=columns.class_names,
        notes=(*columns.notes, *_on_pixels(listing)),
        targets_from=said or listing.targets_from,
        expected=EXPECTED,
    )


def list_arrays(images: Any, targets: Any, asked: Asked) -> Listing:
    """Images and targets beside each other; paths may stand for images. Raises `DataError` for other lengths."""
    count = _length(images)
    if targets is None:
        _refuse_one_image(images)
    if not count:
        raise DataError("there are no images: the first of (images, targets) is empty")
    beside = _beside(targets, count, asked)
    if all(isinstance(image, str | os.PathLike) for image in images):
        return list_frame(beside.table.assign(image_file=[os.fspath(image) for image in images]), asked)
    return list_given(
        beside, Pictures(images.__getitem__, numbered(count)), "images", asked, "the targets given"
    )


def list_frame(frame: pd.DataFrame, asked: Asked) -> Listing:
    """A table in memory, with a column of paths or of images.

    Relative paths are below the working folder; where all are absolute, below the folder that they share.
    """
    if frame.empty:
        raise DataError(f"the DataFrame has no rows ({len(frame.columns)} columns)")
    table = asked.with_columns(without_categories(frame.reset_index(drop=True)))
    column = _image_column(table, asked.path_column)
    if column is not None:
        images = list(table[column])
        given = Columns(table.drop(columns=column))
        return list_given(given, Pictures(images.__getitem__, numbered(len(images))), "DataFrame", asked)
    mixed = [name for name in table.columns if table[name].dtype == object]
    texts = table.assign(**{str(name): table[name].map(_as_text) for name in mixed})
    column = path_column_of("the DataFrame", texts, asked.path_column)
    root = _shared_folder(texts[column])
    listing = list_paths(texts, column, root, root.resolve().name, allow_outside=True)
    return replace(listing, may_lack_targets=True)


def _image_column(table: pd.DataFrame, wanted: str | None) -> str | None:
    """The column of images, the first of several; None where there are paths only."""
    names = table.columns if wanted is None else [name for name in table.columns if name == wanted]
    found = (str(name) for name in names if table[name].map(is_image).any())
    return next(found, None)


def _as_text(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _refuse_one_image(images: Any) -> None:
    """Three sides, one of them of colours, are an image and not several grey ones."""
    shape = tuple(getattr(images, "shape", ()))
    colours = shape[0] if isinstance(images, torch.Tensor) and shape else shape[-1] if shape else 0
    if len(shape) == 3 and colours in (3, 4):
        raise DataError(
            f"an image of shape {shape} was given, where there should be several: give images[None]"
        )


def _shared_folder(paths: pd.Series[str]) -> Path:
    given = [Path(path) for path in paths if isinstance(path, str)]
    if not given or not all(path.is_absolute() for path in given):
        return Path()
    return Path(os.path.commonpath([path.parent for path in given]))


def _beside(targets: Any, count: int, asked: Asked) -> Columns:
    """The targets of all images as columns; a table or a dict of columns is taken as it is."""
    if isinstance(targets, pd.DataFrame | Mapping):
        columns = {str(name): list(values) for name, values in targets.items()}
        for name, values in columns.items():
            if len(values) != count:
                raise DataError(f"the column {name!r} has {len(values)} values for {count} images")
        rows = zip(*columns.values(), strict=True)
        return target_columns_of([dict(zip(columns, row, strict=True)) for row in rows], asked)
    given = [None] * count if targets is None else targets
    if _length(given) != count:
        raise DataError(f"{count} images came with {_length(given)} targets")
    return target_columns_of(list(given), asked)


def _length(values: Any) -> int:
    try:
        return len(values)
    except TypeError as error:
        raise DataError(
            f"a {type(values).__name__} stands where there should be one value an image"
        ) from error


def _on_pixels(listing: Listing) -> tuple[str, ...]:
    if not listing.pixels:
        return ()
    names = " and ".join(listing.pixels)
    return (
        f"{names} {'was' if len(listing.pixels) == 1 else 'were'} taken for pixels of the image as it was given; "
        'where they run from -1 to +1 already, give scales={"x": "half"}.',
    )
