"""A model that answers with targets: one column for each, so that all that explains columns explains them."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from shapsight.attribution.shared.predictor import Predictor
from shapsight.attribution.targets.aim import Aim, Answer, Ask, Labels
from shapsight.attribution.targets.contrasts import aim_of
from shapsight.attribution.targets.labels import labels_known
from shapsight.data.framing import Frame
from shapsight.errors import naming
from shapsight.models.bundle import EightBitModel
from shapsight.models.columns import Picked, part_of
from shapsight.models.functions import Asked, is_keras, said


@dataclass(frozen=True)
class Aims:
    """The targets that were asked for, bound to a model, and what it calls its labels.

    `is_strict` raises where there is nothing like a target in an image.
    """

    aims: tuple[Aim, ...]
    labels: Labels
    output: str | int | None = None
    is_strict: bool = False

    @classmethod
    def of(cls, outputs: Any, model: Any, names: Sequence[str], output: str | int | None) -> Aims:
        """Targets among names and numbers, which are columns."""
        aims = tuple(aim_of(each).bound(model) for each in several(outputs))
        return cls(aims, labels_known(model, names), output)

    @property
    def names(self) -> tuple[str, ...]:
        """A name for each."""
        return called(self.aims)

    def columns(
        self, model: Any, ask: Callable[[Ask], Any], images: int, size: Sequence[int]
    ) -> Float[Tensor, "images targets"]:
        """A column for each target; targets that ask alike share one answer."""
        answers: dict[Ask, Answer] = {}

        def answer(aim: Aim) -> Answer:
            way = aim.asks(model)
            if way not in answers:
                answers[way] = self.answer(ask(way), images, size)
            return answers[way]

        if self.is_strict:
            for aim in self.aims:
                aim.refuse_nothing(answer)
        return torch.stack([aim.column(answer) for aim in self.aims], 1)

    def check(self, size: Sequence[int]) -> None:
        """Raise `ExplainerError` for targets that do not fit images of this size."""
        for aim in self.aims:
            aim.check(size)

    def answer(self, raw: Any, images: int, size: Sequence[int]) -> Answer:
        """What was said, or the part of it that is meant."""
        return Answer(
            raw if self.output is None else part_of(raw, self.output), images, tuple(size), self.labels
        )

    def outlines(self, images: Tensor) -> Bool[Tensor, "targets *sides"] | None:
        """The pixels that each target is about; None where none is about any."""
        size = images.shape[2:]
        found = [aim.outline(size) for aim in self.aims]
        if all(each is None for each in found):
            return None
        nothing = torch.zeros(tuple(size), dtype=torch.bool)
        return torch.stack([nothing if each is None else each for each in found]).to(images.device)


class Aimed(nn.Module):
    """A network whose columns are targets."""

    def __init__(self, model: nn.Module, aims: Aims) -> None:
        super().__init__()
        self.training = model.training
        self.model, self.aims = model, aims
        self.__name__ = getattr(model, "__name__", type(model).__name__)

    def forward(self, *inputs: Tensor) -> Float[Tensor, "images targets"]:
        """A column for each target."""
        images, size = len(inputs[0]), inputs[0].shape[2:]
        return self.aims.columns(self.model, lambda way: self.said(way, *inputs), images, size)

    def said(self, way: Ask, *inputs: Tensor) -> Any:
        """What the network says, as it says it."""
        return way(self.model.said if isinstance(self.model, Asked) else self.model, *inputs)


class AimedFunction:
    """A function of arrays whose columns are targets."""

    def __init__(self, function: Callable[..., Any], aims: Aims) -> None:
        self.function, self.aims = function, aims
        self.__name__ = getattr(function, "__name__", type(function).__name__)

    def __call__(self, images: Any) -> Float[Tensor, "images targets"]:
        """A column for each target."""
        return self.aims.columns(
            self.function, lambda way: self.said(way, images), len(images), images.shape[1:-1]
        )

    def said(self, way: Ask, images: Any) -> Any:
        """What the function says, as it says it."""
        return way(lambda given: said(self.function, given), images)


def are_aimed(outputs: Any) -> bool:
    """Whether there is a target among what is to be explained."""
    return isinstance(outputs, Aim) or (
        isinstance(outputs, list | tuple) and any(isinstance(each, Aim) for each in outputs)
    )


def aimed_model(
    model: Any, outputs: Any, names: Sequence[str], output: str | int | None
) -> Aimed | AimedFunction | EightBitModel:
    """A network or function whose columns are the targets; what a bundle puts around its network stays around."""
    if isinstance(model, EightBitModel):
        inner = aimed_model(model.model, outputs, names, output)
        assert isinstance(inner, nn.Module)
        return EightBitModel(inner, model.card)
    if isinstance(model, Picked):  # a bundle's: the target reads the whole answer
        return aimed_model(model.model, outputs, names, model.output if output is None else output)
    aims = Aims.of(outputs, model, names, output)
    if isinstance(model, nn.Module) and not is_keras(model):
        return Aimed(model, aims)
    return AimedFunction(model, aims)


def aims_of(model: Any) -> Aims:
    """The targets that a model was made for."""
    inner: Any = model.model if isinstance(model, EightBitModel) else model
    found: Aims = inner.aims
    return found


def in_place(explainer: Any, answering: Any, /, **changes: Any) -> Any:
    """A copy of an explainer that explains a model that answers with targets."""
    aims = aims_of(answering)
    other = copy.copy(explainer)
    for name, value in {"aims": aims, "output": None, "output_names": aims.names, **changes}.items():
        setattr(other, name, value)
    return other


def check(model: Any, images: Tensor) -> None:
    """Raise `ExplainerError` for targets that do not fit the images, and where a detector finds nothing like a box."""
    aims = aims_of(model)
    aims.check(images.shape[2:])
    if any(aim.may_be_missing for aim in aims.aims):
        predictor = Predictor(_strict(model))
        for number, image in enumerate(images):
            with naming(f"image {number}"):
                predictor(image[None])


def _strict(model: Any) -> Any:
    if isinstance(model, EightBitModel):
        return EightBitModel(_strict(model.model), model.card)
    aims = replace(model.aims, is_strict=True)
    return Aimed(model.model, aims) if isinstance(model, Aimed) else AimedFunction(model.function, aims)


def called(outputs: Any) -> tuple[str, ...]:
    """A name for each target; those of the same name are numbered."""
    names = [aim_of(each).name for each in several(outputs)]
    return tuple(
        f"{name} ({names[:number].count(name) + 1})" if name in names[:number] else name
        for number, name in enumerate(names)
    )


def fixed_by(outputs: Any) -> str:
    """A sha256 of the regions and embeddings that targets hold, which their names do not tell."""
    digest = hashlib.sha256()
    for each in several(outputs):
        _feed(digest, each)
    return digest.hexdigest()


def _feed(digest: Any, thing: Any) -> None:
    if isinstance(thing, Tensor):
        digest.update(f"{thing.dtype}{tuple(thing.shape)}".encode())
        digest.update(thing.detach().cpu().contiguous().numpy().tobytes())
    elif isinstance(thing, Aim):
        for each in vars(thing).values():
            _feed(digest, each)


def carried(outputs: Any, frame: Frame, size: tuple[int, int], seen: tuple[int, int]) -> list[Any]:
    """Targets in pixels of an image, for the picture of the size `seen` that shows a frame of it."""
    return [each.seen_in(frame, size, seen) if isinstance(each, Aim) else each for each in several(outputs)]


def are_placed(outputs: Any, size: Sequence[int]) -> bool:
    """Whether a target is about some pixels of an image."""
    return any(isinstance(each, Aim) and each.outline(size) is not None for each in several(outputs))


def several(outputs: Any) -> list[Any]:
    """Targets as a list."""
    return [outputs] if isinstance(outputs, Aim) else list(outputs)
