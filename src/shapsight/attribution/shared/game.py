"""The coalitional game of one image: what the model says when only some pixels are visible."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from shapsight.attribution.maskers import Masker
from shapsight.attribution.shared.heap import give_back_unused
from shapsight.attribution.shared.memory import is_out_of_memory
from shapsight.attribution.shared.predictor import Predictor
from shapsight.attribution.tokens import Removal
from shapsight.errors import ExplainerError

# Pixels that a processor's caches hold while a network runs: more images at a time are slower, not quicker
# (SqueezeNet-1.1, 224 × 224, seconds of one core for an image: 0.0096 by 5, 0.010 by 10, 0.012 by 25, 0.016 by 50).
CACHED_PIXELS = 10 * 224 * 224


class UnsteadyModelWarning(UserWarning):
    """The model says different things of the same image."""


class Game:
    """What a model says of an image when only some of its pixels are visible.

        game = Game(Predictor(model), as_masker("blur(128,128)"), image)       # image: (C, H, W)
        game.full() - game.empty()                                             # (outputs,): what is to be shared
        game.values(visible)                                                   # (coalitions, outputs)

    Coalitions that are alike are asked about once. No more than `batch_size` masked images are held at a time (twice
    as many while a GPU is at work: the next ones are masked meanwhile), so memory does not grow with their number.

    Arguments
        batch_size: the most images that the model gets at a time. A module on a processor gets fewer where that is
            quicker; this changes no value.

    Attributes
        evaluations: coalitions that the model was asked about so far.
        removal: how patches are taken away inside the model, where the masker does that.

    Raises `ExplainerError` for an image that the masker does not fit. Warns with `UnsteadyModelWarning`, once, if the
    model answers differently when it is asked again.
    """

    def __init__(
        self,
        predictor: Predictor,
        masker: Masker,
        image: Shaped[Tensor, "channels height width"],
        *,
        batch_size: int = 50,
    ) -> None:
        if batch_size < 1:
            raise ExplainerError(f"batch_size={batch_size}: the model must get at least one image at a time")
        self.predictor = predictor
        self.masker = masker
        # a copy: a masker may write into it
        self.image = image.detach().to(predictor.device or image.device, copy=True)
        self.batch_size = batch_size
        self.evaluations = 0
        self._hide = masker.for_image(self.image)
        self.removal = masker.removal(predictor, self.image)
        self._full: Tensor | None = None
        self._empty: Tensor | None = None

    def full(self) -> Float[Tensor, "outputs"]:
        """What the model says when all pixels are visible: of the image itself, unmasked."""
        if self._full is None:
            self._full = self.predictor(self.image.unsqueeze(0), "the whole image")[0]
            self.evaluations += 1
            self._warn_if_unsteady(self._full)
        return self._full

    def empty(self) -> Float[Tensor, "outputs"]:
        """What the model says when no pixel is visible."""
        if self._empty is None:
            nothing = torch.zeros((1, 1, *self.image.shape[1:]), dtype=torch.bool, device=self.image.device)
            self._empty = self._ask(nothing, "the image with all pixels hidden")[0]
            self.evaluations += 1
        return self._empty

    def starts_like(self, other: Game) -> None:
        """Take over what the model says when nothing is visible, where that does not depend on the image."""
        self._empty = other.empty()

    def values(
        self, visible: Bool[Tensor, "coalitions channels_or_1 height width"]
    ) -> Float[Tensor, "coalitions outputs"]:
        """What the model says for each coalition of visible pixels, averaged over the masker's variants.

        Raises `ExplainerError` for masks of another size than the image, and if the model fails.
        """
        self._check(visible)
        first, which = distinct(visible)
        asked = visible if len(first) == len(visible) else visible[first]
        of = f"coalitions {self.evaluations} to {self.evaluations + len(first) - 1}"
        answers = self._ask(asked.to(self.image.device), of)
        self.evaluations += len(first)
        return answers[which.to(answers.device)]

    def precision_difference(self, visible: Bool[Tensor, "coalitions channels_or_1 height width"]) -> float:
        """How far the predictor's precision moves the values of some coalitions, as a share of their spread.

        The largest difference from the values in float32, over the largest change of an output between two of these
        coalitions. 0 where the predictor's precision is the model's own.
        """
        if self.predictor.precision is None:
            return 0.0
        exact = Game(
            Predictor(self.predictor.predict, output=self.predictor.output),
            self.masker,
            self.image,
            batch_size=self.batch_size,
        )
        rough, fine = self.values(visible), exact.values(visible)
        spread = (fine.amax(0) - fine.amin(0)).max()
        return float((rough - fine).abs().max() / spread.clamp_min(torch.finfo(fine.dtype).tiny))

    def _check(self, visible: Tensor) -> None:
        channels = len(self.image)
        if (
            visible.dtype != torch.bool
            or visible.dim() != self.image.dim() + 1
            or visible.shape[1] not in (1, channels)
            or visible.shape[2:] != self.image.shape[1:]
            or not len(visible)
        ):
            raise ExplainerError(
                f"visible must be boolean, (coalitions, 1 or {channels}, {', '.join(map(str, self.image.shape[1:]))}); "
                f"got {visible.dtype} {tuple(visible.shape)}"
            )

    def _ask(self, visible: Tensor, of: str) -> Tensor:
        """The model's mean answer over each coalition's variants."""
        with self.predictor.held():
            removal = self.removal
            answers = self._painted(visible, of) if removal is None else self._removed(visible, removal, of)
        give_back_unused()
        return answers

    def _painted(self, visible: Tensor, of: str) -> Tensor:
        variants, weights = self.masker.variants, self.masker.weights
        parts = []
        for shown in self._masked(visible, max(1, self._group() // variants)):
            answers = torch.cat(
                [
                    self._answers(batch, lambda images: self.predictor(images, of))
                    for batch in torch.split(shown, self._batch())
                ]
            )
            versions = answers.reshape(-1, variants, answers.shape[1])
            parts.append(
                versions.mean(1)
                if weights is None
                else torch.einsum("cvo,v->co", versions, weights.to(versions))
            )
        return torch.cat(parts)

    def _removed(self, visible: Tensor, removal: Removal, of: str) -> Tensor:
        """The model's answers without the tokens of hidden patches, those together that keep as many."""
        kept = removal.kept(visible)

        def answer(kept: Tensor) -> Tensor:
            with removal.without(kept):
                return self.predictor(self.image.expand(len(kept), *self.image.shape), of)

        groups = removal.groups(kept, self._batch())
        answers = torch.cat([self._answers(kept[group], answer) for group in groups])
        return answers[torch.cat(groups).argsort()]

    def _masked(self, visible: Tensor, step: int) -> Iterator[Tensor]:
        """The masked images of `step` coalitions after another.

        A GPU gets the next ones masked while it works; a processor would only take turns with itself.
        """
        groups = torch.split(visible, step)
        if len(groups) == 1 or not is_beside_the_model(self.image.device):
            yield from map(self._hidden, groups)
            return
        with ThreadPoolExecutor(1) as pool:
            coming: Future[Tensor] = pool.submit(self._hidden, groups[0])
            for group in groups[1:]:
                ready, coming = coming, pool.submit(self._hidden, group)
                yield ready.result()
                del ready
            yield coming.result()

    def _hidden(self, visible: Tensor) -> Tensor:
        shown = self._hide(visible)
        if not isinstance(shown, Tensor):
            raise ExplainerError(
                f"the masker {self.masker.name} returns a {type(shown).__name__}; it must return a tensor"
            )
        expected = (len(visible) * self.masker.variants, *self.image.shape)
        if shown.shape != expected:
            raise ExplainerError(
                f"the masker {self.masker.name} returns {tuple(shown.shape)} for {len(visible)} coalitions with "
                f"{self.masker.variants} variants each of an image {tuple(self.image.shape)}; it must return {expected}"
            )
        return shown.to(self.image)

    def _batch(self) -> int:
        """How many images the model gets at a time."""
        if not self.predictor.is_module or self.image.device.type != "cpu":
            return self.batch_size
        return max(1, min(self.batch_size, CACHED_PIXELS // self.image.shape[1:].numel()))

    def _group(self) -> int:
        """How many images are masked at a time: while they are in the caches, but enough for all threads."""
        return min(self.batch_size, max(self._batch(), 4 * torch.get_num_threads()))

    def _answers(self, given: Tensor, answer: Callable[[Tensor], Tensor]) -> Tensor:
        """The model's outputs; where memory runs out, half of the images at a time."""
        try:
            return answer(given)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or len(given) == 1:
                raise
        halves = torch.split(given, (len(given) + 1) // 2)
        return torch.cat([self._answers(half, answer) for half in halves])

    def _warn_if_unsteady(self, first: Tensor) -> None:
        """Ask again, beside another image: a model that is random, or mixes images, gives another answer."""
        # A row of numbers, which may be of anything, is no picture when it is turned round.
        other = (
            self.image.flip(2)
            if self.image.shape[1] > 1
            else self._hidden(torch.zeros_like(self.image[None], dtype=torch.bool))[0]
        )
        beside = torch.stack([self.image, other])
        again = self.predictor(beside, "the whole image, asked again beside another image")[0]
        difference = (first - again).abs().max().item()
        allowed = 1e-3 if self.predictor.precision is None else 5e-2
        if difference > allowed * max(first.abs().max().item(), 1e-6):
            warnings.warn(
                f"the model's answer for the same image changes by up to {difference:.3g} (its outputs go up to "
                f"{first.abs().max().item():.3g}): it is random, or mixes the images of a batch. The values will "
                "carry that noise; make the model deterministic to be rid of it",
                UnsteadyModelWarning,
                stacklevel=3,
            )


def is_beside_the_model(device: torch.device) -> bool:
    """Whether the processor is free to mask images while the model works."""
    return device.type != "cpu"


def distinct(visible: Bool[Tensor, "coalitions ..."]) -> tuple[Tensor, Tensor]:
    """The first coalition of each kind, and for every coalition which of these it is."""
    rows = np.packbits(visible.flatten(1).cpu().numpy(), axis=1)
    seen: dict[bytes, int] = {}
    first: list[int] = []
    which: list[int] = []
    for number, row in enumerate(rows):
        key = row.tobytes()
        if key not in seen:
            seen[key] = len(first)
            first.append(number)
        which.append(seen[key])
    return torch.tensor(first, device=visible.device), torch.tensor(which, device=visible.device)
