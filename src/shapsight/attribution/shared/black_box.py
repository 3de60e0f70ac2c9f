"""What explainers of any function have in common: a model that is asked about masked images, and how."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from shapsight.attribution.several_inputs import Inputs, MaskerOfParts, are_several, as_maskers
from shapsight.attribution.shared.game import Game
from shapsight.attribution.shared.numbers import is_whole
from shapsight.attribution.shared.of_bundle import names_of, seen_by
from shapsight.attribution.shared.predictor import Predictor, as_images
from shapsight.attribution.targets.aimed import Aims, aimed_model, check, in_place
from shapsight.data.stored import refuse_too_large
from shapsight.errors import ExplainerError
from shapsight.models.bundle import Bundle

PROBES = 8  # coalitions on which a precision is compared with float32


class BlackBox:
    """A model, what hides pixels from it, and how it is asked; the arguments are those of the explainers."""

    def __init__(
        self,
        predict: nn.Module | Callable[..., Any] | Bundle,
        masker: Any,
        *,
        batch_size: int,
        output_names: Sequence[str] | None,
        precision: str | None,
        output: str | int | None,
        seed: int,
    ) -> None:
        if not is_whole(batch_size) or batch_size < 1:
            raise ExplainerError(f"batch_size={batch_size!r} must be a whole number, at least 1")
        self.bundle = predict if isinstance(predict, Bundle) else None
        self.output_names = names_of(predict, output_names)
        asked = predict.on_pictures if isinstance(predict, Bundle) else predict
        self.predictor = Predictor(asked, precision=precision, output=output)
        self.masker = as_maskers(masker)
        self.batch_size = batch_size
        self.seed = seed
        self.aims: Aims | None = None

    def _aimed(self, outputs: Any) -> tuple[Any, list[int]]:
        """The explainer of a model that answers with the targets among the outputs, and its columns."""
        predictor = self.predictor
        model = aimed_model(predictor.predict, outputs, self.output_names, predictor.output)
        other = in_place(self, model, predictor=Predictor(model, precision=predictor.precision))
        return other, list(range(len(other.aims.aims)))

    def _given(self, images: Any, show: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The images that the model is asked about, and what is drawn."""
        if are_several(images):
            raise ExplainerError(
                "values by region are of one input: of several, call the explainer itself, whose inputs_table() has "
                "parts of pictures and numbers side by side"
            )
        if self.bundle is not None:
            images, show = seen_by(self.bundle, images, show)
        given = as_images(images, self.predictor)
        if self.aims is not None:
            check(self.predictor.predict, given)
        return given, show

    def _outlines(self, images: Tensor) -> Tensor | None:
        """What the targets are about, of images of this size."""
        return None if self.aims is None else self.aims.outlines(images)

    def _of_rows(self, inputs: Inputs) -> Self:
        """The same explainer of a model with several inputs, which lie in a row."""
        own = copy.copy(self)
        own.predictor = Predictor(
            inputs.taken(self.predictor.predict),
            precision=self.predictor.precision,
            output=self.predictor.output,
        )
        own.masker = MaskerOfParts(self.masker, inputs)
        return own

    def _game(self, image: Shaped[Tensor, "channels *sides"]) -> Game:
        at_a_time = min(self.batch_size, max(1, 4 * torch.get_num_threads()))  # as `Game` masks them
        refuse_too_large(
            image.numel() * max(image.element_size(), 4) * (2 + 2 * at_a_time)
            + self.batch_size * image[0].numel(),
            f"an image of {' × '.join(map(str, image.shape))} numbers, {at_a_time} times masked,",
            "give a smaller batch_size, or a smaller image",
            ExplainerError,
        )
        return Game(self.predictor, self.masker, image, batch_size=self.batch_size)

    def _asked_with(self, image: Shaped[Tensor, "channels height width"]) -> dict[str, Any]:
        """Settings that tell whom and how the explainer asked; with a precision, what it does to one image."""
        settings: dict[str, Any] = {
            "model": self.predictor.name,
            "masker": self.masker.name,
            "batch_size": self.batch_size,
            "seed": self.seed,
        }
        if (removal := self.masker.removal(self.predictor, image)) is not None:
            settings["tokens"] = removal.said
        if self.predictor.precision is not None:
            settings["precision"] = self.predictor.precision
            probes = random_cells(image, PROBES, torch.Generator().manual_seed(self.seed))
            settings["precision_difference"] = self._game(image).precision_difference(probes)
        return settings


def random_cells(
    image: Shaped[Tensor, "channels height width"], count: int, generator: torch.Generator
) -> Tensor:
    """Coalitions `(count, 1, *sides)` of which each has about half of the cells of a grid."""
    cells = (torch.rand(count, 1, *[7] * (image.dim() - 1), generator=generator) > 0.5).float()
    return torch.nn.functional.interpolate(cells, size=image.shape[1:]).bool().to(image.device)


def drawable(images: Shaped[Tensor, "images channels height width"]) -> Float[Tensor, "..."]:
    """Images as floats; integers up to 255 as shares of 255."""
    return images if images.is_floating_point() else images.float() / 255
