"""A setting as people meet it: what it means, its bounds and its name; those that several studies have, and of data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any


@dataclass(frozen=True)
class Option:
    """What the command line is told of a setting, beside the name, type and default of the dataclass's field.

        images: Annotated[int, Option("Images to explain.", at_least=1)] = 8

    Attributes
        help: a sentence for `--help`.
        at_least, at_most: bounds of a number.
        flags: how it is written where that is not `--` and its name.
        is_repeatable: whether a tuple is given one by one (`--scale x=... --scale y=...`), not by comma.
        by_comma: whether a text holds several, which Python may give as a list.
        is_any: whether Python may give something else than a text, such as a function.
    """

    help: str
    at_least: float | None = None
    at_most: float | None = None
    flags: tuple[str, ...] = ()
    is_repeatable: bool = False
    by_comma: bool = False
    is_any: bool = False


# Of data/remedies, for help that needs no torch; a test holds the two together.
REMEDY_NAMES = (
    "more-environments", "balance", "flip", "swap-scene", "mix-scenes", "erase-scene", "erase-objects", "light",
    "color-jitter", "noise", "right-reasons",
)  # fmt: skip
Seed = Annotated[int, Option("Same seed, same splits, weights and draws.")]
Device = Annotated[str, Option("auto, cpu, cuda, cuda:1 or mps.")]
TrainOn = Annotated[
    str, Option("Environments to train on, by comma; the others stay unseen. Or: all.", by_comma=True)
]
Weights = Annotated[str, Option("auto, imagenet, none, or a file (safetensors, or a state dict).")]
RoiSpec = Annotated[
    str | None,
    Option("What the model should use: below:ROW, a folder of masks, a polygon file.", is_any=True),
]
Scenes = Annotated[
    Path | None, Option("swap-scene, mix-scenes: a folder of photographs to paste in as well.")
]


def roi_text(roi: Any) -> str | None:
    """A region of interest as run.json says it: a text that it can be read from again, or None where there is none."""
    if roi is None or isinstance(roi, str):
        return roi
    if callable(roi):
        module, name = roi.__module__, roi.__qualname__
        return f"{module}:{name}" if module != "__main__" and name.isidentifier() else None
    return str(roi.spec)


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
