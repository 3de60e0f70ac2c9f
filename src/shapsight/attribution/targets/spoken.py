"""Targets as text, for the command line: box(dog, 10, 20, 120, 200)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from shapsight.attribution.targets.aim import Aim
from shapsight.attribution.targets.boxes import Box
from shapsight.attribution.targets.contrasts import Contrast, Entropy
from shapsight.attribution.targets.dense import Mask, Pixel, Region
from shapsight.attribution.targets.embeddings import Text
from shapsight.data.imported import imported
from shapsight.errors import ExplainerError

FORMS = (
    "box(LABEL, LEFT, TOP, RIGHT, BOTTOM), mask(LABEL, FILE), pixel(LABEL, ROW, COLUMN), region(FILE), "
    "contrast(A, B), entropy(), text(WORDS, module:processor)"
)
CALL = re.compile(r"\s*([a-z]+)\s*\((.*)\)\s*", re.S)


def spoken(text: str) -> Aim:
    """The target that a text names.

        spoken("box(dog, 10, 20, 120, 200)");  spoken("box(dog, 10, 20, 120, 200, query=17)")
        spoken("mask(road, road.png)")                      # white is the region, in pixels of the image
        spoken("pixel(road, 180, 96)");  spoken("region(near.png)");  spoken("region(near.png, channel=2)")
        spoken("contrast(tabby cat, tiger cat)");  spoken("contrast(mask(road, a.png), mask(road, b.png))")
        spoken("entropy()");  spoken("text(a photo of a cat, my_models:processor)")

    Labels are names or numbers. A comma inside of a name is no matter but in contrast, where it is put in quotes.
    Raises `ExplainerError` for another text, and for a file that is no picture.
    """
    found = CALL.fullmatch(text)
    form = None if found is None else _FORMS.get(found[1])
    if found is None or form is None:
        raise ExplainerError(f"the target {text!r} is not one of {FORMS}")
    arguments, options = _arguments(found[2])
    try:
        return form(arguments, options)
    except (ValueError, TypeError, IndexError, KeyError) as error:
        raise ExplainerError(
            f"the target {text!r} cannot be read ({error}); the forms are {FORMS}"
        ) from error


def _arguments(text: str) -> tuple[list[str], dict[str, int]]:
    """What stands between commas outside of parentheses and quotes, and options such as query=17."""
    parts, depth, quoted = [""], 0, ""
    for letter in text:
        if letter in "\"'" and quoted in ("", letter) and (quoted or not parts[-1].strip()):
            quoted = "" if quoted else letter
        depth += 0 if quoted else (letter == "(") - (letter == ")")
        if letter == "," and not depth and not quoted:
            parts.append("")
        else:
            parts[-1] += letter
    options = dict(re.findall(r"(query|channel)\s*=\s*(\d+)", parts[-1]))
    if options:
        parts.pop()
    return [part.strip() for part in parts if part.strip()], {name: int(n) for name, n in options.items()}


def _label(parts: list[str]) -> int | str:
    if not parts:
        raise ValueError("a label is missing")
    name = ", ".join(parts)
    bare = name[1:-1] if len(name) > 1 and name[0] == name[-1] and name[0] in "\"'" else name
    return int(name) if name.isdecimal() else bare


def _side(text: str) -> Aim | int | str:
    return spoken(text) if CALL.fullmatch(text) and CALL.fullmatch(text)[1] in _FORMS else _label([text])  # type: ignore[index]


def _region(file: str) -> torch.Tensor:
    try:
        with Image.open(Path(file)) as image:
            return torch.from_numpy(np.asarray(image.convert("L")) >= 128)
    except (OSError, UnidentifiedImageError) as error:
        raise ExplainerError(f"the region {file} cannot be read as a picture: {error}") from error


def _text(parts: list[str]) -> Aim:
    module, _, name = parts[-1].partition(":")
    try:
        processor = getattr(imported(module), name)
    except Exception as error:  # whatever the module's own code raises
        raise ExplainerError(
            f"text(WORDS, module:processor): {parts[-1]!r} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    return Text(str(_label(parts[:-1])), processor)


def _two(parts: list[str]) -> Aim:
    if len(parts) != 2:
        raise ValueError(f"contrast is of two, and there are {len(parts)}; put names with commas in quotes")
    return Contrast(_side(parts[0]), _side(parts[1]))


def _number(text: str) -> int:
    return int(text)


_FORMS: Mapping[str, Callable[[list[str], dict[str, int]], Aim]] = {
    "box": lambda parts, options: Box(_label(parts[:-4]), tuple(map(float, parts[-4:])), **options),  # type: ignore[arg-type]
    "mask": lambda parts, _: Mask(_label(parts[:-1]), _region(parts[-1])),
    "pixel": lambda parts, _: Pixel(_label(parts[:-2]), _number(parts[-2]), _number(parts[-1])),
    "region": lambda parts, options: Region(_region(parts[0]), **options),
    "contrast": lambda parts, _: _two(parts),
    "entropy": lambda parts, _: Entropy(*parts),
    "text": lambda parts, _: _text(parts),
}
