"""What the user says of a source before it is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from shapsight.data.rules import Rule, Rules
from shapsight.errors import DataError

Task = Literal["regression", "classification"]


@dataclass(frozen=True, eq=False)
class Asked:
    """What is left open is None, and found out from the source.

    Attributes
        targets: the names of the targets; none at all where nothing is to be learned.
        columns: what was given as one value an image, by the name of its column.
        roi: the region of interest, of any kind that `read_dataset` takes.
    """

    task: Task | None = None
    pattern: str | None = None
    targets: tuple[str, ...] | None = None
    class_names: tuple[str, ...] = ()
    path_column: str | None = None
    allow_outside: bool = False
    rules: Rules = field(default_factory=Rules)
    roi: Any = None
    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    @property
    def wants_no_targets(self) -> bool:
        """Whether `targets` was given and names none."""
        return self.targets == ()

    @property
    def roi_column(self) -> str | None:
        """The column that holds the regions of interest, where one was named."""
        is_column = isinstance(self.roi, str) and self.roi.startswith("column:")
        return self.roi.removeprefix("column:") if is_column else None

    def with_columns(self, table: pd.DataFrame) -> pd.DataFrame:
        """A table of all images with what was given as one value an image. Raises `DataError` for another number."""
        for name, values in self.columns.items():
            if len(values) != len(table):
                raise DataError(f"{name}= has {len(values)} values for {len(table)} images")
        return table.assign(**{name: objects(values) for name, values in self.columns.items()})

    def refuse_columns(self) -> None:
        """Raise `DataError` where something was given as one value an image, and the images are files."""
        for name, values in self.columns.items():
            raise DataError(
                f"{name}= was given as {len(values)} values, one an image, but the order of files is not known to you: "
                "give a rule, a function, or a table with a column of paths"
            )


def asked(rules: Mapping[str, Rule | Sequence[Any] | None], roi: Any, **more: Any) -> Asked:
    """What was asked, with values for each image as columns.

    asked({"environment": ["hall", "yard"], "split": None, ...}, roi=None)      # environment is column:environment
    """
    columns = {name: rule for name, rule in rules.items() if _is_sequence(rule)}
    named = {name: f"column:{name}" if name in columns else rule for name, rule in rules.items()}
    if _is_sequence(roi) and not _is_one_mask(roi):
        columns["roi"], roi = roi, "column:roi"
    return replace(Asked(**more), rules=Rules(**named), roi=roi, columns=columns)  # type: ignore[arg-type]


def objects(values: Sequence[Any]) -> np.ndarray:
    """Values of any kind, arrays too, as a column of a table."""
    column = np.empty(len(values), object)
    for row, value in enumerate(values):
        column[row] = value.item() if getattr(value, "ndim", None) == 0 else value
    return column


def _is_sequence(given: object) -> bool:
    return (
        hasattr(given, "__len__") and hasattr(given, "__getitem__") and not isinstance(given, str | Mapping)
    )


def _is_one_mask(given: Any) -> bool:
    return getattr(given, "ndim", None) == 2
