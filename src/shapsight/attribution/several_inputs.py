"""A model with several inputs, such as an image and numbers, as one that takes all their numbers in a row.

What the explainers of any function do with an image, they do with that row: it is one pixel high, each input is a
stretch of it, and each masker, tree and partition of an image is laid over its stretch.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn

from shapsight.attribution.explanation import Explanation
from shapsight.attribution.maskers import Constant, Hide, Masker, References, Tokens, as_masker
from shapsight.attribution.segments import label_map
from shapsight.attribution.trees import Node, Tree
from shapsight.errors import ExplainerError
from shapsight.models.functions import is_keras


def are_several(images: Any) -> bool:
    """Whether these are the inputs of a model with several: a tuple of batches, one of them of images."""
    if not isinstance(images, tuple) or len(images) < 2:
        return False
    ranks = [part.ndim if isinstance(part, Tensor | np.ndarray) else 0 for part in images]
    return 4 in ranks and set(ranks) <= {2, 4}


@dataclass(frozen=True)
class Inputs:
    """How the inputs of a model lie in one row.

        inputs = Inputs.of((images, numbers))
        row = inputs.row((images, numbers))         # (N, 1, 1, total)
        inputs.parts(row)                           # as they were

    Attributes
        shapes: of one image or one set of numbers, channels first.
        dtypes: of each input.
        are_arrays: whether they came as arrays, whose channels are last.
    """

    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[torch.dtype, ...]
    are_arrays: tuple[bool, ...]

    @classmethod
    def of(cls, given: Sequence[Any]) -> Inputs:
        """Raises `ExplainerError` for inputs that are not equally many."""
        counts = [len(part) for part in given]
        if len(set(counts)) > 1:
            raise ExplainerError(
                f"the inputs of a model with several must be equally many; got {counts[0]} and {counts[1]}"
            )
        parts = [_channels_first(part) for part in given]
        return cls(
            tuple(tuple(part.shape[1:]) for part in parts),
            tuple(part.dtype for part in parts),
            tuple(isinstance(part, np.ndarray) for part in given),
        )

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many numbers each input has."""
        return tuple(math.prod(shape) for shape in self.shapes)

    @property
    def starts(self) -> tuple[int, ...]:
        """Where each input begins in the row."""
        return tuple(sum(self.sizes[:number]) for number in range(len(self.sizes)))

    def row(self, given: Sequence[Any]) -> Float[Tensor, "images 1 1 numbers"]:
        """The inputs one after another, as floats."""
        flat = [_channels_first(part).flatten(1) for part in given]
        kind = torch.float64 if torch.float64 in self.dtypes else torch.float32
        return torch.cat([part.to(kind) for part in flat], 1)[:, None, None]

    def parts(self, row: Shaped[Tensor, "*some numbers"]) -> tuple[Tensor, ...]:
        """The inputs of a row, channels first, in the row's own type."""
        pieces = torch.split(row, list(self.sizes), -1)
        return tuple(
            piece.reshape(*row.shape[:-1], *shape) for piece, shape in zip(pieces, self.shapes, strict=True)
        )

    def taken(self, predict: nn.Module | Callable[..., Any]) -> nn.Module | Callable[..., Any]:
        """The model as one of rows."""
        if isinstance(predict, nn.Module) and not is_keras(predict):
            return _OfParts(predict, self)

        def asked(rows: np.ndarray) -> Any:
            parts = self.parts(torch.from_numpy(np.ascontiguousarray(rows[:, 0, :, 0])))
            return predict(
                *(
                    (part.movedim(1, -1) if part.dim() == 4 else part).to(dtype).numpy()
                    for part, dtype in zip(parts, self.dtypes, strict=True)
                )
            )

        asked.__name__ = getattr(predict, "__name__", type(predict).__name__)
        return asked

    def split(self, found: Explanation) -> SeveralInputs:
        """An explanation of the rows as one of each input; the gap of each is that of all together."""
        explanations = []
        for number, shape in enumerate(self.shapes):
            is_image = len(shape) == 3
            size = shape if is_image else (1, 1, *shape)

            def part(
                tensor: Tensor | None, size: tuple[int, ...] = size, number: int = number
            ) -> Tensor | None:
                if tensor is None:
                    return None
                piece = torch.split(tensor.flatten(2), list(self.sizes), -1)[number]
                return piece.reshape(*tensor.shape[:2], *size)

            def of_pixels(tensor: Tensor | None) -> Tensor | None:
                made = part(tensor)
                return None if made is None else made.sum(2)

            shown = found.images.flatten(1)[:, self.starts[number] :][:, : self.sizes[number]]
            values = part(found.values)
            assert values is not None
            explanations.append(
                dataclasses.replace(
                    found,
                    values=values,
                    std_errors=part(found.std_errors),
                    unresolved=of_pixels(found.unresolved),
                    above_noise=of_pixels(found.above_noise),
                    images=drawn(shown.reshape(len(shown), *size), self.dtypes[number]),
                )
            )
        return SeveralInputs(explanations)


class SeveralInputs(tuple[Explanation, ...]):
    """Explanations of a model's inputs, one for each, which sum to `prediction - base value` together.

    picture, numbers = PartitionShap(model, ("mean", 0.0))((images, numbers))
    PartitionShap(model, ("mean", 0.0))((images, numbers)).inputs_table(names={1: ["speed", "hour"]})
    """

    __slots__ = ()

    def inputs_table(
        self,
        names: dict[int, Sequence[str]] | None = None,
        masks: dict[int, Any] | None = None,
        image: int = 0,
        output: int = 0,
    ) -> Any:
        """What each input of one image contributed to one output: a row for each number and each part of a picture.

        Arguments
            names: of the numbers of an input, or of the parts of a picture, by the input's place.
            masks: parts of a picture, as `Explanation.parts` takes them, by the input's place; by default the whole.

        Returns a frame with `input`, `part`, `value`; the values sum to `prediction - base value`.
        """
        import pandas as pd

        rows = []
        for number, found in enumerate(self):
            is_numbers = found.values.shape[2:4] == (1, 1)
            if is_numbers:
                values = found.values[image, output, 0, 0]
            elif masks and number in masks:
                values = found.parts(masks[number]).values[image, output]
            else:
                values = found.values[image, output].sum().reshape(1)
            usual = [f"number {n}" for n in range(len(values))] if is_numbers else ["the picture"]
            if masks and number in masks:
                usual = [f"part {n}" for n in range(len(values))]
            called = (names or {}).get(number, usual)
            if len(called) != len(values):
                raise ExplainerError(f"input {number} has {len(values)} parts, and names= has {len(called)}")
            rows += [
                {"input": number, "part": name, "value": float(value)}
                for name, value in zip(called, values, strict=True)
            ]
        return pd.DataFrame(rows)


class OneForEach(Masker):
    """The maskers of a model with several inputs, until these are known."""

    def __init__(self, maskers: Sequence[Any]) -> None:
        self.maskers = tuple(maskers)

    def hide(self, image: Tensor, visible: Tensor) -> Tensor:
        """See `for_image`."""
        return self.for_image(image)(visible)

    def for_image(self, image: Tensor) -> Hide:
        """Raises `ExplainerError`: there is one image."""
        raise ExplainerError(
            f"masker= has {len(self.maskers)} maskers, one for each input of a model: give the inputs in a tuple as "
            "well, (images, numbers), or one masker"
        )


def as_maskers(masker: Any) -> Masker:
    """A masker, or those of several inputs: a tuple of anything but the numbers of a colour."""
    is_colour = isinstance(masker, tuple | list) and all(isinstance(one, Real) for one in masker)
    return OneForEach(masker) if isinstance(masker, tuple | list) and not is_colour else as_masker(masker)


class MaskerOfParts(Masker):
    """A masker for each input; several references are taken together, the first of one with the first of the others."""

    def __init__(self, masker: Masker, inputs: Inputs) -> None:
        has_numbers = any(len(shape) == 1 for shape in inputs.shapes)
        given: Sequence[Any] = [masker] * len(inputs.shapes)
        if isinstance(masker, OneForEach):
            given = masker.maskers
        elif isinstance(masker, Constant) and len(masker.colour) == len(inputs.shapes) and has_numbers:
            given = masker.colour
        elif has_numbers:
            raise ExplainerError(
                f"a model with {len(inputs.shapes)} inputs takes a masker for each, in a tuple: of numbers, what "
                'stands for "not known", such as PartitionShap(model, ("mean", typical_numbers))'
            )
        if len(given) != len(inputs.shapes):
            raise ExplainerError(
                f"masker= has {len(given)} maskers, and the model {len(inputs.shapes)} inputs"
            )
        self.inputs = inputs
        self.maskers = [
            as_masker(one) if len(shape) == 3 else _of_numbers(one, shape[0])
            for one, shape in zip(given, inputs.shapes, strict=True)
        ]
        if any(isinstance(masker, Tokens) for masker in self.maskers):
            raise ExplainerError(
                'the masker "tokens" is for a model of images alone; choose another for each input'
            )
        counts = {masker.variants for masker in self.maskers} - {1}
        if len(counts) > 1 or any(masker.weights is not None for masker in self.maskers):
            raise ExplainerError(
                "references of several inputs are taken together, so they must be equally many, and have no weights"
            )
        self.variants = max(masker.variants for masker in self.maskers)

    @property
    def name(self) -> str:
        """Such as "blur(8,8) · numbers(3)"."""
        return " · ".join(masker.name for masker in self.maskers)

    def hide(self, image: Tensor, visible: Bool[Tensor, "coalitions 1 1 numbers"]) -> Tensor:
        """The row of each coalition."""
        return self.for_image(image)(visible)

    def for_image(self, image: Shaped[Tensor, "1 1 numbers"]) -> Hide:
        """The same, with what depends on the image alone computed once."""
        hides = [
            masker.for_image(_as_picture(part.to(dtype)))
            for masker, part, dtype in zip(
                self.maskers, self.inputs.parts(image[0, 0]), self.inputs.dtypes, strict=True
            )
        ]

        def hide(visible: Tensor) -> Tensor:
            rows = []
            for hidden, masker, seen in zip(
                hides, self.maskers, self.inputs.parts(visible[:, 0, 0]), strict=True
            ):
                shown = hidden(seen if seen.dim() == 4 else seen[:, None, None]).flatten(1)
                repeats = self.variants // masker.variants
                rows.append(shown.repeat_interleave(repeats, 0) if repeats > 1 else shown)
            return torch.cat([row.to(image) for row in rows], 1)[:, None, None]

        return hide


@dataclass(frozen=True, eq=False)
class _Stretch:
    """A node of an input's own tree, as a stretch of the row; and of several inputs, one after another."""

    where: Int[Tensor, "numbers"]
    inner: Node | None
    of_input: Int[Tensor, "..."] | None
    below: tuple[_Stretch, ...] = ()

    @property
    def index(self) -> tuple[Any, ...]:
        """Its numbers in the row."""
        return slice(None), 0, self.where

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return len(self.where)

    def halves(self) -> tuple[Node, Node] | None:
        """Inputs before others, then each input's own halves; numbers one by one."""
        if self.inner is not None and self.of_input is not None:
            halves = self.inner.halves()
            if halves is None:
                return None
            first, second = (_of_picture(half, self.of_input) for half in halves)
            return first, second
        if len(self.below) > 1:
            middle = (len(self.below) + 1) // 2
            return _together(self.below[:middle]), _together(self.below[middle:])
        return None


def tree_of_parts(tree: Tree, inputs: Inputs) -> Tree:
    """A function from a row to its tree: the inputs first, then each picture's own tree, and numbers one by one."""

    def root(row: Tensor) -> Node:
        below = []
        for part, start in zip(inputs.parts(row[0, 0]), inputs.starts, strict=True):
            where = torch.arange(start, start + part.numel()).reshape(part.shape)
            if part.dim() == 3:
                below.append(_of_picture(tree(part), where))
            else:
                below.append(_together([_Stretch(one.reshape(1), None, None) for one in where]))
        return _together(below)

    return root


def regions_of_parts(
    regions: Any, inputs: Inputs, row: Shaped[Tensor, "1 1 numbers"], number: int, images: int
) -> Int[Tensor, "1 numbers"]:
    """Each number's region: those of the pictures, and every number one of its own."""
    given = regions if isinstance(regions, list) else [regions] * len(inputs.shapes)
    if len(given) != len(inputs.shapes):
        raise ExplainerError(
            f"regions= is a list of {len(given)}, and the model has {len(inputs.shapes)} inputs"
        )
    labels, count = [], 0
    for own, part in zip(given, inputs.parts(row[0, 0]), strict=True):
        if part.dim() == 3:
            found = label_map(own, part, number, images).expand(part.shape).flatten()
        else:
            found = torch.arange(part.numel())
        labels.append(found + count)
        count += int(found.max()) + 1
    return torch.cat(labels)[None]


class _OfParts(nn.Module):
    """A module of several inputs as one of rows."""

    def __init__(self, model: nn.Module, inputs: Inputs) -> None:
        super().__init__()
        self.training = model.training
        self.model, self.inputs = model, inputs

    def forward(self, rows: Tensor) -> Any:
        """What the model says of the rows' inputs."""
        parts = self.inputs.parts(rows[:, 0, 0])
        return self.model(
            *(_as_given(part, dtype) for part, dtype in zip(parts, self.inputs.dtypes, strict=True))
        )


def _as_given(part: Tensor, dtype: torch.dtype) -> Tensor:
    """Whole numbers of a module as they came, but for pixels: they are what it looks something up by."""
    is_looked_up = not dtype.is_floating_point and dtype != torch.uint8
    return part.to(dtype) if is_looked_up else part


def _of_picture(node: Node, of_input: Tensor) -> _Stretch:
    return _Stretch(of_input[node.index].flatten(), node, of_input)


def _together(below: Sequence[_Stretch]) -> _Stretch:
    if len(below) == 1:
        return below[0]
    return _Stretch(torch.cat([one.where for one in below]), None, None, tuple(below))


def _channels_first(part: Any) -> Tensor:
    if isinstance(part, np.ndarray):
        return torch.from_numpy(np.ascontiguousarray(np.moveaxis(part, -1, 1) if part.ndim == 4 else part))
    tensor: Tensor = part.detach()
    return tensor


def _as_picture(part: Tensor) -> Tensor:
    return part if part.dim() == 3 else part[None, None]


def drawn(images: Tensor, dtype: torch.dtype) -> Tensor:
    """What is drawn: numbers as they are, 8-bit pictures as shares of 255."""
    return images / 255 if dtype == torch.uint8 else images


def _of_numbers(given: Any, count: int) -> Masker:
    """What stands for numbers that are not known: one for all, one for each, or references that are averaged over."""
    if isinstance(given, Masker):
        return given
    if isinstance(given, str):
        raise ExplainerError(
            f'the masker {given!r} is for pictures; of numbers, give what stands for "not known": a number, one for '
            "each, or references (K, numbers)"
        )
    values = torch.as_tensor(given, dtype=torch.float32)
    if values.dim() == 0:
        values = values.expand(count)
    values = values[None] if values.dim() == 1 else values
    if values.dim() != 2 or values.shape[1] != count:
        raise ExplainerError(
            f"an input has {count} numbers, and its masker is {tuple(values.shape)}: give a number, {count}, or "
            f"references (K, {count})"
        )
    return References(values[:, None, None])
