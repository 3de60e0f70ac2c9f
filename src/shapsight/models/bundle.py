"""A bundle: weights with everything that is needed to use them the same way again."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Shaped
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from shapsight.data.framing import Framing, Pixels, Stretched
from shapsight.data.given_files import read_text
from shapsight.data.images import Progress, load_images
from shapsight.data.scale import Scale
from shapsight.errors import DataError, ModelError, naming
from shapsight.models.card import Card
from shapsight.models.columns import Picked
from shapsight.models.functions import Asked
from shapsight.models.modes import in_eval_mode
from shapsight.models.onnx_file import OnnxFile, file_of
from shapsight.models.pictures import as_pictures, as_stored
from shapsight.models.references import ChosenReferences
from shapsight.models.remade import remade
from shapsight.models.rescaled import in_units
from shapsight.models.weights import load_state
from shapsight.models.wrapping import Wrapping

if TYPE_CHECKING:
    from shapsight.data.manifest import Manifest

FILES = ("model.safetensors", "references.safetensors", "card.json")
ONNX = "model.onnx"  # in the bundle of an ONNX file, too


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


@dataclass(frozen=True, eq=False, repr=False)
class Bundle:
    """A model with all that is needed to ask it: how an image is fed, names, units, and reference images.

        bundle = load_bundle("run/model")                         # one that was trained here
        bundle = Bundle.wrap(model, transform, outputs=["x", "y"])     # one's own
        bundle.predict("photos/room_1/112_98_a.jpg")              # (1, outputs), float32
        images = bundle.pictures(["a.jpg", "b.jpg"])              # what the model sees: uint8 (2, 3, height, width)
        bundle.model(bundle.prepare(images))                      # the same as predict(images), with gradients

    `references` are such pictures, `(K, 3, height, width)`, and `chosen` has what is known of them where they were
    chosen. `framing` says what of an image is seen, by default the whole, stretched to a square. `is_borrowed`: the
    model is the user's, and stays in the mode that it is in. `notes` say what was inferred of it. Raises `ModelError`
    if sizes do not go together.
    """

    model: nn.Module
    card: Card
    references: Shaped[Tensor, "references channels *sides"]
    chosen: ChosenReferences | None = None
    framing: Framing | None = None
    is_borrowed: bool = False
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.framing is None:
            object.__setattr__(self, "framing", Stretched(self.card.input_size))
        self.check(self.references)
        if not self.is_borrowed:
            self.model.eval()

    @classmethod
    def wrap(
        cls,
        model: Any,
        transform: Any = None,
        outputs: Sequence[str] | None = None,
        *,
        task: str | None = None,
        size: int | tuple[int, ...] | None = None,
        channels: int | None = None,
        output: str | int | None = None,
        scales: Mapping[str, Any] | None = None,
        references: Any = None,
        arch: str | None = None,
    ) -> Bundle:
        """A bundle around one's own model, which stays as it is.

            Bundle.wrap(network, validation_transform, outputs=["x", "y"])
            Bundle.wrap(resnet18(weights=W), W)               # W = ResNet18_Weights.DEFAULT: names and transform
            Bundle.wrap(timm.create_model("convnext_atto", pretrained=True))
            Bundle.wrap(ViTForImageClassification(config), ViTImageProcessor())
            Bundle.wrap(keras_model, lambda image: np.asarray(image.resize((96, 96))), outputs=["cat", "dog"])
            Bundle.wrap("net.onnx", transform, outputs=["x", "y"])
            Bundle.wrap(onnxruntime.InferenceSession("net.onnx"), transform, outputs=["x", "y"])
            Bundle.wrap(network, lambda array: array / 10_000, channels=11, size=(64, 64))    # (64, 64, 11) as stored
            Bundle.wrap(network_of_volumes, channels=1, size=(16, 112, 112))

        Arguments
            model: an `nn.Module`, the path of an ONNX file, a Keras model, an ONNX Runtime session, an estimator of
                scikit-learn, or a function from a batch of images, as the transform makes them, to scores. An ONNX
                file becomes an `nn.Module` where that answers as onnxruntime does; `notes` say so, or why not. What is
                no `nn.Module` has no gradients, so it is explained by PartitionSHAP.
            transform: what makes an image into what the model takes, without augmentation: torchvision's (v1, v2, or
                weights), albumentations', a Hugging Face image processor, a function of a PIL image (or of a uint8
                tensor, or an array), or "module:name" of one. It may resize, crop, pad, mirror, and mix and normalise
                colours. Without one, images are stretched to `size` and given from 0 to 1 (to functions, to 255).
            outputs: the name of each output; by default those that the model knows.
            task: "regression" or "classification"; by default a classification where the model knows its classes or
                answers with probabilities. "targets" for a model that answers with more than a row an image, such as a
                detector, a segmenter or an image-text model: `outputs` are then its labels in order, by default those
                that it knows, and `shapsight.targets` says what of it is explained.
            size: of the images where the transform leaves them as large as they are, (height, width); without a
                transform the side of the square that the model takes.
            channels: of a model of images as they are stored: any number of bands, 16 bits, fractions, and volumes.
                Files are then read by `read_stored`, and the transform makes the array `(height, width, bands)` into
                what the model takes, an array of the same layout or a tensor with channels first; without one it is
                given as it is. `size` says how large that is, (height, width) or (depth, height, width).
            output: which part of a dict or tuple that the model returns is meant.
            scales: unit and range of targets, {"speed": "0:30:km/h"}; by default -1 to +1.
            references: images that stand for "feature absent"; by default a study chooses some of its data.
            arch: how the model can be made again when the bundle was saved: a name of torchvision, timm:NAME, or
                module:function, called with the number of outputs. Known of timm and Hugging Face.

        Raises `ModelError` for a model that fails on what the transform makes or is in half precision, for outputs
        that are not as many as the names, and for a transform that is random, warps colours, or returns something else.
        """
        wrapped = Wrapping.of(
            model,
            transform,
            outputs,
            task=task,
            size=size,
            output=output,
            scales=scales,
            arch=arch,
            channels=channels,
        )
        framing = wrapped.framing
        kind = torch.float32 if framing.is_stored else torch.uint8
        nothing = torch.empty(0, framing.channels, *framing.size, dtype=kind)
        bundle = cls(
            wrapped.module,
            wrapped.card,
            nothing,
            None,
            wrapped.framing,
            is_borrowed=True,
            notes=wrapped.notes,
        )
        return (
            bundle
            if references is None
            else dataclasses.replace(bundle, references=bundle.pictures(references))
        )

    @property
    def name(self) -> str:
        """What the model is called: how it can be made again, or else its class or function."""
        if self.card.arch:
            return self.card.arch
        inner = self.model.model if isinstance(self.model, Picked) else self.model
        return inner.name if isinstance(inner, Asked) else type(inner).__name__

    def __repr__(self) -> str:
        sides = " × ".join(map(str, self.seen.size))
        sees = f"{sides} of {self.seen.channels} bands" if self.seen.is_stored else sides
        names = self.card.output_names
        said = ", ".join(names) if len(names) < 5 else f"{len(names)} outputs"
        what = f"{self.name}: {self.card.task} of {said}"
        return f"Bundle({what}; sees {sees}; {len(self.references)} references)"

    @property
    def has_gradients(self) -> bool:
        """Whether DeepSHAP and GradientSHAP can look inside; a function can only be asked."""
        return not isinstance(self.model, Asked)

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
        probes = torch.randint(0, 256, (2, *self._shape), generator=torch.Generator().manual_seed(0))
        return hashlib.sha256(self.predict(probes.to(self._dtype)).numpy().tobytes()).hexdigest()

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

    def pictures(self, images: Any) -> Shaped[Tensor, "images channels *sides"]:
        """Images of any kind -> the pictures that the model sees: uint8 RGB, or stored bands as float32.

            bundle.pictures("a.jpg");  bundle.pictures(["a.jpg", pil_image, array])

        `images`: a path, a PIL image, an array (height, width) or (height, width, channels), a uint8 tensor (channels,
        height, width), or several of these, of any sizes. A uint8 tensor (N, 3, height, width) of the size that the
        model sees is taken for what it sees already; of stored bands any such tensor of numbers. Raises `DataError` for
        anything else.
        """
        if not self.seen.is_stored:
            return images if self.is_seen(images) else self.see(as_pictures(images))
        if isinstance(images, Tensor) and tuple(images.shape[1:]) == self._shape:
            return images.float()
        return self.see(as_stored(images, len(self.seen.size)))

    def is_seen(self, images: Any) -> bool:
        """Whether these are pictures of the size that the model sees. Raises `ModelError` for such of another type."""
        is_seen = isinstance(images, Tensor) and tuple(images.shape[1:]) == self._shape
        if is_seen:
            self.check(images)
        return is_seen

    def see(self, images: Sequence[Pixels]) -> Shaped[Tensor, "images channels *sides"]:
        """What the model sees of images in their own sizes."""
        seen = [self.seen.see(pixels) for pixels in images]
        return torch.stack(seen) if seen else torch.empty(0, *self._shape, dtype=self._dtype)

    def load(
        self, manifest: Manifest, paths: Sequence[str] | None = None, *, progress: Progress | None = None
    ) -> Shaped[Tensor, "images channels *sides"]:
        """What the model sees of a dataset's images, all or those of some paths."""
        paths = list(manifest.table["path"]) if paths is None else paths
        return load_images(manifest, paths, self.seen, progress=progress)

    def prepare(
        self, images: Shaped[Tensor, "images channels *sides"]
    ) -> Float[Tensor, "images channels *sides"]:
        """Pictures -> what the model takes: float32, normalised (stored bands as they are)."""
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
        if self.card.task == "targets":
            raise ModelError(
                f"{self.name} answers with more than a row for each image, so it has no outputs to predict: explain it "
                "with a target, shapsight.explain(bundle, images, outputs=shapsight.targets.Box(...))"
            )
        pictures = self.pictures(images)
        predictions = [torch.empty(0, len(self.card.output_names))]
        with torch.inference_mode(), in_eval_mode(self.model):
            for start in range(0, len(pictures), batch_size):
                batch = pictures[start : start + batch_size].to(self.device)
                predictions.append(self.model(self.prepare(batch)).float().cpu())
        return torch.cat(predictions)

    def probabilities(self, outputs: Float[Tensor, "images classes"]) -> Float[Tensor, "images classes"]:
        """Predictions of a classification as probabilities."""
        return outputs.softmax(1) if self.card.answers == "logits" else outputs

    def _check_that_it_comes_back(self) -> None:
        """Raise `ModelError` where what would be loaded is not this bundle."""
        model, framing = remade(self.card, file_of(self.model))
        state = self.model.state_dict()
        pixels = torch.arange(math.prod(self._shape)).view(self._shape).to(self._dtype)
        try:
            load_state(model, state, "of this bundle")
            again = dataclasses.replace(self, model=model.to(self.device), framing=framing)
            says_the_same = torch.allclose(again.predict(pixels), self.predict(pixels), atol=1e-3, rtol=1e-3)
        except ModelError as error:
            says_the_same, why = False, f" ({error})"
        else:
            why = ""
        if not says_the_same:
            raise ModelError(
                f"arch={self.card.arch!r} makes another network than this one{why}, so the bundle could not be loaded "
                "again: name a function that makes this one, Bundle.wrap(..., arch='module:function')"
            )

    @property
    def _shape(self) -> tuple[int, ...]:
        return (self.seen.channels, *self.seen.size)

    @property
    def _dtype(self) -> torch.dtype:
        return torch.float32 if self.seen.is_stored else torch.uint8

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write model.safetensors, references.safetensors and card.json; the old ones stay until all are written.

        A model of an ONNX file comes with the file, as model.onnx.

        Raises `ModelError` for a user's own model of which it is not known how to make it again.
        """
        folder = Path(folder)
        if self.is_borrowed:
            self._check_that_it_comes_back()
        folder.mkdir(parents=True, exist_ok=True)
        parts = {name: folder / f".{name}.part" for name in FILES}
        state = {key: value.detach().cpu().contiguous() for key, value in self.model.state_dict().items()}
        _save(state, parts["model.safetensors"])
        known = self.chosen or ChosenReferences.drawn(self.references)
        _save(known.tensors(), parts["references.safetensors"])
        card = dataclasses.replace(self.card, model_hash=weights_hash(self.model))
        parts["card.json"].write_text(card.to_json(), encoding="utf-8")
        if (file := file_of(self.model)) is not None:
            parts[ONNX] = folder / f".{ONNX}.part"
            parts[ONNX].write_bytes(file.content)
        for name, part in parts.items():
            part.replace(folder / name)
        return folder

    def check(self, images: object) -> None:
        shape, kind = f"(N, {', '.join(map(str, self._shape))})", str(self._dtype).removeprefix("torch.")
        if not isinstance(images, Tensor):
            raise ModelError(
                f"this bundle takes a {kind} tensor {shape}, as bundle.pictures(images) makes it, not "
                f"a {type(images).__name__}"
            )
        if images.dtype != self._dtype or tuple(images.shape[1:]) != self._shape:
            raise ModelError(
                f"this bundle takes {kind} images of shape {shape}, as bundle.pictures(images) "
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
        model, framing = remade(card, _onnx_of(card, folder))
    if not card.made:  # the user's own answers in units already
        model = in_units(model, _scales_of(card, folder / "card.json"))
    model.eval()
    load_state(model, state, str(folder / "model.safetensors"))
    if weights_hash(model) != card.model_hash:
        raise ModelError(
            f"{folder / 'model.safetensors'} holds other weights than card.json was written for: one of the two "
            "was changed or comes from another run, so nothing the card says is sure"
        )
    with naming(folder / "references.safetensors"):
        return Bundle(model, card, chosen.references, chosen, framing)


def _onnx_of(card: Card, folder: Path) -> OnnxFile | None:
    """The ONNX file in a bundle whose card says that there is one."""
    if "onnx" not in card.made:
        return None
    file = OnnxFile.read(folder / ONNX, card.made.get("output"))
    if file.sha256 != card.made["onnx"]:
        raise ModelError(f"{folder / ONNX} is not the file that card.json was written for")
    return file


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
