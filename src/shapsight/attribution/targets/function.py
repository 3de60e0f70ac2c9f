"""Any function of a model's answer, and one column of it, as targets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from shapsight.attribution.targets.aim import Aim, Answer
from shapsight.errors import ExplainerError
from shapsight.models.columns import as_columns, part_of


class Target(Aim):
    """Any function of what the model returns.

        surest = Target(lambda answer: answer["out"][:, 15].amax((1, 2)), "surest pixel of a person")
        DeepShap(deeplab, references)(images, surest)
        all_of_it = Target(lambda found: torch.stack([each["scores"].sum() for each in found]), "how much is there")
        PartitionShap(detector, "mean")(images, all_of_it)

    Arguments
        fn: gets what the model returns for N images (of a plain function as it returned it), and gives `(N,)`, or
            `(N, 1)`. With DeepShap and GradientShap it must be made of torch's calls.
        name: what it is called.

    Raises `ExplainerError` for what cannot be called, and where it gives other than a number an image.
    """

    def __init__(self, fn: Callable[[Any], Any], name: str) -> None:
        if not callable(fn):
            raise ExplainerError(f"Target(fn, name): fn is a {type(fn).__name__}, which cannot be called")
        if not isinstance(name, str) or not name:
            raise ExplainerError(
                f"Target(fn, name): name={name!r} must be a text that says what is explained"
            )
        self.fn, self._name = fn, name

    def __repr__(self) -> str:
        return f"Target({getattr(self.fn, '__name__', 'fn')}, {self._name!r})"

    @property
    def name(self) -> str:
        return self._name

    def read(self, answer: Answer) -> Float[Tensor, "images"]:
        found = self.fn(answer.raw)
        try:
            numbers = found if isinstance(found, Tensor) else torch.as_tensor(found, dtype=torch.float32)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ExplainerError(
                f"the target {self.name!r} gives a {type(found).__name__}, not one number an image: {error}"
            ) from error
        if numbers.shape not in ((answer.images,), (answer.images, 1)):
            raise ExplainerError(
                f"the target {self.name!r} gives {tuple(numbers.shape)} for {answer.images} images; it must be one "
                f"number an image, ({answer.images},)"
            )
        return numbers.reshape(-1)


@dataclass(frozen=True)
class Column(Aim):
    """One column of the answer, by number or name: what `outputs=` says without a target."""

    label: int | str

    @property
    def name(self) -> str:
        return self.label if isinstance(self.label, str) else f"output {self.label}"

    def read(self, answer: Answer) -> Float[Tensor, "images"]:
        columns = columns_of(answer)
        number = answer.labels.number(self.label)
        if not -columns.shape[1] <= number < columns.shape[1]:
            raise ExplainerError(f"output {number} is out of range: the model has {columns.shape[1]} outputs")
        return columns[:, number]


def columns_of(answer: Answer) -> Float[Tensor, "images columns"]:
    """The answer as one row an image."""
    return as_columns(as_tensor(part_of(answer.raw, None)), answer.images)


def as_tensor(raw: Any) -> Any:
    """What a function returned as a tensor, where it is numbers; anything else as it is."""
    if isinstance(raw, Tensor | dict):
        return raw
    try:
        return torch.as_tensor(raw, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError):
        return raw
