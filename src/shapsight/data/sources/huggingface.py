"""A folder that Hugging Face `datasets` saved: an image is `SPLIT#NUMBER`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from shapsight.data.columns import numeric_targets
from shapsight.data.given_files import refuse_endless
from shapsight.data.rules import refuse_lists
from shapsight.data.sources.listing import Listing
from shapsight.errors import DataError, MissingDependency

LISTS = ("Sequence", "List", "LargeList")  # what several versions of the library call them
SIDES = {"x": "width", "y": "height"}


def is_saved_dataset(path: Path) -> bool:
    """A folder that `Dataset.save_to_disk` or `DatasetDict.save_to_disk` wrote."""
    return (path / "dataset_dict.json").is_file() or (path / "state.json").is_file()


def open_saved(path: Path) -> dict[str, Any]:
    """The splits of a saved dataset; a dataset without splits is called ".".

    Raises `MissingDependency` without the library, `DataError` for a damaged folder.
    """
    try:
        import datasets
    except ModuleNotFoundError as error:
        raise MissingDependency(
            f"{path} was saved by Hugging Face datasets, which is not installed: pip install datasets"
        ) from error
    try:
        for file in path.rglob("*"):
            refuse_endless(file)
        saved = datasets.load_from_disk(str(path))
        parts = dict(saved) if isinstance(saved, dict) else {".": saved}
        for part in parts.values():
            part.data.validate(full=True)  # Arrow reads outside its memory where a file's offsets are wrong
    except Exception as error:  # a damaged folder ends in errors of many kinds
        raise DataError(f"{path} cannot be read by Hugging Face datasets: {error}") from error
    if not parts:
        raise DataError(f"{path} holds no splits")
    return parts


def image_column(dataset: Any, path: Path) -> str:
    """The column of images."""
    names = [name for name, feature in dataset.features.items() if type(feature).__name__ == "Image"]
    if not names:
        raise DataError(f"{path} has no column of images; its columns are {', '.join(dataset.features)}")
    return str(names[0])


def _without_images(dataset: Any, path: Path) -> pd.DataFrame:
    """The other columns. Raises `DataError` where the rows are damaged."""
    image = image_column(dataset, path)
    try:
        frame = pd.DataFrame(dataset.remove_columns([image]).to_dict())
    except Exception as error:  # as above
        raise DataError(f"the rows of {path} cannot be read: {error}") from error
    for column, feature in dataset.features.items():
        if (
            type(feature).__name__ == "ClassLabel"
            and not frame[column].dropna().between(-1, len(feature.names) - 1).all()
        ):
            raise DataError(f"{path} is damaged: its column {column} holds numbers of no class")
    return frame


def list_saved(path: Path) -> Listing:
    """Every row of every split, with its plain columns and the names of its classes."""
    parts = []
    names: tuple[str, ...] = ()
    label = None
    several: list[str] = []
    for split, dataset in open_saved(path).items():
        frame = _without_images(dataset, path)
        for column, feature in dataset.features.items():
            if type(feature).__name__ in LISTS and type(feature.feature).__name__ == "ClassLabel":
                several.append(str(column))
            if type(feature).__name__ == "ClassLabel" and label in (None, column):
                label, names = str(column), tuple(feature.names)
                frame["label"] = [None if n is None or n < 0 else names[n] for n in frame[column]]
        frame["path"] = [f"{split}#{number}" for number in range(len(dataset))]
        if split != ".":
            frame["split"] = split
        parts.append(frame)
    table = pd.concat(parts, ignore_index=True)
    if table.empty:
        raise DataError(f"{path} has no rows")
    said = ("path", "label", "split", "environment", "group", "roi", "id", str(label))
    numeric, counting = numeric_targets(table, said)
    if several and label is None and not numeric:
        refuse_lists(table, several[0])
    return Listing(
        path,
        table,
        path.resolve().name,
        label="column:label" if "label" in table.columns else None,
        environment="column:environment" if "environment" in table.columns else "folder:1",
        split="column:split" if "split" in table.columns else None,
        numeric=numeric,
        counting=counting,
        targets_from="columns of numbers",
        pixels={name: side for name, side in SIDES.items() if name in numeric},
        class_names=names,
    )
