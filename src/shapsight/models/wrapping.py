"""A bundle around a user's own model: how images are fed to it and what comes out, read off the model itself."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import chain
from typing import Any, Self, cast

import numpy as np
import torch
from torch import Tensor, nn

from shapsight.data.framing import AsStored, Framing, Stretched
from shapsight.data.given_files import is_whole
from shapsight.data.scale import Scale
from shapsight.errors import ExplainerError, ModelError
from shapsight.models.card import AS_STORED, Card
from shapsight.models.columns import Picked, are_probabilities, as_columns, part_of
from shapsight.models.functions import Asked, Layout, as_function, is_keras
from shapsight.models.modes import in_eval_mode
from shapsight.models.onnx_file import OnnxFile, as_module
from shapsight.models.own_transform import Colours, OwnTransform, is_image_processor
from shapsight.models.remade import named, timm_transform

HALF = (torch.float16, torch.bfloat16)
PROBES = 4
IMAGES_ALONE = ("get_image_features", "encode_image")  # how models of images and texts are asked about images
OF_TIMM = ("input_size", "interpolation", "mean", "std", "crop_pct", "crop_mode")


@dataclass(frozen=True, eq=False)
class Wrapping:
    """What a bundle around a user's own model is made of; the arguments of `of` are those of `Bundle.wrap`."""

    module: nn.Module
    card: Card
    framing: Framing
    notes: tuple[str, ...]

    @classmethod
    def of(
        cls,
        model: Any,
        transform: Any,
        outputs: Sequence[str] | None,
        *,
        task: str | None,
        size: int | tuple[int, ...] | None,
        output: str | int | None,
        scales: Mapping[str, Any] | None,
        arch: str | None,
        channels: int | None = None,
    ) -> Wrapping:
        """Ask the transform and the model about probe pictures."""
        if isinstance(outputs, str):
            raise ModelError(f"outputs={outputs!r} is a text: give a list of names, [{outputs!r}]")
        of_pictures = None if channels is not None else _height_and_width(size)
        known = (
            known_of(model, transform, of_pictures, output)
            if channels is None
            else known_stored(model, transform, size, channels, output)
        )
        module, framing, colours, notes = fed(model, known, of_pictures, output)
        card = Card(
            arch=arch or known.arch,
            output_names=(),
            output_scales={},
            input_size=framing.size[0],
            **colours.of_card,
            channel_order="RGB" if channels is None else AS_STORED,
            preprocessing=_for_card(known, framing, of_pictures),
            made={"by": "Bundle.wrap", "output": output, **known.made},
        )
        if task == "targets":
            refuse_failing(module, _probes(framing, card, module))
            card = replace(card, output_names=tuple(map(str, outputs or known.classes)), task=task)
            return cls(module, card, framing, notes)
        module, rows = asked_once(module, _probes(framing, card, module), output)
        names, is_named = _names(outputs, known, rows.shape[1])
        is_classes = task == "classification" or (
            task is None and (bool(known.classes) or are_probabilities(rows))
        )
        if task not in (None, "regression", "classification"):
            raise ModelError(f"task={task!r} is not one of 'regression', 'classification' and 'targets'")
        if is_classes and len(names) == 1:
            raise ModelError(
                f"the model has 1 output, {names[0]}, and a classification has one for each class: let it return two, "
                "such as torch.cat([-z, z], 1) / 2 of a logit z, or give task='regression' for the number itself"
            )
        own = scales_of(scales, names)
        card = replace(
            card,
            output_names=names,
            output_scales={} if is_classes else {name: str(own.get(name, Scale())) for name in names},
            scales={name: (scale.low, scale.high, scale.unit) for name, scale in own.items()},
            task="classification" if is_classes else "regression",
            class_names=names if is_classes else (),
            answers="probabilities" if is_classes and are_probabilities(rows) else "logits",
        )
        return cls(module, card, framing, (*notes, *_notes(card, framing, module, is_named, task)))


def fed(
    model: Any, known: Known, size: int | tuple[int, int] | None, output: str | int | None
) -> tuple[nn.Module, Framing, Colours, tuple[str, ...]]:
    """The model as a module, how images are fed to it, and what there is to say about the module."""
    if known.file is None:
        module = module_of(model, output, known.layout)
        return module, *framing_and_colours(known, size, is_function=isinstance(module, Asked)), ()
    own = known.file.size
    if size is None and own is not None and own[0] == own[1]:
        size = own[0]
    framing, colours = framing_and_colours(known, size, is_function=known.file.takes_bytes)
    module, note = as_module(known.file, framing.size)
    if known.framing is not None:
        return module, framing, colours, (note,)
    most = 255 if known.file.takes_bytes else 1
    fed_with = f"Images are stretched to {size} × {size} pixels and given as numbers from 0 to {most}."
    return module, framing, colours, (note, fed_with)


def _height_and_width(size: int | tuple[int, ...] | None) -> int | tuple[int, int] | None:
    if size is None or isinstance(size, int):
        return size
    if len(size) != 2:
        raise ModelError(
            f"size={size!r}: pictures have a height and a width. A model of volumes is wrapped with channels= as well, "
            "such as channels=1, size=(16, 112, 112)"
        )
    return size[0], size[1]


def _for_card(known: Known, framing: Framing, size: int | tuple[int, int] | None) -> dict[str, Any]:
    """How the framing is had again."""
    if isinstance(framing, Stretched):
        return {"size": framing.side}
    if isinstance(framing, AsStored):
        return known.preprocessing
    sides = (size, size) if isinstance(size, int) else size
    return known.preprocessing | ({"images": sides} if known.preprocessing and sides else {})


def _probes(framing: Framing, card: Card, module: nn.Module) -> Tensor:
    """Some prepared pictures, where the model is."""
    first = next(chain(module.parameters(), module.buffers()), torch.empty(0))
    shape = (PROBES, framing.channels, *framing.size)
    pixels = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0))
    return card.normalised(pixels).to(first.device)


def _names(outputs: Sequence[str] | None, known: Known, count: int) -> tuple[tuple[str, ...], bool]:
    """The outputs' names, and whether anybody gave them."""
    if outputs is not None:
        names = tuple(map(str, outputs))
        if len(names) != count:
            raise ModelError(
                f"the model has {count} output{'' if count == 1 else 's'}, and outputs= names {len(names)}: "
                f"{', '.join(names[:8])}"
            )
        if len(set(names)) < len(names):
            raise ModelError(f"outputs= names one more than once: {', '.join(names[:8])}")
        return names, True
    if len(known.classes) == count:
        # Some of ImageNet's classes share a name.
        return tuple(
            f"{name} ({n})" if known.classes.count(name) > 1 else name for n, name in enumerate(known.classes)
        ), True
    return tuple(f"output {number}" for number in range(count)), False


def _notes(
    card: Card, framing: Framing, module: nn.Module, is_named: bool, task: str | None
) -> Iterator[str]:
    """What was inferred, a sentence each."""
    if isinstance(framing, AsStored):
        sides = " × ".join(map(str, framing.size))
        how = "made by the transform" if framing.transform else "as they are stored"
        yield f"It takes {framing.channels} bands of {sides}, {how}; values and hidden pixels are in these numbers."
    if isinstance(framing, OwnTransform):
        yield (
            f"The transform is given {framing.takes} and shows the model {framing.size[0]} × {framing.size[1]} pixels."
        )
        if framing.rounding > 0.05:
            yield (
                "Explanations and changed scenes use its pictures rounded to 8 bits, by up to "
                f"{framing.rounding:.2f} of 255."
            )
    if not is_named:
        called = ", ".join(card.output_names[:2])
        yield f"The outputs have no names: they are called {called}, and so on; name them with outputs=."
    if task is None:
        how = f" ({card.answers})" if card.class_names else ""
        yield f"It is taken for a {card.task}{how}; say otherwise with task=."
    if isinstance(module, Asked):
        yield "No gradient can be had of it: it is explained by PartitionSHAP."


@dataclass
class Known:
    """What is known of a model beside itself: how it is fed, its outputs' names, how it can be made again."""

    framing: Framing | None = None
    colours: Colours | None = None
    classes: tuple[str, ...] = ()
    arch: str = ""
    preprocessing: dict[str, Any] = field(default_factory=dict)
    layout: Layout = "channels first"
    made: dict[str, Any] = field(default_factory=dict)
    file: OnnxFile | None = None

    @classmethod
    def of_file(cls, model: Any, output: str | int | None) -> Self:
        """What an ONNX file says, where the model is the path of one."""
        if not isinstance(model, str | os.PathLike):
            return cls()
        file = OnnxFile.read(model, output)
        return cls(arch=f"onnx:{file.name}", made={"onnx": file.sha256}, file=file)


def known_of(
    model: Any, transform: Any, size: int | tuple[int, int] | None, output: str | int | None
) -> Known:
    """What the model and the transform say of themselves. Raises `ModelError` for a transform that cannot be used."""
    found = Known.of_file(model, output)
    if isinstance(transform, str):
        found.preprocessing, transform = {"import": transform}, named(transform)
    config = getattr(model, "pretrained_cfg", None)
    if isinstance(transform, Enum) and hasattr(transform, "transforms"):  # weights of torchvision
        found.classes = tuple((getattr(transform, "meta", None) or {}).get("categories") or ())
        found.preprocessing = {"torchvision": str(transform)}
        transform = transform.transforms()
    elif isinstance(config, Mapping) and "architecture" in config:
        found.arch = f"timm:{config['architecture']}"
        found.classes = _timm_classes(model, config)
        if transform is None:
            wanted = {name: config[name] for name in OF_TIMM if name in config}
            found.preprocessing, transform = {"timm": wanted}, timm_transform(wanted)
    classes = getattr(model, "classes_", None)  # of an estimator
    if isinstance(classes, np.ndarray) and hasattr(model, "predict_proba"):
        found.classes = tuple(map(str, classes.tolist()))
    labels = getattr(getattr(model, "config", None), "id2label", None)
    if isinstance(labels, Mapping) and labels:
        found.classes = tuple(str(labels[n]) for n in sorted(labels, key=int))
        found.arch = f"huggingface:{type(model).__name__}"
        found.made = {"config": model.config.to_dict()}
        if transform is None:
            raise ModelError(
                "a Hugging Face model needs its image processor: Bundle.wrap(model, AutoImageProcessor.from_pretrained"
                "(...)), or ViTImageProcessor() where it was made from a config"
            )
    if is_image_processor(transform):
        found.preprocessing = {
            "huggingface": {"class": type(transform).__name__, "config": transform.to_dict()}
        }
    side = (size, size) if isinstance(size, int) else size
    if transform is not None:
        if not callable(transform):
            raise ModelError(
                f"transform is a {type(transform).__name__}, which cannot be called with an image"
            )
        own = OwnTransform.of(transform, side)
        found.framing, found.colours, found.layout = own, own.colours, own.layout
    return found


def known_stored(model: Any, transform: Any, size: Any, channels: int, output: str | int | None) -> Known:
    """What is known of a model that takes images as they are stored. Raises `ModelError` for sizes that are none."""
    sides = (size, size) if isinstance(size, int) else tuple(size or ())
    if not (is_whole(channels) and channels >= 1 and len(sides) in (2, 3) and all(map(is_whole, sides))):
        raise ModelError(
            f"channels={channels!r}, size={size!r}: say how many bands the model takes and how large its images are, "
            "such as channels=11, size=(64, 64), of volumes channels=1, size=(16, 112, 112)"
        )
    found = Known.of_file(model, output)
    if found.file is not None and found.file.channels != channels:
        raise ModelError(f"{found.file.name} takes {found.file.channels} channels, not {channels}")
    if isinstance(transform, str):
        found.preprocessing, transform = {"import": transform}, named(transform)
    if transform is not None and not callable(transform):
        raise ModelError(f"transform is a {type(transform).__name__}, which cannot be called with an image")
    stored = {"channels": channels, "size": list(sides), "has_transform": transform is not None}
    found.preprocessing["stored"] = stored
    found.framing = AsStored(channels, sides, transform)
    found.colours = Colours(np.eye(3), np.zeros(3), np.ones(3))  # which a card of stored images leaves unused
    return found


def _timm_classes(model: Any, config: Mapping[str, Any]) -> tuple[str, ...]:
    """Timm's names of the classes, where the model has as many."""
    count = getattr(model, "num_classes", 0)
    if names := config.get("label_names"):
        return tuple(map(str, names)) if len(names) == count else ()
    if count != 1000 or config.get("num_classes") != count:
        return ()
    from timm import data

    info = cast(Any, data).ImageNetInfo()
    return tuple(info.index_to_description(n) for n in range(count))


def module_of(model: Any, output: str | int | None, layout: Layout) -> nn.Module:
    """The model as a module that gives a row for each image, or such a module around it.

    Raises `ModelError` for something that cannot be asked, and for a network in half or double precision.
    """
    if isinstance(model, nn.Module) and not is_keras(model):
        numbers = {
            tensor.dtype for tensor in (*model.parameters(), *model.buffers()) if tensor.is_floating_point()
        }
        if half := numbers & set(HALF):
            raise ModelError(
                f"the model is in {str(half.pop()).removeprefix('torch.')}, whose rounding is larger than what single "
                "pixels do: pass model.float(), or copy.deepcopy(model).float()"
            )
        if torch.float64 in {parameter.dtype for parameter in model.parameters()}:
            raise ModelError(
                "the model is in float64, and images are given in float32: pass model.float(), or "
                "copy.deepcopy(model).float()"
            )
        if any(parameter.is_meta for parameter in model.parameters()):
            raise ModelError(
                "the model's weights are on the device meta, which holds no numbers: load them first"
            )
        return model if output is None else Picked(model, output)
    function = as_function(model)
    if function is None:
        raise ModelError(
            f"a {type(model).__name__} is no model that can be asked: pass a torch.nn.Module, a Keras model, an ONNX "
            "Runtime session, an estimator of scikit-learn, or a function from images to scores"
        )
    name = getattr(model, "__name__", type(model).__name__)
    return Asked(function, "channels last" if is_keras(model) else layout, output, name)


def refuse_failing(module: nn.Module, images: Tensor) -> None:
    """Raise `ModelError`, with the model's own words, where it fails on prepared images."""
    try:
        with torch.no_grad(), in_eval_mode(module):
            of_images = [getattr(module, way, None) for way in IMAGES_ALONE]
            ask = module.said if isinstance(module, Asked) else next(filter(None, of_images), module)
            ask(images.clone())
    except Exception as error:
        raise ModelError(
            f"the model fails on images of {tuple(images.shape[1:])} (channels, height, width), as the transform makes "
            f"them: {type(error).__name__}: {error}"
        ) from error


def asked_once(module: nn.Module, images: Tensor, output: str | int | None) -> tuple[nn.Module, Tensor]:
    """The answers to some prepared images, and the module that gives them as rows.

    A network whose result holds logits is taken by these; one that no gradient passes is taken as a function.
    Raises `ModelError` with the model's own words where it fails.
    """
    try:
        with torch.enable_grad(), in_eval_mode(module):
            result = module(images.clone().requires_grad_())
        rows = as_columns(part_of(result, None), len(images))
    except ExplainerError as error:
        raise ModelError(f"{error}") from error
    except Exception as error:
        raise ModelError(
            f"the model fails on images of {tuple(images.shape[1:])} (channels, height, width), as the transform makes "
            f"them: {type(error).__name__}: {error}"
        ) from error
    if not rows.isfinite().all():
        raise ModelError(
            "the model answers a probe picture with NaN or infinite numbers: check its weights (did its training "
            "diverge?), and that the transform gives images as they were in its training"
        )
    _refuse_random(module, images, rows)
    if not isinstance(module, Asked):
        if not rows.requires_grad:
            module = Asked(_Tensors(module, output), name=type(module).__name__)
        elif not isinstance(result, Tensor) or result.shape != rows.shape:
            module = Picked(module, None)
    return module, rows.detach().float().cpu()


def _refuse_random(module: nn.Module, images: Tensor, rows: Tensor) -> None:
    """A model that draws random numbers, also in eval mode, has no prediction that could be explained."""
    with torch.no_grad(), in_eval_mode(module):
        again = as_columns(part_of(module(images.clone()), None), len(images))
    rows = rows.detach()
    off = (again - rows).abs().max()
    if off > 1e-3 * rows.abs().max().clamp_min(1e-6):
        raise ModelError(
            f"the model answers the same pictures differently each time (by {float(off):.2g}), also in eval mode: "
            "functional dropout needs training=self.training"
        )


class _Tensors:
    """A network that no gradient passes, as a function of arrays."""

    def __init__(self, module: nn.Module, output: str | int | None) -> None:
        self.module, self.output = module, output

    def __call__(self, images: Any) -> Any:
        with in_eval_mode(self.module):
            return part_of(self.module(torch.from_numpy(images)), self.output)


def framing_and_colours(
    known: Known, size: int | tuple[int, int] | None, *, is_function: bool
) -> tuple[Framing, Colours]:
    """How images are fed: by the transform, or without one stretched to `size`, from 0 to 1 (a function: to 255)."""
    if known.framing is not None and known.colours is not None:
        return known.framing, known.colours
    if not isinstance(size, int):
        raise ModelError(
            "without a transform, say the side of the squares that the model takes: Bundle.wrap(model, size=224). "
            "Images are then stretched to it and given as numbers from 0 to 1 (to a function that is no PyTorch "
            "module, from 0 to 255)"
        )
    return Stretched(size), Colours(np.eye(3), np.zeros(3), np.full(3, 1 / 255 if is_function else 1.0))


def scales_of(
    scales: Mapping[str, Scale | str | tuple[Any, ...]] | None, names: Sequence[str]
) -> dict[str, Scale]:
    """The scale of each target that one is given for."""
    found = {}
    for name, given in (scales or {}).items():
        if name not in names:
            raise ModelError(f"scales has {name!r}, which is none of the outputs {', '.join(names)}")
        scale = Scale.parse(given) if isinstance(given, str) else given
        found[name] = scale if isinstance(scale, Scale) else Scale(*scale)
    return found
