"""Parquet files with the images inside, as Hugging Face lays them out: a column of bytes, or of bytes and path."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from shapsight.data.blobs import Blobs
from shapsight.data.given_files import refuse_endless
from shapsight.data.pictures import numbered
from shapsight.data.sources.asked import Asked, objects
from shapsight.data.sources.in_memory import list_given
from shapsight.data.sources.listing import Listing
from shapsight.data.sources.remote import Remote, naming_trouble, stamp_of
from shapsight.data.sources.table_file import without_categories
from shapsight.data.sources.targets_given import Columns
from shapsight.errors import DataError

PARQUET = ".parquet"
NAMES = ("image", "img", "jpg", "png", "picture", "photo", "bytes")
SPLIT = re.compile(r"(train|validation|valid|val|test)(?:[-_.].*)?", re.I)
SPLITS = {"valid": "validation", "val": "validation"}
KEPT = 2  # groups of rows that are held: readers go through them in order


def has_images_inside(path: Path) -> bool:
    """Whether a file on this machine is Parquet with a column of images; not where it cannot be read."""
    try:
        refuse_endless(path)
        return _image_column(pq.read_schema(path), None) is not None
    except (OSError, pa.ArrowException):
        return False


def list_parquets(remote: Remote, paths: Sequence[str], asked: Asked) -> Listing | None:
    """The rows of some files with images inside; None where they hold none, and are tables of paths.

    Raises `DataError` where one cannot be read, or has other columns than the first.
    """
    headers = [_header(remote, path) for path in paths]
    column = _image_column(headers[0].schema_arrow, asked.path_column)
    if column is None:
        return None
    features = _features(headers[0].schema_arrow)
    images = {column, *(name for name, kind in features.items() if kind.get("_type") == "Image")}
    frames = []
    for path, header in zip(paths, headers, strict=True):
        if _image_column(header.schema_arrow, column) is None:
            raise DataError(f"{path} has no column {column} of images, as {paths[0]} has")
        others = [name for name in header.schema_arrow.names if name not in images]
        with _reading(remote, path), remote.files.open(path, "rb") as file:
            frame = pq.read_table(file, columns=others).to_pandas()
        frame.index = pd.RangeIndex(header.metadata.num_rows)
        split = SPLIT.fullmatch(PurePosixPath(path).stem)
        frames.append(frame if split is None or "split" in frame else frame.assign(split=_split(split[1])))
    table = without_categories(pd.concat(frames, ignore_index=True))
    table, classes = _with_classes(table, features)
    groups = [
        (path, group, header.metadata.row_group(group).num_rows)
        for path, header in zip(paths, headers, strict=True)
        for group in range(header.metadata.num_row_groups)
    ]
    stamps = {path: stamp_of(remote.files.info(path)) for path in paths}
    blobs = Blobs(
        Rows(remote.files, groups, column),
        numbered(len(table)),
        [
            f"{stamps[path]}:{group}:{row}" if stamps[path] else ""
            for path, group, size in groups
            for row in range(size)
        ],
        are_paths=False,
    )
    listing = list_given(Columns(table, classes), blobs, remote.name, asked, "columns of numbers")
    return replace(listing, root=Path(remote.url), may_lack_targets=False)


@dataclass
class Rows:
    """The bytes of a row's image; a group of rows is read at once, and the last ones are held."""

    files: Any
    groups: Sequence[tuple[str, int, int]]
    column: str
    _held: dict[int, Any] = field(default_factory=dict, repr=False)
    _lock: Any = field(default_factory=Lock, repr=False)

    def __post_init__(self) -> None:
        self._ends = list(accumulate(size for _, _, size in self.groups))

    def __getstate__(self) -> dict[str, Any]:
        return {"files": self.files, "groups": self.groups, "column": self.column}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def __call__(self, number: int) -> bytes:
        """Raises `ValueError` for a row without bytes."""
        at = bisect_right(self._ends, number)
        row = number - (self._ends[at - 1] if at else 0)
        with self._lock:
            if at not in self._held:
                while len(self._held) >= KEPT:
                    del self._held[next(iter(self._held))]
                self._held[at] = self._group(at)
            value = self._held[at][row].as_py()
        content = value.get("bytes") if isinstance(value, Mapping) else value
        if not isinstance(content, bytes) or not content:
            raise ValueError("the row holds no bytes of an image")
        return content

    def _group(self, at: int) -> Any:
        path, group, _ = self.groups[at]
        with self.files.open(path, "rb") as file:
            return pq.ParquetFile(file).read_row_group(group, columns=[self.column]).column(self.column)


def _header(remote: Remote, path: str) -> Any:
    with _reading(remote, path), remote.files.open(path, "rb") as file:
        return pq.ParquetFile(file)


@contextmanager
def _reading(remote: Remote, path: str) -> Iterator[None]:
    with naming_trouble(remote.url):
        try:
            yield
        except pa.ArrowException as error:
            raise DataError(f"{path} cannot be read as parquet: {str(error).splitlines()[0]}") from error


def _image_column(schema: pa.Schema, wanted: str | None) -> str | None:
    """The column of images: the one that Hugging Face calls so, of bytes and path, or of bytes under a usual name."""
    features = _features(schema)
    names = schema.names if wanted is None else [wanted]
    holding = [name for name in names if name in schema.names and _holds_bytes(schema.field(name).type)]
    said = [name for name in holding if features.get(name, {}).get("_type") == "Image"]
    structs = [name for name in holding if pa.types.is_struct(schema.field(name).type)]
    usual = [name for name in holding if name.lower() in NAMES or name == wanted]
    return next(iter([*said, *structs, *usual]), None)


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        names = [kind.field(number).name for number in range(kind.num_fields)]
        return "bytes" in names and _holds_bytes(kind.field("bytes").type)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _features(schema: pa.Schema) -> dict[str, dict[str, Any]]:
    """What Hugging Face wrote of each column; nothing where it did not write the file."""
    try:
        found = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (LookupError, ValueError, TypeError):
        return {}
    return {str(name): kind for name, kind in found.items() if isinstance(kind, dict)}


def _with_classes(
    table: pd.DataFrame, features: Mapping[str, Mapping[str, Any]]
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The names of classes for their numbers, of the first column of classes, as `label`."""
    column = next((name for name, kind in features.items() if kind.get("_type") == "ClassLabel"), None)
    if column is None or column not in table:
        return table, ()
    names = tuple(map(str, features[column].get("names", ())))
    numbers = table[column]
    if not numbers.dropna().between(-1, len(names) - 1).all():
        raise DataError(f"the column {column} holds numbers of no class")
    labels: list[Any] = [None if pd.isna(number) or number < 0 else names[int(number)] for number in numbers]
    return table.drop(columns=column).assign(label=objects(labels)), names


def _split(word: str) -> str:
    return SPLITS.get(word.lower(), word.lower())
