"""Explanations put together: more images, the difference or sum of two models, another unit."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from shapsight.attribution.explanation.selection import BY_IMAGE, BY_IMAGE_ALONE, BY_OUTPUT
from shapsight.errors import ExplainerError

if TYPE_CHECKING:
    from shapsight.attribution.explanation.explanation import Explanation

# Half precision rounds an image to 5e-4 of its range; what differs by more is another image.
SAME_IMAGE = 2e-3
ADDED = ("values", "base_values", "predictions", "completeness_gap")


def concatenate(explanations: Sequence[Explanation]) -> Explanation:
    """See `Explanation.concatenate`."""
    parts = list(explanations)
    if not parts:
        raise ExplainerError("concatenate was given no explanation")
    first = parts[0]
    for number, part in enumerate(parts[1:], start=1):
        _check_alike(first, part, number)
    # What plots draw may be lacking in files that older versions wrote: then the values are drawn.
    has_all = all(part.above_noise is not None for part in parts)
    first = first if has_all else dataclasses.replace(first, above_noise=None)
    joined: dict[str, Tensor] = {
        name: torch.cat([getattr(part, name).to(first.values.device) for part in parts])
        for name in (*BY_OUTPUT, *BY_IMAGE_ALONE)
        if getattr(first, name) is not None
    }
    return dataclasses.replace(first, **joined, settings=_joined_settings(parts))  # type: ignore[arg-type]


def _check_alike(first: Explanation, part: Explanation, number: int) -> None:
    def facts(explanation: Explanation) -> dict[str, Any]:
        return {
            "method": explanation.method,
            "model_name": explanation.model_name,
            "output_names": explanation.output_names,
            "(outputs, channels, height, width)": tuple(explanation.values.shape[1:]),
            "(channels, height, width) of the images": tuple(explanation.images.shape[1:]),
            "std_errors": "given" if explanation.std_errors is not None else None,
            "unresolved": "given" if explanation.unresolved is not None else None,
            "number of parts": None
            if explanation.part_std_errors is None
            else explanation.part_std_errors.shape[2],
        }

    if not _are_about_the_same(first, part):
        raise ExplainerError(
            f"explanations 0 and {number} cannot be concatenated: their targets are about other pixels"
        )
    for (what, one), other in zip(facts(first).items(), facts(part).values(), strict=True):
        if one != other:
            raise ExplainerError(
                f"explanations 0 and {number} cannot be concatenated: {what} is {one!r} and {other!r}"
            )


def _are_about_the_same(first: Explanation, part: Explanation) -> bool:
    one, other = first.outlines, part.outlines
    if one is None or other is None:
        return one is other
    return one.shape == other.shape and torch.equal(one.cpu(), other.cpu())


def _joined_settings(parts: Sequence[Explanation]) -> dict[str, Any]:
    names = dict.fromkeys(name for part in parts for name in part.settings)
    joined: dict[str, Any] = {}
    for name in names:
        found = [part.settings.get(name) for part in parts]
        if name in BY_IMAGE and all(isinstance(each, list | tuple) for each in found):
            joined[name] = [entry for each in found for entry in each]  # type: ignore[union-attr]
        elif _agree(found):
            joined[name] = {key: value for each in found for key, value in dict(each or {}).items()}
        else:
            joined[name] = found[0] if all(each == found[0] for each in found) else tuple(found)
    return joined


def _agree(found: Sequence[Any]) -> bool:
    """Whether these are numbers by name that say the same of the names that several have."""
    if not all(isinstance(each, Mapping) for each in found):
        return False
    first: dict[str, Any] = {}
    return all(first.setdefault(key, value) == value for each in found for key, value in each.items())


def combined(first: Explanation, second: Explanation, sign: int) -> Explanation:
    """`first + sign · second`, of the same images and outputs. See `Explanation.__sub__`."""
    what = "subtracted from each other" if sign < 0 else "added"
    if reason := _difference_of_subject(first, second):
        raise ExplainerError(f"these explanations cannot be {what}: {reason}")
    device = first.values.device
    added: dict[str, Any] = {
        name: getattr(first, name) + sign * getattr(second, name).to(device) for name in ADDED
    }
    errors = unresolved = labels = of_parts = None
    if _have_same_parts(first, second):
        labels = first.part_labels
        of_parts = torch.hypot(first.part_std_errors, second.part_std_errors.to(device))  # type: ignore[arg-type, union-attr]
    if first.std_errors is not None and second.std_errors is not None:
        errors = torch.hypot(first.std_errors, second.std_errors.to(device))
    open_parts = [e.unresolved.to(device) for e in (first, second) if e.unresolved is not None]
    if open_parts:
        unresolved = torch.stack(open_parts).sum(0)
    return dataclasses.replace(
        first,
        **added,
        std_errors=errors,
        unresolved=unresolved,
        part_labels=labels,
        part_std_errors=of_parts,
        above_noise=None,
        method=first.method if first.method == second.method else _joined(first.method, second.method, sign),
        model_name=_joined(_model(first), _model(second), sign),
        settings={"first": _origin(first), "second": _origin(second), "second_times": sign},
    )


def _have_same_parts(first: Explanation, second: Explanation) -> bool:
    """Whether both were told of the same parts; otherwise the standard errors of neither's are of the result."""
    one, two = first.part_std_errors, second.part_std_errors
    if one is None or two is None or first.part_labels is None or second.part_labels is None:
        return False
    return one.shape == two.shape and torch.equal(
        first.part_labels, second.part_labels.to(first.part_labels.device)
    )


def _difference_of_subject(first: Explanation, second: Explanation) -> str:
    """Why two explanations are not of the same images and outputs; empty where they are."""
    sizes = [tuple(explanation.values.shape) for explanation in (first, second)]
    if sizes[0] != sizes[1]:
        return f"their values are {sizes[0]} and {sizes[1]} (images, outputs, channels, height, width)"
    both_named = bool(first.output_names and second.output_names)
    names = [e.names() if both_named else e.output_index.tolist() for e in (first, second)]
    for image, (one, two) in enumerate(zip(*names, strict=True)):
        if one != two:
            return f"image {image} has the outputs {one} in one and {two} in the other; select the same ones"
    drawn = [explanation.images for explanation in (first, second)]
    if drawn[0].shape != drawn[1].shape:
        return f"their images have shapes {tuple(drawn[0].shape)} and {tuple(drawn[1].shape)}"
    for image, (one, two) in enumerate(zip(*drawn, strict=True)):
        room = SAME_IMAGE * max(float(one.nan_to_num().abs().max()), 1e-12)
        if not torch.allclose(one, two.to(one), rtol=0, atol=room, equal_nan=True):
            return (
                f"image {image} is not the same picture in both (where two models prepare images differently, "
                "explain with show= the pictures themselves)"
            )
    return ""


def scaled(explanation: Explanation, factor: float) -> Explanation:
    """All values times a number, as of a model whose output is in another unit."""
    if not math.isfinite(factor):
        raise ExplainerError(f"an explanation cannot be multiplied by {factor}")
    changed: dict[str, Any] = {name: getattr(explanation, name) * factor for name in ADDED}
    if explanation.above_noise is not None:
        changed["above_noise"] = explanation.above_noise * factor
    for name in ("std_errors", "unresolved", "part_std_errors"):
        tensor = getattr(explanation, name)
        changed[name] = None if tensor is None else tensor * abs(factor)
    times = factor * explanation.settings.get("times", 1)
    return dataclasses.replace(explanation, **changed, settings={**explanation.settings, "times": times})


def _model(explanation: Explanation) -> str:
    """What the model is called: the name given, or else its class."""
    name = explanation.model_name or str(explanation.settings.get("model") or "a model")
    times = explanation.settings.get("times", 1)
    if times == 1:
        return name
    return f"{times:g} × {_in_brackets(name)}"


def _joined(first: str, second: str, sign: int) -> str:
    return f"{first} − {_in_brackets(second)}" if sign < 0 else f"{first} + {second}"


def _in_brackets(name: str) -> str:
    return f"({name})" if " − " in name or " + " in name else name


def _origin(explanation: Explanation) -> Mapping[str, Any]:
    return {
        "method": explanation.method,
        "model_name": explanation.model_name,
        "settings": dict(explanation.settings),
    }
