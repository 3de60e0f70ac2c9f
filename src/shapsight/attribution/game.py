"""The coalitional game of one image: what the model says when only some pixels are visible."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from shapsight.attribution.maskers import Masker
from shapsight.attribution.predictor import Predictor


class Game:
    """What a model says of an image when only some of its pixels are visible.

        game = Game(Predictor(model), as_masker("blur(128,128)"), image)       # image: (C, H, W)
        game.full() - game.empty()                                             # (outputs,): what is to be shared
        game.values(visible)                                                   # (coalitions, outputs)

    Arguments
        batch_size: the most images that the model gets at a time.

    Attributes
        evaluations: coalitions that the model was asked about so far.
    """

    def __init__(
        self,
        predictor: Predictor,
        masker: Masker,
        image: Shaped[Tensor, "channels height width"],
        *,
        batch_size: int = 50,
    ) -> None:
        self.predictor = predictor
        self.masker = masker
        self.image = image.to(predictor.device or image.device)
        self.batch_size = batch_size
        self.evaluations = 0
        self._hide = masker.for_image(self.image)

    def full(self) -> Float[Tensor, "outputs"]:
        """What the model says when all pixels are visible."""
        return self._value(True)

    def empty(self) -> Float[Tensor, "outputs"]:
        """What the model says when no pixel is visible."""
        return self._value(False)

    def _value(self, is_visible: bool) -> Tensor:
        visible = torch.full((1, 1, *self.image.shape[1:]), is_visible, device=self.image.device)
        return self.values(visible)[0]

    def values(
        self, visible: Bool[Tensor, "coalitions channels_or_1 height width"]
    ) -> Float[Tensor, "coalitions outputs"]:
        """What the model says for each coalition of visible pixels, averaged over the masker's variants."""
        visible = visible.to(self.image.device)
        step = max(1, self.batch_size // self.masker.variants)
        parts = []
        for first in range(0, len(visible), step):
            shown = self._hide(visible[first : first + step])
            of = f"coalitions {self.evaluations + first} to {self.evaluations + min(first + step, len(visible)) - 1}"
            rows = torch.cat([self.predictor(chunk, of) for chunk in torch.split(shown, self.batch_size)])
            parts.append(rows.reshape(-1, self.masker.variants, rows.shape[1]).mean(1))
        self.evaluations += len(visible)
        return torch.cat(parts)
