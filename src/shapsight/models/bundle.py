"""A bundle: weights with everything that is needed to use them the same way again."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torchvision
from jaxtyping import Float, UInt8
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import shapsight
from shapsight.data.given_files import (
    are,
    is_mapping,
    is_number,
    is_text,
    is_whole,
    misfit,
    parsed_json,
    read_text,
)
from shapsight.data.scale import Scale
from shapsight.errors import DataError, ModelError, naming
from shapsight.models.build import build_model
from shapsight.models.references import ChosenReferences
from shapsight.models.rescaled import in_units
from shapsight.models.weights import load_state

FORMAT = "shapsight.bundle/1"
CARD = {
    **dict.fromkeys(("arch", "task", "channel_order", "model_hash"), is_text),
    **dict.fromkeys(("output_names", "class_names"), are(is_text)),
    **dict.fromkeys(("output_scales", "training", "metrics", "versions", "scales"), is_mapping),
    **dict.fromkeys(("mean", "std"), lambda value: are(is_number)(value) and len(value) == 3),
    "input_size": is_whole,
}
FILES = ("model.safetensors", "references.safetensors", "card.json")


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
        channel_order, mean, std: "RGB", and what channels in [0, 1] are normalised with.
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
    format: str = FORMAT

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
            scales = {name: tuple(scale) for name, scale in content.get("scales", {}).items()}
            card = cls(**{**content, **tuples, "scales": scales})
        except (AttributeError, KeyError, TypeError) as error:
            raise ModelError(f"{source} is damaged: a field is missing or unknown ({error})") from error
        if (wrong := misfit(vars(card), CARD)) is not None:
            raise ModelError(f"{source} is damaged: {wrong}")
        return card


@dataclass(frozen=True, eq=False)
class Bundle:
    """A trained model, its card and its reference images.

        bundle = load_bundle("run/model")
        images = load_images("data", ["room_1/112_98_a.jpg"], bundle.card.input_size)
        bundle.predict(images)                      # (1, outputs), float32
        bundle.model(bundle.prepare(images))        # the same, with gradients

    `model` is always in eval mode. `references` are uint8 images `(K, 3, S, S)`, not normalised, as
    `load_images` returns them, and `chosen` has what is known of them where they were chosen.
    Raises `ModelError` if sizes do not go together.
    """

    model: nn.Module
    card: Card
    references: UInt8[Tensor, "references 3 size size"]
    chosen: ChosenReferences | None = None

    def __post_init__(self) -> None:
        self.check(self.references)
        self.model.eval()

    @classmethod
    def of_chosen(cls, model: nn.Module, card: Card, chosen: ChosenReferences) -> Bundle:
        """A bundle whose references were chosen."""
        return cls(model, card, chosen.references, chosen)

    def prepared_references(self, most: int | None = None) -> ChosenReferences:
        """The references, or the first of them, as an explainer of `model` takes them: normalised, on its device."""
        chosen = self.chosen or ChosenReferences.drawn(self.references)
        chosen = chosen if most is None else chosen.first(most)
        device = next(self.model.parameters()).device
        return dataclasses.replace(chosen, references=self.prepare(chosen.references.to(device)))

    def prepare(self, images: UInt8[Tensor, "images 3 size size"]) -> Float[Tensor, "images 3 size size"]:
        """Images as `load_images` returns them -> what the model takes: float32, normalised."""
        self.check(images)
        return normalise(images, self.card.mean, self.card.std)

    def predict(
        self, images: UInt8[Tensor, "images 3 size size"], batch_size: int = 64
    ) -> Float[Tensor, "images outputs"]:
        """Predictions on the CPU, made in batches on the model's device, in eval mode, without gradients.

        Targets come in their own units, classes as logits.
        """
        self.check(images)
        self.model.eval()
        device = next(self.model.parameters()).device
        predictions = [torch.empty(0, len(self.card.output_names))]
        with torch.inference_mode():
            for start in range(0, len(images), batch_size):
                batch = images[start : start + batch_size].to(device)
                predictions.append(self.model(self.prepare(batch)).float().cpu())
        return torch.cat(predictions)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write model.safetensors, references.safetensors and card.json; the old ones stay until all are written."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        parts = {name: folder / f".{name}.part" for name in FILES}
        state = {key: value.detach().cpu().contiguous() for key, value in self.model.state_dict().items()}
        _save(state, parts["model.safetensors"])
        known = self.chosen or ChosenReferences.drawn(self.references)
        _save(known.tensors(), parts["references.safetensors"])
        card = dataclasses.replace(self.card, model_hash=weights_hash(self.model))
        parts["card.json"].write_text(card.to_json(), encoding="utf-8")
        for name, part in parts.items():
            part.replace(folder / name)
        return folder

    def check(self, images: object) -> None:
        size = self.card.input_size
        if not isinstance(images, Tensor):
            raise ModelError(
                f"this bundle takes a uint8 tensor (N, 3, {size}, {size}), as load_images(..., {size}) makes it, not "
                f"a {type(images).__name__}"
            )
        if images.dtype != torch.uint8 or tuple(images.shape[1:]) != (3, size, size):
            raise ModelError(
                f"this bundle takes uint8 images of shape (N, 3, {size}, {size}), as load_images(..., {size}) "
                f"makes them, not {str(images.dtype).removeprefix('torch.')} of shape {tuple(images.shape)}"
            )


def load_bundle(folder: str | os.PathLike[str]) -> Bundle:
    """Read what `Bundle.save` wrote; the model is on the CPU, in eval mode.

        bundle = load_bundle("run/model")

    Raises `ModelError` if a file is missing or damaged, if the card has another format version, or if the
    weights are not those that the card was written for.
    """
    folder = Path(folder)
    for name in FILES:
        if not (folder / name).is_file():
            raise ModelError(
                f"{folder} is no bundle: {name} is missing. Expected {', '.join(FILES)} in a folder"
            )
    card = _read_card(folder / "card.json")
    state = _read(folder / "model.safetensors")
    tensors = _read(folder / "references.safetensors")
    if "references" not in tensors:
        raise ModelError(f"{folder / 'references.safetensors'} holds no tensor called references")
    try:
        chosen = ChosenReferences.of_tensors(tensors)
    except (KeyError, ValueError, ZeroDivisionError) as error:
        raise ModelError(f"{folder / 'references.safetensors'} is damaged: {error} is missing") from error
    with naming(folder / "card.json"):
        model = build_model(card.arch, len(card.output_names), weights="none").model
    model = in_units(model, _scales_of(card, folder / "card.json")).eval()
    load_state(model, state, str(folder / "model.safetensors"))
    if weights_hash(model) != card.model_hash:
        raise ModelError(
            f"{folder / 'model.safetensors'} holds other weights than card.json was written for: one of the two "
            "was changed or comes from another run, so nothing the card says is sure"
        )
    with naming(folder / "references.safetensors"):
        return Bundle.of_chosen(model, card, chosen)


def _read_card(path: Path) -> Card:
    try:
        text = read_text(path)
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} is damaged: {error}") from error
    return Card.from_json(text, str(path))


def _scales_of(card: Card, path: Path) -> list[Scale]:
    try:
        return [Scale(*card.scales.get(name, ())) for name in card.output_names]
    except (DataError, TypeError) as error:
        raise ModelError(f"{path} is damaged: a scale cannot be read ({error})") from error


def normalise(
    images: UInt8[Tensor, "images 3 height width"], mean: tuple[float, ...], std: tuple[float, ...]
) -> Float[Tensor, "images 3 height width"]:
    """8-bit RGB -> float32: to [0, 1], less the mean, over the standard deviation of each channel."""
    shape = (1, 3, 1, 1)
    scale = torch.tensor(std, device=images.device).view(shape)
    return (images.float() / 255 - torch.tensor(mean, device=images.device).view(shape)) / scale


def weights_hash(model: nn.Module) -> str:
    """sha256 over the names, types, shapes and values of a model's parameters and buffers."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _save(tensors: dict[str, Tensor], path: Path) -> None:
    """Safetensors makes files that only their owner may read; a bundle's get the usual permissions."""
    path.touch()
    permissions = path.stat().st_mode
    save_file(tensors, path)
    path.chmod(permissions)


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is damaged or not a safetensors file: {error}") from error


def _finite(content: Any) -> Any:
    """JSON knows no NaN and no infinity."""
    if isinstance(content, float) and not math.isfinite(content):
        return None
    if isinstance(content, Mapping):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return content
