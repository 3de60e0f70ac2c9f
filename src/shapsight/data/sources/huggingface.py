"""Hugging Face `datasets`: a folder that they saved, where an image is `SPLIT#NUMBER`, or a dataset in memory."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from torch.utils.data import ConcatDataset

from shapsight.data.columns import numeric_targets
from shapsight.data.given_files import refuse_endless
from shapsight.data.pictures import Pictures, numbered
from shapsight.data.rules import refuse_lists
from shapsight.data.sources.asked import Asked, objects
from shapsight.data.sources.listing import Listing
from shapsight.errors import DataError, MissingDependency

LISTS = ("Sequence", "List", "LargeList")  # what several versions of the library call them
NOTHING_ASKED = Asked()
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


def is_in_memory(source: object) -> bool:
    """A `Dataset` or `DatasetDict`, or one of theirs that is streamed."""
    return type(source).__module__.split(".")[0] == "datasets"


def image_column(dataset: Any, name: Path | str) -> str:
    """The column of images."""
    names = _image_columns(dataset)
    if not names:
        raise DataError(f"{name} has no column of images; its columns are {', '.join(dataset.features)}")
    return names[0]


def list_saved(path: Path, asked: Asked = NOTHING_ASKED) -> Listing:
    """Every row of every split of a saved folder."""
    asked.refuse_columns()
    parts = open_saved(path)
    names = [f"{split}#{number}" for split, part in parts.items() for number in range(len(part))]
    return _listing(parts, names, path, path.resolve().name, asked)


def list_dataset(source: Any, asked: Asked = NOTHING_ASKED) -> Listing:
    """Every row of a dataset in memory, or of all splits of a `DatasetDict`, without its own format and transform."""
    kind = type(source).__name__
    if (not isinstance(source, Mapping) and not hasattr(source, "__len__")) or kind.startswith("Iterable"):
        raise DataError(f"a {kind} is streamed and has no length: load it with streaming=False")
    given = dict(source) if isinstance(source, Mapping) else {".": source}
    parts = {str(split): part.with_format(None) for split, part in given.items()}
    if not parts:
        raise DataError(f"the {kind} holds no splits")
    has_format = any(part.format["type"] is not None for part in given.values())
    words = ["image" if split == "." else re.sub(r"\W", "_", split) for split in parts]
    names = [
        name for word, part in zip(words, parts.values(), strict=True) for name in numbered(len(part), word)
    ]
    listing = _listing(parts, names, Path(kind), kind, asked)
    notes = ("The rows were read as they are stored; the dataset's own format or transform was not used.",)
    return replace(
        listing,
        pictures=Pictures(_Rows(parts), names),
        may_lack_targets=True,
        notes=notes if has_format else (),
    )


class _Rows:
    """The images of the rows of all splits, one after the other."""

    def __init__(self, parts: Mapping[str, Any]) -> None:
        self._all: ConcatDataset[Any] = ConcatDataset(list(parts.values()))
        self._column = image_column(self._all.datasets[0], "the dataset")

    def __call__(self, number: int) -> Any:
        return self._all[number][self._column]


def _image_columns(dataset: Any) -> list[str]:
    return [str(name) for name, feature in dataset.features.items() if type(feature).__name__ == "Image"]


def _without_images(dataset: Any, path: Path, asked: Asked) -> pd.DataFrame:
    """The other columns; of those of images only the one of the regions. Raises `DataError` for damaged rows."""
    image_column(dataset, path)
    images = _image_columns(dataset)
    try:
        frame = pd.DataFrame(dataset.remove_columns(images).to_dict(), index=range(len(dataset)))
        if asked.roi_column in images:
            frame[asked.roi_column] = objects(list(dataset[asked.roi_column]))
    except Exception as error:  # as above
        raise DataError(f"the rows of {path} cannot be read: {error}") from error
    for column, feature in dataset.features.items():
        if (
            type(feature).__name__ == "ClassLabel"
            and not frame[column].dropna().between(-1, len(feature.names) - 1).all()
        ):
            raise DataError(f"{path} is damaged: its column {column} holds numbers of no class")
    return frame


def _listing(
    splits: Mapping[str, Any], paths: Sequence[str], root: Path, outermost: str, asked: Asked
) -> Listing:
    """Every row of every split, with its plain columns and the names of its classes."""
    parts = []
    names: tuple[str, ...] = ()
    label = None
    several: list[str] = []
    for split, dataset in splits.items():
        frame = _without_images(dataset, root, asked)
        for column, feature in dataset.features.items():
            if type(feature).__name__ in LISTS and type(feature.feature).__name__ == "ClassLabel":
                several.append(str(column))
            if type(feature).__name__ == "ClassLabel" and label in (None, column):
                label, names = str(column), tuple(feature.names)
                frame["label"] = [None if n is None or n < 0 else names[n] for n in frame[column]]
        if split != ".":
            frame["split"] = split
        parts.append(frame)
    table = asked.with_columns(pd.concat(parts, ignore_index=True).assign(path=list(paths)))
    if table.empty:
        raise DataError(f"{root} has no rows")
    said = ("path", "label", "split", "environment", "group", "roi", "id", str(label))
    numeric, counting = numeric_targets(table, said)
    if several and label is None and not numeric:
        refuse_lists(table, several[0])
    return Listing(
        root,
        table,
        outermost,
        label="column:label" if "label" in table.columns else None,
        environment="column:environment" if "environment" in table.columns else "folder:1",
        split="column:split" if "split" in table.columns else None,
        numeric=numeric,
        counting=counting,
        targets_from="columns of numbers",
        pixels={name: side for name, side in SIDES.items() if name in numeric},
        class_names=names,
    )
