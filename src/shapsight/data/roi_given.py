"""The region of interest that a dataset is read with: what is kept of it in the manifest."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from shapsight.data.given_files import is_file, is_folder
from shapsight.data.image_files import is_image
from shapsight.data.roi import Roi, as_mask, given_masks, mask_files, read_roi
from shapsight.data.sources.remote import as_url
from shapsight.errors import DataError, naming

COLUMN = "column:roi"  # where a manifest's table holds each row's own region


def roi_given(roi: Any, table: pd.DataFrame) -> str | Roi | None:
    """The region of interest of a dataset: a text that can be read again, or what draws it.

        roi_given("below:112", table)             # "below:112"
        roi_given("column:mask", table)           # a Roi of the masks in that column, or "column:roi" of texts
        roi_given(np.ones((224, 224)), table)     # a Roi: the same mask for every image

    Raises `DataError` for what cannot be read, and for a column that is not there.
    """
    if roi is None or isinstance(roi, Roi):
        return roi
    if isinstance(roi, str) and roi.startswith("column:"):
        return _of_column(roi.removeprefix("column:"), table)
    if isinstance(roi, str | os.PathLike):
        text = os.fspath(roi)
        read_roi(text)
        return str(Path(text).resolve()) if is_file(Path(text)) or is_folder(Path(text)) else text
    if callable(roi):
        return read_roi(roi)
    return given_masks(dict.fromkeys(table["path"], as_mask(roi)), "one mask for all images")


def roi_texts(roi: Any, table: pd.DataFrame, root: Path) -> pd.Series[str] | None:
    """Each row's own region as a text, where a column says it; a file below the dataset gets its whole path."""
    is_named = isinstance(roi, str) and roi.startswith("column:")
    name = roi.removeprefix("column:") if is_named else "roi"
    if name not in table.columns or not _are_texts(table[name]):
        return None
    return table[name].map(lambda spec: _whole_path(root, spec))


def refuse_other_sizes(roi: str | Roi | None, rows: pd.DataFrame) -> None:
    """Raise `DataError` for a mask that was given as an array and has another size than its image."""
    if isinstance(roi, Roi) and roi.masks is not None:
        for row in rows[["path", "width", "height"]].to_dict("records"):
            roi.mask(row)


def roi_note(roi: str | Roi | None, paths: Sequence[str]) -> list[str]:
    """Said of a region that a saved manifest cannot hold."""
    if not isinstance(roi, Roi) or (roi.masks is not None and mask_files(paths) is not None):
        return []
    what = "a function" if roi.masks is None else "an array for images of several folders"
    return [
        f"The region of interest is {what} ({roi}), which is not saved with the manifest: give it again as roi= or "
        "--roi, such as module:function or a folder of masks."
    ]


def _of_column(name: str, table: pd.DataFrame) -> str | Roi:
    if name not in table.columns:
        raise DataError(
            f"there is no column {name!r} of regions of interest; there are {', '.join(map(str, table.columns))}"
        )
    if _are_texts(table[name]):
        return COLUMN
    return given_masks(_masks(name, table), f"the masks of column {name}")


def _masks(name: str, table: pd.DataFrame) -> Mapping[str, Any]:
    masks = {}
    for path, mask in zip(table["path"], table[name], strict=True):
        if mask is not None:
            with naming(path):
                masks[path] = as_mask(mask)
    return masks


def _are_texts(values: pd.Series[Any]) -> bool:
    """Texts and empty cells."""
    return bool(
        values.map(
            lambda value: isinstance(value, str) or (pd.api.types.is_scalar(value) and pd.isna(value))
        ).all()
    )


def _whole_path(root: Path, spec: object) -> str:
    path = root / str(spec)
    is_named = is_image(path) or path.suffix == ".json"
    if is_named and as_url(str(spec)) is None and (url := as_url(str(path))) is not None:
        return url
    return str(path.resolve()) if isinstance(spec, str) and is_file(path) else str(spec)
