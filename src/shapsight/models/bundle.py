"""A bundle: weights with everything that is needed to use them the same way again."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import torch
import torchvision
from jaxtyping import Float, UInt8
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import shapsight
from shapsight.data.framing import Framing, Stretched
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
from shapsight.data.images import Progress, load_images
from shapsight.data.manifest import Manifest
from shapsight.data.scale import Scale
from shapsight.errors import DataError, ModelError, naming
from shapsight.models.build import build_model
from shapsight.models.modes import in_eval_mode
from shapsight.models.pictures import as_pictures
from shapsight.models.references import ChosenReferences
from shapsight.models.rescaled import in_units
from shapsight.models.weights import load_state

FORMAT = "shapsight.bundle/1"
CARD = {
    **dict.fromkeys(("arch", "task", "channel_order", "model_hash"), is_text),
    **dict.fromkeys(("output_names", "class_names"), are(is_text)),
    **dict.fromkeys(("output_scales", "training", "metrics", "versions", "scales"), is_mapping),
    **dict.fromkeys(("mean", "std"), are(is_number)),
    "mixing": are(lambda row: isinstance(row, tuple) and are(is_number)(row) and len(row) == 3),
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
        mixing: weights of red, green and blue in each channel that the model takes, where it does not take these three
            themselves; normalised with as many means and deviations.
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
    format: str = FORMAT

    def normalised(
        self, images: UInt8[Tensor, "images 3 height width"] | Float[Tensor, "images 3 height width"]
    ) -> Float[Tensor, "images channels height width"]:
        """Pictures from 0 to 255 -> what the model takes: to [0, 1], mixed, less the mean, over the deviation."""
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


class EightBitModel(nn.Module):
    """A network that takes pictures as they are decoded, 0 to 255, and normalises them itself, as its card says.

    Black-box methods need it: a masker works on pictures, not on normalised tensors.
    """

    def __init__(self, model: nn.Module, card: Card) -> None:
        super().__init__()
        self.training = model.training
        self.model, self.card = model, card

    def forward(self, images: Float[Tensor, "images 3 height width"]) -> Tensor:
        """The network's outputs for pictures from 0 to 255."""
        result: Tensor = self.model(self.card.normalised(images))
        return result


@dataclass(frozen=True, eq=False)
class Bundle:
    """A model with all that is needed to ask it: how an image is fed, names, units, and reference images.

        bundle = load_bundle("run/model")                         # one that was trained here
        bundle = Bundle.wrap(model, transform, outputs=["x", "y"])     # one's own
        bundle.predict("photos/112_98_a.jpg")                     # (1, outputs), float32
        images = bundle.pictures(["a.jpg", "b.jpg"])              # what the model sees: uint8 (2, 3, height, width)
        bundle.model(bundle.prepare(images))                      # the same as predict(images), with gradients

    `references` are such pictures, `(K, 3, height, width)`, and `chosen` has what is known of them where they were
    chosen. `framing` says what of an image is seen, by default the whole, stretched to a square. `is_borrowed`: the
    model is the user's, and stays in the mode that it is in. Raises `ModelError` if sizes do not go together.
    """

    model: nn.Module
    card: Card
    references: UInt8[Tensor, "references 3 height width"]
    chosen: ChosenReferences | None = None
    framing: Framing | None = None
    is_borrowed: bool = False

    def __post_init__(self) -> None:
        if self.framing is None:
            object.__setattr__(self, "framing", Stretched(self.card.input_size))
        self.check(self.references)
        if not self.is_borrowed:
            self.model.eval()

    @property
    def seen(self) -> Framing:
        """What of an image the model sees."""
        assert self.framing is not None
        return self.framing

    @property
    def device(self) -> torch.device:
        """Where the model is; of a function without weights, the CPU."""
        return device_of(self.model)

    @property
    def fingerprint(self) -> str:
        """A sha256 that tells two models apart: over the weights, or over the answers of a function without any."""
        if self.model.state_dict():
            return weights_hash(self.model)
        height, width = self.seen.size
        probes = torch.randint(0, 256, (2, 3, height, width), generator=torch.Generator().manual_seed(0))
        return hashlib.sha256(self.predict(probes.to(torch.uint8)).numpy().tobytes()).hexdigest()

    def with_references(self, chosen: ChosenReferences, **training: Any) -> Bundle:
        """The bundle with other references; its card says how they came about."""
        card = dataclasses.replace(self.card, training={**self.card.training, **training})
        return dataclasses.replace(self, card=card, references=chosen.references, chosen=chosen)

    def prepared_references(self, most: int | None = None) -> ChosenReferences:
        """The references, or the first of them, as an explainer of `model` takes them: normalised, on its device."""
        chosen = self.chosen or ChosenReferences.drawn(self.references)
        chosen = chosen if most is None else chosen.first(most)
        if not len(chosen):
            raise ModelError(
                "this bundle has no references, which DeepSHAP and GradientSHAP compare with: give "
                "Bundle.wrap(..., references=photos), 20 to 100 of the training images"
            )
        return dataclasses.replace(chosen, references=self.prepare(chosen.references.to(self.device)))

    def pictures(self, images: Any) -> UInt8[Tensor, "images 3 height width"]:
        """Images of any kind -> the pictures that the model sees, uint8 RGB.

            bundle.pictures("a.jpg");  bundle.pictures(["a.jpg", pil_image, array])

        `images`: a path, a PIL image, an array (height, width) or (height, width, channels), a uint8 tensor (channels,
        height, width), or several of these, of any sizes. A uint8 tensor (N, 3, height, width) of the size that the
        model sees is taken for what it sees already. Raises `DataError` for anything else.
        """
        if isinstance(images, Tensor) and images.dim() == 4 and tuple(images.shape[1:]) == self._shape:
            self.check(images)
            return images
        return torch.stack([self.seen.see(pixels) for pixels in as_pictures(images)])

    def load(
        self, manifest: Manifest, paths: Sequence[str] | None = None, *, progress: Progress | None = None
    ) -> UInt8[Tensor, "images 3 height width"]:
        """What the model sees of a dataset's images, all or those of some paths."""
        paths = list(manifest.table["path"]) if paths is None else paths
        return load_images(manifest, paths, self.seen, progress=progress)

    def prepare(
        self, images: UInt8[Tensor, "images 3 height width"]
    ) -> Float[Tensor, "images channels height width"]:
        """Pictures -> what the model takes: float32, normalised."""
        self.check(images)
        return self.card.normalised(images)

    @property
    def on_pictures(self) -> EightBitModel:
        """The model of pictures from 0 to 255, which maskers work on."""
        return EightBitModel(self.model, self.card)

    def predict(self, images: Any, batch_size: int = 64) -> Float[Tensor, "images outputs"]:
        """Predictions on the CPU, made in batches on the model's device, in eval mode, without gradients.

        `images` are whatever `pictures` takes. Targets come in their own units, classes as logits.
        """
        pictures = self.pictures(images)
        predictions = [torch.empty(0, len(self.card.output_names))]
        with torch.inference_mode(), in_eval_mode(self.model):
            for start in range(0, len(pictures), batch_size):
                batch = pictures[start : start + batch_size].to(self.device)
                predictions.append(self.model(self.prepare(batch)).float().cpu())
        return torch.cat(predictions)

    @property
    def _shape(self) -> tuple[int, int, int]:
        return (3, *self.seen.size)

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
        height, width = self.seen.size
        if not isinstance(images, Tensor):
            raise ModelError(
                f"this bundle takes a uint8 tensor (N, 3, {height}, {width}), as bundle.pictures(images) makes it, not "
                f"a {type(images).__name__}"
            )
        if images.dtype != torch.uint8 or tuple(images.shape[1:]) != self._shape:
            raise ModelError(
                f"this bundle takes uint8 images of shape (N, 3, {height}, {width}), as bundle.pictures(images) "
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
        return Bundle(model, card, chosen.references, chosen)


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


def device_of(model: nn.Module) -> torch.device:
    """Where a model's weights are; the CPU for one without any."""
    first = next(chain(model.parameters(), model.buffers()), None)
    return torch.device("cpu") if first is None else first.device


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
