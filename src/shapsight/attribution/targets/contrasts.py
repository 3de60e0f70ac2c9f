"""Targets made of columns or of other targets: why a rather than b, and how undecided the model is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from shapsight.attribution.shared.numbers import is_whole
from shapsight.attribution.targets.aim import Aim, Answer
from shapsight.attribution.targets.function import Column, columns_of
from shapsight.data.framing import Frame
from shapsight.errors import ExplainerError


@dataclass(frozen=True)
class Contrast(Aim):
    """Why a rather than b: the difference of two outputs, or of two other targets.

        PartitionShap(model, "blur(64,64)", output_names=names)(images, Contrast("tabby cat", "tiger cat"))
        DeepShap(model, references)(images, Contrast(0, 1))
        DeepShap(clip, references)(images, Contrast(Text("a cat", processor), Text("a dog", processor)))
        DeepShap(segformer, references)(images, Contrast(Mask("road", region), Mask("pavement", region)))

    Its value is `a - b`, in the unit of both. Of logits, a difference is the logarithm of how much likelier a is.
    Raises `ExplainerError` for names that the model does not know.
    Source: contrastive explanations of logits, Prabhushankar et al. 2020.
    """

    a: Aim | int | str
    b: Aim | int | str

    def __post_init__(self) -> None:
        object.__setattr__(self, "a", aim_of(self.a))
        object.__setattr__(self, "b", aim_of(self.b))

    @property
    def _both(self) -> tuple[Aim, Aim]:
        assert isinstance(self.a, Aim) and isinstance(self.b, Aim)
        return self.a, self.b

    @property
    def name(self) -> str:
        a, b = self._both
        return f"{a.name} rather than {b.name}"

    def column(self, answers: Callable[[Aim], Answer]) -> Float[Tensor, "images"]:
        a, b = (each.column(answers) for each in self._both)
        return a - b

    def bound(self, model: Any) -> Aim:
        a, b = (each.bound(model) for each in self._both)
        return replace(self, a=a, b=b)

    def outline(self, size: Sequence[int]) -> Bool[Tensor, "..."] | None:
        found = [outline for each in self._both if (outline := each.outline(size)) is not None]
        return torch.stack(found).any(0) if found else None

    def seen_in(self, frame: Frame, size: tuple[int, int], seen: tuple[int, int]) -> Aim:
        a, b = (each.seen_in(frame, size, seen) for each in self._both)
        return replace(self, a=a, b=b)

    def check(self, size: Sequence[int]) -> None:
        for each in self._both:
            each.check(size)


@dataclass(frozen=True)
class Entropy(Aim):
    """How undecided a classifier is: the entropy of its classes' probabilities, in nats.

        PartitionShap(model, "mean")(images, Entropy())                            # of the softmax of logits
        DeepShap(model, references, output_names=names)(images, [Entropy(), "tabby cat"])
        Entropy("probabilities")                                                   # a model that ends with its softmax

    0 where one class has it all, `log(classes)` where all are equally likely. What raises it makes the model doubt.
    Source: Shannon 1948.
    """

    scores: str = "logits"

    def __post_init__(self) -> None:
        if self.scores not in ("logits", "probabilities"):
            raise ExplainerError(
                f"Entropy({self.scores!r}): the model answers with 'logits' or 'probabilities'"
            )

    @property
    def name(self) -> str:
        return "entropy"

    def read(self, answer: Answer) -> Float[Tensor, "images"]:
        columns = columns_of(answer)
        if columns.shape[1] < 2:
            raise ExplainerError(
                "Entropy is of the probabilities of several classes, and the model has 1 output"
            )
        if self.scores == "logits":
            return -(columns.softmax(1) * columns.log_softmax(1)).sum(1)
        return -(columns * columns.clamp_min(torch.finfo(columns.dtype).tiny).log()).sum(1)


def aim_of(wanted: Any) -> Aim:
    """A target as it is, a name or number as the column that it means."""
    if isinstance(wanted, Aim):
        return wanted
    if isinstance(wanted, str) or is_whole(wanted):
        return Column(wanted if isinstance(wanted, str) else int(wanted))
    raise ExplainerError(
        f"{wanted!r} is none of what can be explained: a column's number or name, or one of shapsight.targets"
    )
