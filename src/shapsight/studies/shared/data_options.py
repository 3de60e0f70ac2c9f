"""How a dataset is read, as people say it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

from shapsight.data.given_files import is_file, read_text
from shapsight.errors import DataError
from shapsight.studies.shared.option import Option

if TYPE_CHECKING:
    from shapsight.data.readers import Task

TASKS = ("regression", "classification")


@dataclass(frozen=True)
class DataOptions:
    """How the data are read. Texts are as the command line takes them, lists by comma; see `read_dataset`."""

    task: Annotated[str | None, Option("regression or classification; else as the data look.")] = None
    pattern: Annotated[
        str | None, Option("Names that hold targets, such as {speed}_{angle}_{id} or {x}_{y}_{id}.")
    ] = None
    targets: Annotated[str | None, Option("Columns to predict, by comma.")] = None
    scale: Annotated[
        tuple[str, ...],
        Option(
            "TARGET=LOW:HIGH:UNIT, or =width, =height for pixels, =half for -1 to +1. Repeatable.",
            is_repeatable=True,
        ),
    ] = ()
    label: Annotated[str | None, Option("Rule for the class: folder:1, column:NAME, name:REGEX.")] = None
    classes: Annotated[str | None, Option("Class names in order, by comma or a file.")] = None
    environment: Annotated[
        str | None, Option("Rule for the environment: folder:1, column:NAME, name:REGEX.")
    ] = None
    split: Annotated[str | None, Option("Rule for the split, where the data have one.")] = None
    group: Annotated[
        str | None, Option("Rule for what stays in one split: folder:2, column:NAME, block:50.")
    ] = None
    hold_out: Annotated[str | None, Option("Environments that stay unseen, by comma.")] = None
    validation_share: Annotated[
        float, Option("Share of the training environments to judge epochs by.", at_least=0, at_most=0.99)
    ] = 0.2
    test_share: Annotated[float, Option("Share to test on at the end.", at_least=0, at_most=0.99)] = 0.0
    path_column: Annotated[str | None, Option("The column of paths in a table.")] = None
    allow_outside: Annotated[bool, Option("Follow a table's paths out of its folder.")] = False

    def as_arguments(self) -> dict[str, Any]:
        """What `read_dataset` takes. Raises `DataError` for a task or a scale that cannot be read."""
        if self.task not in (None, *TASKS):
            raise DataError(f"--task {self.task} is not one of {', '.join(TASKS)}")
        return {
            "task": cast("Task | None", self.task),
            "pattern": self.pattern,
            "targets": None if self.targets is None else by_comma(self.targets),
            "scales": dict(map(_scale, self.scale)),
            "label": self.label,
            "class_names": () if self.classes is None else _class_names(self.classes),
            "environment": self.environment,
            "split": self.split,
            "group": self.group,
            "hold_out": () if self.hold_out is None else by_comma(self.hold_out),
            "validation_share": self.validation_share,
            "test_share": self.test_share,
            "path_column": self.path_column,
            "allow_outside": self.allow_outside,
        }


def by_comma(text: str) -> list[str]:
    """The parts of a list that is written with commas."""
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
        return by_comma(text)
    try:
        lines = read_text(path).splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"the class names {path} cannot be read: {error}") from error
    return [line.strip() for line in lines if line.strip()]
