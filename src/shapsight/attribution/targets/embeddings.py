"""Targets of models that answer with embeddings: likeness to another embedding, and to a text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from shapsight.attribution.targets.aim import Aim, Answer, Ask, itself, module_of
from shapsight.attribution.targets.function import as_tensor
from shapsight.errors import ExplainerError

PARTS = ("image_embeds", "pooler_output")  # what Hugging Face calls an embedding
WAYS = (
    ("get_image_features", "get_text_features"),
    ("encode_image", "encode_text"),
)  # Hugging Face's, open_clip's


def image_features(model: Any, *inputs: Any) -> Any:
    """What an image-text model makes of images alone."""
    ways = _ways(model)
    assert ways is not None  # only such models are asked so
    return getattr(model, ways[0])(*inputs)


def _ways(model: Any) -> tuple[str, str] | None:
    return next((ways for ways in WAYS if all(hasattr(model, way) for way in ways)), None)


@dataclass(frozen=True, eq=False)
class Similarity(Aim):
    """How like another image, or anything else with an embedding, a model finds an image: the cosine of the two.

        DeepShap(siamese, references)(images, Similarity(siamese(other)[0]))          # other: an image, (1, 3, H, W)
        PartitionShap(clip, "blur(64,64)")(images, Similarity(clip.get_image_features(other)))

    embedding: `(numbers,)` or `(1, numbers)`, as the model answers it; it is held fixed. The value is the cosine, from
    -1 to 1. Of Hugging Face's answers `image_embeds` or `pooler_output` is taken, and CLIP and SigLIP are asked by
    `get_image_features`.
    Raises `ExplainerError` for an embedding of another length than the model's.
    """

    embedding: Float[Tensor, "numbers"]
    title: str = "cosine similarity"

    def __post_init__(self) -> None:
        found = torch.as_tensor(_embedding_in(self.embedding)).detach().clone()
        found = found.flatten() if found.dim() != 2 or len(found) == 1 else found
        if found.dim() != 1 or not found.is_floating_point() or not found.isfinite().all() or not found.any():
            raise ExplainerError(
                f"Similarity(embedding) takes one embedding, (numbers,), finite and not all 0; not {found.dtype} of "
                f"shape {tuple(found.shape)}"
            )
        object.__setattr__(self, "embedding", found)

    @property
    def name(self) -> str:
        return self.title

    def asks(self, model: Any) -> Ask:
        return image_features if _ways(module_of(model)) else itself

    def read(self, answer: Answer) -> Float[Tensor, "images"]:
        found = _embedding_in(answer.raw)
        length = len(self.embedding)
        if not isinstance(found, Tensor) or len(found) != answer.images or found[0].numel() != length:
            what = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise ExplainerError(
                f"the model's embedding of {answer.images} images is {what}, and the one given has {length} numbers: "
                "give one that the same model made, and with output= which part of its answer it is"
            )
        return F.cosine_similarity(found.flatten(1), self.embedding.to(found)[None], dim=1)


def _embedding_in(raw: Any) -> Any:
    if not isinstance(raw, Tensor):
        for part in PARTS:
            found = raw.get(part) if isinstance(raw, dict) else getattr(raw, part, None)
            if isinstance(found, Tensor):
                return found
    return as_tensor(raw)


@dataclass(frozen=True, eq=False)
class Text(Aim):
    """How well an image goes with a text, for an image-text model: the cosine of their embeddings.

        PartitionShap(clip, "blur(64,64)")(images, Text("a cat", processor))          # processor: as it came with CLIP
        DeepShap(siglip, references)(images, Contrast(Text("a cat", processor), Text("a dog", processor)))

    Arguments
        text: the text, held fixed: its embedding is computed once.
        processor: what makes the model's text input of it: a processor or tokenizer of Hugging Face, of open_clip, or
            a function from a list of texts to token numbers or keyword arguments.

    CLIP, SigLIP and their kin of Hugging Face (`get_image_features`, `get_text_features`) and of open_clip
    (`encode_image`, `encode_text`). The value is the cosine, from -1 to 1; the model's logit is a multiple of it.
    Raises `ExplainerError` for another kind of model, and for a text that is longer than the model takes.
    Source: Radford et al. 2021 (CLIP).
    """

    text: str
    processor: Callable[..., Any]

    def __post_init__(self) -> None:
        if not isinstance(self.text, str) or not self.text.strip():
            raise ExplainerError(f"Text({self.text!r}): say what the image is compared with")
        if not callable(self.processor):
            raise ExplainerError(
                f"Text(text, processor): a {type(self.processor).__name__} cannot be called with a text; give the "
                "model's processor or tokenizer"
            )

    @property
    def name(self) -> str:
        return f"similarity to \u201c{self.text}\u201d"

    def bound(self, model: Any) -> Aim:
        """With the text's embedding."""
        network = module_of(model)
        ways = _ways(network)
        if network is None or not ways:
            raise ExplainerError(
                f"Text needs a model of images and texts, such as CLIP or SigLIP (get_image_features and "
                f"get_text_features), not a {type(model).__name__}"
            )
        tokens = self._tokens(network)
        was_training = [module for module in network.modules() if module.training]
        try:
            for module in was_training:
                module.training = False
            with torch.no_grad():
                way = getattr(network, ways[1])
                found = way(**tokens) if isinstance(tokens, dict) else way(tokens)
        finally:
            for module in was_training:
                module.training = True
        return Similarity(_embedding_in(found), self.name)

    def _tokens(self, model: Any) -> dict[str, Tensor] | Tensor:
        """What the model's text part takes."""
        given = self._processed()
        tokens = given if isinstance(given, Tensor) else given["input_ids"]
        longest = self._longest(model)
        if longest is not None and tokens.shape[-1] > longest:
            raise ExplainerError(
                f"the text {self.text[:40]!r}... has {tokens.shape[-1]} tokens, and the model takes {longest}: "
                "shorten it"
            )
        device = next(model.parameters()).device
        if isinstance(given, Tensor):
            return {"input_ids": given.to(device)} if hasattr(model, WAYS[0][1]) else given.to(device)
        return {name: each.to(device) for name, each in given.items() if isinstance(each, Tensor)}

    def _processed(self) -> dict[str, Any] | Tensor:
        try:
            found = self.processor(text=[self.text], return_tensors="pt", padding="max_length")
        except TypeError:
            found = self.processor([self.text])
        except ValueError:  # a tokenizer without a token to pad with
            found = self.processor(text=[self.text], return_tensors="pt")
        return dict(found) if hasattr(found, "keys") else torch.as_tensor(found)

    @staticmethod
    def _longest(model: Any) -> int | None:
        config = getattr(model, "config", None)
        config = getattr(config, "text_config", config)
        found = getattr(config, "max_position_embeddings", None) or getattr(model, "context_length", None)
        return found if isinstance(found, int) else None
