"""Targets that are objects, one an image: numbers, vectors, names of classes, or columns; as columns of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from shapsight.data.rules import ITEM_PATH
from shapsight.data.sources.asked import Asked, objects
from shapsight.errors import DataError

MOST_OUTPUTS = 64  # numbers of one vector that become columns; beyond that it is a picture or an embedding
CLASSES_GUESSED = (
    'The targets are whole numbers without names and were taken for {count} classes; task="regression" takes them for '
    "numbers."
)


@dataclass(frozen=True, eq=False)
class Columns:
    """What the targets say of each image, and the names of the classes in order, where they are known."""

    table: pd.DataFrame
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def target_columns_of(values: Sequence[Any], asked: Asked, classes: Sequence[str] = ()) -> Columns:
    """Columns of the targets of all images; an image without any (None) has empty cells.

        target_columns_of([3, 0, 9], asked, classes=dataset.classes)           # a column label
        target_columns_of([tensor([0.1, 0.2]), ...], asked)                    # columns x, y where targets=["x", "y"]
        target_columns_of([{"x": 12, "room": "hall"}, ...], asked)             # columns x, room

    `classes` are the names of whole numbers. Raises `DataError` for a target of another shape than the others, for
    one that is a picture, and for another number of names than there are outputs.
    """
    plain = [_plain(value) for value in values]
    known = [value for value in plain if value is not None]
    count = len(plain)
    if not known:
        return Columns(pd.DataFrame(index=range(count)))
    if all(isinstance(value, Mapping) for value in known):
        return _of_mappings([value or {} for value in plain], asked, classes)
    if all(isinstance(value, str) for value in known):
        return Columns(pd.DataFrame({"label": plain}, dtype=object))
    if all(isinstance(value, list) for value in known):
        return _of_vectors("target", plain, asked.targets)
    if all(isinstance(value, int) for value in known) and not asked.targets and asked.task != "regression":
        columns = _of_classes(plain, asked, classes)
        is_guess = asked.task is None and not (asked.class_names or classes)
        notes = (CLASSES_GUESSED.format(count=len(columns.class_names)),) if is_guess else ()
        return replace(columns, notes=notes)
    if all(isinstance(value, int | float) for value in known):
        return _of_vectors("target", [None if value is None else [value] for value in plain], asked.targets)
    kinds = sorted({type(value).__name__ for value in known})
    raise DataError(
        f"the targets are of kind {', '.join(kinds)}: give a number, a vector of numbers, the name of a class, or a "
        "dict of such for each image"
    )


def _of_classes(numbers: list[int | None], asked: Asked, classes: Sequence[str]) -> Columns:
    """Numbers of classes under their names: the user's, else the dataset's, else the numbers themselves."""
    present = sorted({number for number in numbers if number is not None})
    names = asked.class_names or tuple(map(str, classes))
    if names and not 0 <= present[0] <= present[-1] < len(names):
        raise DataError(
            f"the targets run from {present[0]} to {present[-1]}, but there are {len(names)} class names"
        )
    if len(set(asked.class_names or ())) < len(asked.class_names or ()):
        raise DataError(f"class_names= names one more than once: {', '.join(names[:8])}")
    labels = [None if n is None else names[n] if names else str(n) for n in numbers]
    return Columns(pd.DataFrame({"label": labels}, dtype=object), names or tuple(map(str, present)))


def _of_vectors(name: str, vectors: Sequence[list[Any] | None], wanted: Sequence[str] | None) -> Columns:
    """A column for each output of a vector."""
    lengths = sorted({len(vector) for vector in vectors if vector is not None})
    if len(lengths) > 1:
        raise DataError(f"{name} has {lengths[0]} numbers in one image and {lengths[-1]} in another")
    count = lengths[0]
    if wanted and len(wanted) != count:
        raise DataError(
            f"{name} has {count} number{'' if count == 1 else 's'}, but {len(wanted)} were named: {', '.join(wanted)}"
        )
    made = (name,) if count == 1 else tuple(f"{name}_{number}" for number in range(count))
    names = tuple(wanted) if wanted else made
    rows = [[None] * count if vector is None else vector for vector in vectors]
    many = "The numbers of each target were" if count > 1 else "The target was"
    note = f"{many} called {', '.join(made[:8])}{' ...' if count > 8 else ''}, as no names were given (targets=)."
    return Columns(pd.DataFrame(rows, columns=list(names)), notes=() if wanted else (note,))


def _of_mappings(rows: Sequence[Mapping[str, Any]], asked: Asked, classes: Sequence[str]) -> Columns:
    """The columns that mappings say, their vectors spread out; pictures only where they are regions of interest."""
    names = list(dict.fromkeys(str(name) for row in rows for name in row))
    found: dict[str, Any] = {}
    notes: list[str] = []
    class_names: tuple[str, ...] = ()
    for name in names:
        values = [row.get(name) for row in rows]
        known = [value for value in values if value is not None]
        if name == asked.roi_column or all(map(_is_plain, known)):
            found[ITEM_PATH if name == "path" else name] = _column(values)
        elif all(isinstance(value, list) and all(map(_is_number, value)) for value in known):
            vectors = _of_vectors(name, values, _names_of(name, names, known, asked))
            found |= {str(column): vectors.table[column] for column in vectors.table}
            notes += vectors.notes
    if "label" in found and all(isinstance(value, int) for value in found["label"] if value is not None):
        labels = _of_classes(list(found["label"]), asked, classes)
        found["label"], class_names = labels.table["label"], labels.class_names
    return Columns(pd.DataFrame(found, index=range(len(rows))), class_names, tuple(notes))


def _names_of(
    name: str, names: Sequence[str], vectors: Sequence[list[Any]], asked: Asked
) -> Sequence[str] | None:
    """The user's names, where they are no columns themselves and are as many as the vector has numbers."""
    wanted = asked.targets or ()
    return wanted if wanted and not set(wanted) & set(names) and len(vectors[0]) == len(wanted) else None


def _column(values: Sequence[Any]) -> Any:
    """Texts, numbers and pictures; only numbers are left to pandas."""
    return values if all(value is None or _is_number(value) for value in values) else objects(values)


def _is_plain(value: object) -> bool:
    return isinstance(value, str) or _is_number(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)


def _plain(value: Any) -> Any:
    """Numbers, texts, lists of numbers and mappings of Python's own; what has more sides stays as it is."""
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy() if value.ndim < 2 else value
    if isinstance(value, np.ndarray | np.generic) and value.ndim < 2 and value.size <= MOST_OUTPUTS:
        return value.tolist()
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    return value
