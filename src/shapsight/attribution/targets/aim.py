"""What every target is: it turns a model's answer for some images into one number for each of them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Bool, Float
from torch import Tensor, nn

from shapsight.attribution.shared.numbers import is_whole
from shapsight.data.framing import Frame
from shapsight.errors import ExplainerError

Ask = Callable[..., Any]  # (model, *inputs) -> what a target reads


def itself(model: Any, *inputs: Any) -> Any:
    """The usual question: the model itself, of the images."""
    return model(*inputs)


@dataclass(frozen=True)
class Labels:
    """What the model calls its labels, where anybody says so.

    count: how many there are, without one that stands for "nothing"; None where it is not known.
    """

    names: tuple[str, ...] = ()
    count: int | None = None

    def number(self, label: int | str) -> int:
        """The number of a label. Raises `ExplainerError` for one that the model does not know."""
        if is_whole(label):
            return int(label)
        if not isinstance(label, str):
            raise ExplainerError(f"a label is a name or a whole number, not {label!r}")
        if label in self.names:
            return self.names.index(label)
        if not self.names:
            raise ExplainerError(
                f"the label {label!r} is a name, and the model has none: give its number, or names in order with "
                "output_names="
            )
        near = difflib.get_close_matches(label, self.names, 4, 0.4) or self.names[:8]
        raise ExplainerError(
            f"the model knows no label {label!r}; the nearest of its {len(self.names)} names: "
            f"{', '.join(map(repr, near))}"
        )


@dataclass(frozen=True)
class Answer:
    """What a model said of some images.

    raw: as it said it; images: how many; size: theirs, `(height, width)` or `(depth, height, width)`.
    """

    raw: Any
    images: int
    size: tuple[int, ...]
    labels: Labels = field(default_factory=Labels)


class Aim:
    """A target: what of a model's answer is explained, as one number an image; its children say which."""

    @property
    def name(self) -> str:
        """What it is called in tables and over pictures."""
        raise NotImplementedError

    def read(self, answer: Answer) -> Float[Tensor, "images"]:
        """The number for each image."""
        raise NotImplementedError

    def column(self, answers: Callable[[Aim], Answer]) -> Float[Tensor, "images"]:
        """The number for each image, given how any target gets the answer that it reads."""
        return self.read(answers(self))

    def bound(self, model: Any) -> Aim:
        """The same with everything that only the model knows, found out once."""
        return self

    def asks(self, model: Any) -> Ask:
        """How the model is asked; targets that ask alike share one answer."""
        return itself

    def check(self, size: Sequence[int]) -> None:
        """Raise `ExplainerError` where it does not fit images of this size."""

    def outline(self, size: Sequence[int]) -> Bool[Tensor, "..."] | None:
        """The pixels of an image of this size that it is about; None where that is no part of the image."""
        return None

    def seen_in(self, frame: Frame, size: tuple[int, int], seen: tuple[int, int]) -> Aim:
        """The same target in a picture of the size `seen` that shows this frame of an image of `size`."""
        return self

    @property
    def may_be_missing(self) -> bool:
        """Whether an image may hold nothing of the kind, so that all its values would be 0."""
        return False

    def refuse_nothing(self, answers: Callable[[Aim], Answer]) -> None:
        """Raise `ExplainerError` where an image holds nothing of the kind."""


def module_of(model: Any) -> nn.Module | None:
    """The model itself inside of whatever spreads it over devices; None for a function."""
    while isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
        model = model.module
    return model if isinstance(model, nn.Module) else None
