"""What a source names, by the kind of source that it is: a folder, a file, or an object in memory."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
import torch

from shapsight.data.image_files import find_images
from shapsight.data.sources.asked import Asked
from shapsight.data.sources.folder import are_classes, list_classes, list_images, list_names
from shapsight.data.sources.huggingface import is_in_memory, is_saved_dataset, list_dataset, list_saved
from shapsight.data.sources.idx import is_idx, list_idx
from shapsight.data.sources.in_memory import list_arrays, list_frame
from shapsight.data.sources.listing import Listing
from shapsight.data.sources.parquet_images import PARQUET, has_images_inside, list_parquets
from shapsight.data.sources.remote import (
    Remote,
    as_url,
    has_images,
    list_remote_folder,
    list_remote_table,
)
from shapsight.data.sources.table_file import SUFFIXES as TABLES
from shapsight.data.sources.table_file import list_table
from shapsight.data.sources.tars import TAR, is_tars, list_tars, tars_named
from shapsight.data.sources.torch_dataset import list_torch
from shapsight.data.sources.tub import is_tub, list_tubs
from shapsight.errors import DataError, NoImagesError

SOURCES = (
    "A dataset is a folder, a table file, a pandas DataFrame, a map-style torch Dataset, a Hugging Face Dataset or "
    "DatasetDict, (images, targets), or images alone as a list, an array or a tensor"
)


def name_of(source: Any) -> str:
    """What messages call it: its path, or what kind of object it is."""
    if not isinstance(source, str | os.PathLike):
        return type(source).__name__
    return as_url(os.fspath(source)) or os.fspath(source)


def list_source(source: Any, asked: Asked) -> Listing:
    """The images that a source names, with all it says of them. Raises `DataError` for anything that is no source."""
    if isinstance(source, str | os.PathLike):
        return _list_files(os.fspath(source), asked)
    if asked.pattern is not None:
        raise DataError("pattern= reads the names of files, and these images are given as objects")
    if is_in_memory(source):
        return list_dataset(source, asked)
    if isinstance(source, pd.DataFrame):
        return list_frame(source, asked)
    if isinstance(source, list) and source and isinstance(source[0], tuple | dict):
        return list_torch(source, asked)  # items, as a dataset would give them
    if isinstance(source, list | np.ndarray | torch.Tensor):
        return list_arrays(source, None, asked)
    if isinstance(source, tuple):
        if len(source) != 2:
            raise DataError(f"a tuple of {len(source)} was given: give (images, targets). {SOURCES}")
        return list_arrays(*source, asked)
    if hasattr(source, "__getitem__") and not isinstance(source, dict):
        return list_torch(source, asked)
    raise DataError(f"{type(source).__name__} is no kind of dataset. {SOURCES}")


def _list_files(text: str, asked: Asked) -> Listing:
    asked.refuse_columns()
    listing = _list_path(text, asked)
    return replace(listing, label=None) if asked.wants_no_targets else listing


def _list_remote(remote: Remote, asked: Asked) -> Listing:
    """What lies elsewhere, or in tars, wherever they lie."""

    def as_folder(path: Path) -> Listing:
        return list_folder(path, asked)

    if is_tars(remote.path):
        names = [name for each in tars_named(remote.path) for name in remote.globbed(each)]
        return list_tars(remote, names, asked, as_folder)
    suffix = PurePosixPath(remote.path).suffix.lower()
    if suffix == PARQUET and (listing := list_parquets(remote, remote.globbed(remote.path), asked)):
        return listing
    if suffix in TABLES:
        return list_remote_table(
            remote, lambda file: list_table(file, path_column=asked.path_column, allow_outside=False)
        )
    found = remote.found()
    tars = [f"{remote.path}/{name}" for name in found if is_tars(name)]
    if tars and not has_images(list(found)):
        return list_tars(remote, tars, asked, as_folder)
    parquets = [f"{remote.path}/{name}" for name in found if name.lower().endswith(PARQUET)]
    if parquets and not has_images(list(found)) and (listing := list_parquets(remote, parquets, asked)):
        return listing
    return list_remote_folder(remote, found, as_folder)


def _holds_files_of_images(folder: Path) -> bool:
    """Whether a folder holds tars, or Parquet with images inside, and no images beside them."""
    tables = sorted(folder.rglob(f"*{PARQUET}"))
    has_any = any(folder.rglob(f"*{TAR}")) or any(map(has_images_inside, tables[:1]))
    return has_any and not is_saved_dataset(folder) and not find_images(folder)[0]


def _list_path(text: str, asked: Asked) -> Listing:
    if (url := as_url(text)) is not None:
        return _list_remote(Remote.at(url), asked)
    path = Path(text.removeprefix("idx:"))
    if text.startswith("idx:") or (path.exists() and is_idx(path)):
        return list_idx(path, asked.class_names)
    is_table = path.suffix.lower() in TABLES
    if is_tars(text) or (path.is_dir() and _holds_files_of_images(path)):
        return _list_remote(Remote.at(str(path.absolute())), asked)
    if is_table and not path.exists():
        raise NoImagesError(f"there is no table at {path}")
    if is_table and path.is_file() and path.suffix.lower() == PARQUET and has_images_inside(path):
        return _list_remote(Remote.at(str(path.absolute())), asked)
    if is_table and path.is_file():
        return list_table(path, path_column=asked.path_column, allow_outside=asked.allow_outside)
    if path.is_dir() and is_saved_dataset(path):
        return list_saved(path, asked)
    if asked.pattern is None and asked.rules.label is None and is_tub(path):
        return list_tubs(path)
    return list_folder(path, asked)


def list_folder(path: Path, asked: Asked) -> Listing:
    """A folder of images, by what is asked and what its names look like."""
    rules = asked.rules
    if asked.wants_no_targets and asked.pattern is None:
        return list_images(path, rules)
    if asked.pattern is not None or asked.task == "regression":
        return list_names(path, asked.pattern, rules)
    has_classes = asked.task == "classification" or rules.label is not None
    if has_classes or (path.is_dir() and are_classes(path, rules)):
        return list_classes(path, rules)
    return list_names(path, asked.pattern, rules)
