"""Reading a dataset and telling what a user should know about it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, cast

from shapsight.data.given_files import is_file, read_text
from shapsight.data.manifest import Manifest
from shapsight.data.readers import Task, read_dataset
from shapsight.data.turns import in_turn
from shapsight.errors import DataError
from shapsight.studies.shared.narrator import Narrator
from shapsight.studies.shared.option import DataOptions

TASKS = ("regression", "classification")


def read(
    data: Any,
    options: DataOptions,
    narrator: Narrator,
    *,
    train_on: str = "all",
    seed: int = 0,
    **changes: Any,
) -> Manifest:
    """Read a dataset and tell what a user should know about it; `changes` go before the options."""
    with narrator.step(f"Reading {Path(source_of(data)).name}") as report:
        wanted = "all" if train_on == "all" else _by_comma(train_on)
        arguments = arguments_of(options) | changes
        manifest = read_dataset(data, train_on=wanted, seed=seed, progress=report, **arguments)
    for sentence in manifest.notes:
        narrator.note(sentence)
    return manifest


class Reading(Protocol):
    """Settings that say how a dataset is read to be trained on."""

    @property
    def train_on(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def reading(self) -> DataOptions: ...


def dataset_of(data: Any, settings: Reading, narrator: Narrator) -> Manifest:
    """The dataset that is trained on: read, or one that was read before, where `train_on` may name other environments.

    Raises `DataError` for options of reading beside a manifest.
    """
    train_on, seed = settings.train_on, settings.seed
    if not isinstance(data, Manifest):
        return read(data, settings.reading, narrator, train_on=train_on, seed=seed)
    refuse_options(settings.reading, "the data were read already", allowed=("validation_share",))
    if train_on == "all":
        return data
    share = settings.reading.validation_share
    return in_turn(data, _by_comma(train_on), seed=seed, validation_share=share)


def refuse_options(options: DataOptions, why: str, allowed: Sequence[str] = ()) -> None:
    """Raise `DataError` where anything is said of how a dataset is read that is not read here."""
    usual = DataOptions()
    given = [name for name, value in vars(options).items() if value != getattr(usual, name)]
    if wrong := [name for name in given if name not in allowed]:
        raise DataError(
            f"{', '.join(wrong)} cannot be given here, since {why}: give {'it' if len(wrong) == 1 else 'them'} to "
            "read_dataset, or give the folder or table itself as data"
        )


def source_of(data: Any) -> str:
    """Where a dataset is from, for run.json."""
    if isinstance(data, Manifest):
        return str(data.root)
    return os.fspath(data) if isinstance(data, str | os.PathLike) else type(data).__name__


def arguments_of(options: DataOptions) -> dict[str, Any]:
    """What `read_dataset` takes. Raises `DataError` for a task or a scale that cannot be read."""
    if options.task not in (None, *TASKS):
        raise DataError(f"--task {options.task} is not one of {', '.join(TASKS)}")
    return {
        "task": cast(Task | None, options.task),
        "pattern": options.pattern,
        "targets": None if options.targets is None else _by_comma(options.targets),
        "scales": dict(map(_scale, options.scale)),
        "label": options.label,
        "class_names": () if options.classes is None else _class_names(options.classes),
        "environment": options.environment,
        "split": options.split,
        "group": options.group,
        "hold_out": () if options.hold_out is None else _by_comma(options.hold_out),
        "validation_share": options.validation_share,
        "test_share": options.test_share,
        "path_column": options.path_column,
        "allow_outside": options.allow_outside,
    }


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
