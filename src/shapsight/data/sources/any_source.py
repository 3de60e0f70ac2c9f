"""What a source names, by the kind of source that it is: a folder, a file, or an object in memory."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from shapsight.data.sources.asked import Asked
from shapsight.data.sources.folder import are_classes, list_classes, list_images, list_names
from shapsight.data.sources.huggingface import is_in_memory, is_saved_dataset, list_dataset, list_saved
from shapsight.data.sources.idx import is_idx, list_idx
from shapsight.data.sources.in_memory import list_arrays, list_frame
from shapsight.data.sources.listing import Listing
from shapsight.data.sources.table_file import SUFFIXES as TABLES
from shapsight.data.sources.table_file import list_table
from shapsight.data.sources.torch_dataset import list_torch
from shapsight.data.sources.tub import is_tub, list_tubs
from shapsight.errors import DataError

SOURCES = (
    "A dataset is a folder, a table file, a pandas DataFrame, a map-style torch Dataset, a Hugging Face Dataset or "
    "DatasetDict, (images, targets), or images alone as a list, an array or a tensor"
)


def name_of(source: Any) -> str:
    """What messages call it: its path, or what kind of object it is."""
    return os.fspath(source) if isinstance(source, str | os.PathLike) else type(source).__name__


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


def _list_path(text: str, asked: Asked) -> Listing:
    path = Path(text.removeprefix("idx:"))
    rules = asked.rules
    if text.startswith("idx:") or (path.exists() and is_idx(path)):
        return list_idx(path, asked.class_names)
    is_table = path.suffix.lower() in TABLES
    if is_table and not path.exists():
        raise DataError(f"there is no table at {path}")
    if is_table and path.is_file():
        return list_table(path, path_column=asked.path_column, allow_outside=asked.allow_outside)
    if path.is_dir() and is_saved_dataset(path):
        return list_saved(path, asked)
    if asked.pattern is None and rules.label is None and is_tub(path):
        return list_tubs(path)
    if asked.wants_no_targets and asked.pattern is None:
        return list_images(path, rules)
    if asked.pattern is not None or asked.task == "regression":
        return list_names(path, asked.pattern, rules)
    has_classes = asked.task == "classification" or rules.label is not None
    if has_classes or (path.is_dir() and are_classes(path, rules)):
        return list_classes(path, rules)
    return list_names(path, asked.pattern, rules)
