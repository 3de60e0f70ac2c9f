"""Reading a dataset as the command line describes it, and telling what a user should know about it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from shapsight.data.given_files import is_file, read_text
from shapsight.data.manifest import Manifest
from shapsight.data.readers import Task, read_dataset
from shapsight.errors import DataError
from shapsight.studies.shared.narrator import Narrator

TASKS = ("regression", "classification")


@dataclass(frozen=True)
class DataOptions:
    """How a dataset is read; texts as the command line takes them, lists by comma. See `read_dataset`."""

    task: str | None = None
    pattern: str | None = None
    targets: str | None = None
    scale: tuple[str, ...] = ()
    label: str | None = None
    classes: str | None = None
    environment: str | None = None
    split: str | None = None
    group: str | None = None
    hold_out: str | None = None
    validation_share: float = 0.2
    test_share: float = 0.0
    path_column: str | None = None
    allow_outside: bool = False

    def as_arguments(self) -> dict[str, Any]:
        """What `read_dataset` takes. Raises `DataError` for a task or a scale that cannot be read."""
        if self.task not in (None, *TASKS):
            raise DataError(f"--task {self.task} is not one of {', '.join(TASKS)}")
        return {
            "task": cast(Task | None, self.task),
            "pattern": self.pattern,
            "targets": None if self.targets is None else _by_comma(self.targets),
            "scales": dict(map(_scale, self.scale)),
            "label": self.label,
            "class_names": () if self.classes is None else _class_names(self.classes),
            "environment": self.environment,
            "split": self.split,
            "group": self.group,
            "hold_out": () if self.hold_out is None else _by_comma(self.hold_out),
            "validation_share": self.validation_share,
            "test_share": self.test_share,
            "path_column": self.path_column,
            "allow_outside": self.allow_outside,
        }


def read(
    data: str | os.PathLike[str],
    options: DataOptions,
    narrator: Narrator,
    *,
    train_on: str = "all",
    seed: int = 0,
    **changes: Any,
) -> Manifest:
    """Read a dataset and tell what a user should know about it; `changes` go before the options."""
    with narrator.step(f"Reading {Path(data).name}") as report:
        wanted = "all" if train_on == "all" else _by_comma(train_on)
        arguments = options.as_arguments() | changes
        manifest = read_dataset(data, train_on=wanted, seed=seed, progress=report, **arguments)
    for sentence in manifest.notes:
        narrator.note(sentence)
    return manifest


def _by_comma(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


def _scale(text: str) -> tuple[str, str]:
    name, equals, scale = text.partition("=")
    if not equals:
        raise DataError(f"--scale {text} names no target: write TARGET=SCALE, such as speed=0:30:km/h")
    return name, scale


def _class_names(text: str) -> list[str]:
    """Names by comma, or the lines of a file."""
    path = Path(text)
    if not is_file(path):
        return _by_comma(text)
    try:
        lines = read_text(path).splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"the class names {path} cannot be read: {error}") from error
    return [line.strip() for line in lines if line.strip()]
