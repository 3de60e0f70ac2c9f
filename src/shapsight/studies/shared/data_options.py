"""How a dataset is read, as people say it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from shapsight.studies.shared.option import Option


@dataclass(frozen=True)
class DataOptions:
    """How the data are read. Texts are as the command line takes them, lists by comma; see `read_dataset`."""

    task: Annotated[str | None, Option("regression or classification; else as the data look.")] = None
    pattern: Annotated[
        str | None, Option("Names that hold targets, such as {speed}_{angle}_{id} or {x}_{y}_{id}.")
    ] = None
    targets: Annotated[str | None, Option("Columns to predict, by comma.", by_comma=True)] = None
    scale: Annotated[
        tuple[str, ...],
        Option(
            "TARGET=LOW:HIGH:UNIT, or =width, =height for pixels, =half for -1 to +1. Repeatable.",
            is_repeatable=True,
        ),
    ] = ()
    label: Annotated[str | None, Option("Rule for the class: folder:1, column:NAME, name:REGEX.")] = None
    classes: Annotated[str | None, Option("Class names in order, by comma or a file.", by_comma=True)] = None
    environment: Annotated[
        str | None, Option("Rule for the environment: folder:1, column:NAME, name:REGEX.")
    ] = None
    split: Annotated[str | None, Option("Rule for the split, where the data have one.")] = None
    group: Annotated[
        str | None, Option("Rule for what stays in one split: folder:2, column:NAME, block:50.")
    ] = None
    hold_out: Annotated[str | None, Option("Environments that stay unseen, by comma.", by_comma=True)] = None
    validation_share: Annotated[
        float, Option("Share of the training environments to judge epochs by.", at_least=0, at_most=0.99)
    ] = 0.2
    test_share: Annotated[float, Option("Share to test on at the end.", at_least=0, at_most=0.99)] = 0.0
    path_column: Annotated[str | None, Option("The column of paths in a table.")] = None
    allow_outside: Annotated[bool, Option("Follow a table's paths out of its folder.")] = False
