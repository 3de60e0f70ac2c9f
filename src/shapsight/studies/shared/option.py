"""A setting as people meet it: what it means, its bounds, and its name on the command line."""

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
