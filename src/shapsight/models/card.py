"""The card of a bundle: all that weights do not say of themselves."""

from __future__ import annotations

import dataclasses
import json
import math
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torchvision
from jaxtyping import Float, UInt8
from torch import Tensor

import shapsight
from shapsight.data.given_files import are, is_mapping, is_number, is_text, is_whole, misfit, parsed_json
from shapsight.errors import ModelError

FORMAT = "shapsight.bundle/1"
AS_STORED = "as stored"
CARD = {
    **dict.fromkeys(("arch", "task", "channel_order", "model_hash", "answers"), is_text),
    **dict.fromkeys(("output_names", "class_names"), are(is_text)),
    **dict.fromkeys(
        ("output_scales", "training", "metrics", "versions", "scales", "preprocessing", "made"), is_mapping
    ),
    **dict.fromkeys(("mean", "std"), are(is_number)),
    "mixing": are(lambda row: isinstance(row, tuple) and are(is_number)(row) and len(row) == 3),
    "input_size": is_whole,
}


def library_versions() -> dict[str, str]:
    """The versions of what a bundle was made with."""
    return {
        "shapsight": shapsight.__version__,
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "python": platform.python_version(),
    }


@dataclass(frozen=True)
class Card:
    """All that weights do not say of themselves; `card.json` of a bundle.

    Attributes
        arch: a torchvision name, small_cnn, timm:NAME or an import path; task: "regression" or "classification".
        output_names, output_scales: such as ("x", "y"), and the unit and range of each, in words.
        scales: (low, high, unit) of each output that does not run from -1 to +1.
        input_size: the side of the square that images are resized to, in pixels.
        channel_order, mean, std: "RGB", and what channels in [0, 1] are normalised with; "as stored" for images of any
            bands, which are given to the model as they are.
        mixing: weights of red, green and blue in each channel that the model takes, where it does not take these three
            themselves; normalised with as many means and deviations.
        answers: of a classification, "logits" or "probabilities".
        preprocessing: how a user's own transform is had again; empty for images that are stretched to a square.
        made: what it takes to make a user's own model again beside `arch`; empty for one that was trained here.
        class_names: of a classification; empty for a regression.
        training, metrics: what it was trained with, and how well it did.
        versions: of shapsight, torch, torchvision and python.
        model_hash: sha256 over the names, shapes, types and values of the weights.
    """

    arch: str
    output_names: tuple[str, ...]
    output_scales: Mapping[str, str]
    input_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    task: str = "regression"
    channel_order: str = "RGB"
    class_names: tuple[str, ...] = ()
    training: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=library_versions)
    model_hash: str = ""
    scales: Mapping[str, tuple[float, float, str]] = field(default_factory=dict)
    mixing: tuple[tuple[float, ...], ...] = ()
    answers: str = "logits"
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    made: Mapping[str, Any] = field(default_factory=dict)
    format: str = FORMAT

    def normalised(
        self, images: UInt8[Tensor, "images 3 height width"] | Float[Tensor, "images 3 height width"]
    ) -> Float[Tensor, "images channels height width"]:
        """Pictures from 0 to 255 -> what the model takes: to [0, 1], mixed, less the mean, over the deviation."""
        if self.channel_order == AS_STORED:
            return images.float()
        if not self.mixing:
            return normalise(images, self.mean, self.std)
        mixing = torch.tensor(self.mixing, device=images.device)
        mean, std = (torch.tensor(v, device=images.device).view(-1, 1, 1) for v in (self.mean, self.std))
        return (torch.einsum("nchw,kc->nkhw", images.float() / 255, mixing) - mean) / std

    def to_json(self) -> str:
        """The text of card.json; a number that is not finite becomes null."""
        return json.dumps(_finite(dataclasses.asdict(self)), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str, source: str = "the card") -> Card:
        """Read `to_json`'s text. Raises `ModelError`, naming `source`, if it is another format or damaged."""
        try:
            content = parsed_json(text)
            found = content.get("format")
        except (ValueError, AttributeError) as error:
            raise ModelError(f"{source} is damaged: it is not a JSON object ({error})") from error
        if found != FORMAT:
            raise ModelError(
                f"{source} has format {found!r}; this version of shapsight ({shapsight.__version__}) reads {FORMAT!r}"
            )
        try:
            tuples = {name: tuple(content[name]) for name in ("output_names", "mean", "std", "class_names")}
            tuples["mixing"] = tuple(tuple(row) for row in content.get("mixing", ()))
            scales = {name: tuple(scale) for name, scale in content.get("scales", {}).items()}
            card = cls(**{**content, **tuples, "scales": scales})
        except (AttributeError, KeyError, TypeError) as error:
            raise ModelError(f"{source} is damaged: a field is missing or unknown ({error})") from error
        wrong = misfit(vars(card), CARD)
        if wrong is None and {len(card.mean), len(card.std)} != {len(card.mixing) or 3}:
            wrong = "mean and std are not one number for each channel"
        if wrong is not None:
            raise ModelError(f"{source} is damaged: {wrong}")
        return card


def normalise(
    images: UInt8[Tensor, "images 3 height width"], mean: tuple[float, ...], std: tuple[float, ...]
) -> Float[Tensor, "images 3 height width"]:
    """8-bit RGB -> float32: to [0, 1], less the mean, over the standard deviation of each channel."""
    shape = (1, 3, 1, 1)
    scale = torch.tensor(std, device=images.device).view(shape)
    return (images.float() / 255 - torch.tensor(mean, device=images.device).view(shape)) / scale


def _finite(content: Any) -> Any:
    """JSON knows no NaN and no infinity."""
    if isinstance(content, float) and not math.isfinite(content):
        return None
    if isinstance(content, Mapping):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return content
