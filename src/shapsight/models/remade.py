"""Making a saved model and its transform again, by what the card says of them."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping
from typing import Any, cast

from torch import nn
from torchvision import models

from shapsight.data.framing import AsStored, Framing, Stretched
from shapsight.data.imported import imported
from shapsight.errors import MissingDependency, ModelError
from shapsight.models.build import OPTIONS, build_model
from shapsight.models.card import Card
from shapsight.models.columns import Picked
from shapsight.models.onnx_file import OnnxFile, as_module
from shapsight.models.own_module import is_import_path, own_module
from shapsight.models.own_transform import OwnTransform, is_image_processor


def remade(card: Card, file: OnnxFile | None = None) -> tuple[nn.Module, Framing]:
    """The network, with weights of its own, and how images are fed to it; of an ONNX file, that file's.

    Raises `ModelError` where the card does not say how, or says something that there is not.
    """
    framing = _framing(card)
    if file is not None:
        return as_module(file, framing.size)[0], framing
    if not card.made:
        return build_model(card.arch, len(card.output_names), weights="none").model, framing
    if not card.arch:
        raise ModelError(
            "a bundle can be saved when its model can be made again, and this one does not say how: "
            "Bundle.wrap(..., arch='resnet18'), a name of torchvision or timm:NAME, or arch='module:function' for a "
            "function of your own that is called with the number of outputs and returns the network"
        )
    if card.arch.startswith("huggingface:"):
        model = _from_huggingface(card.arch.partition(":")[2], card.made.get("config") or {})
    elif is_import_path(card.arch):
        model = own_module(card.arch, len(card.output_names))
    elif card.arch in models.list_models(module=models):  # as it is: build_model would change its last layers
        options = OPTIONS.get(card.arch, {})
        model = models.get_model(card.arch, weights=None, num_classes=len(card.output_names), **options)
    else:
        model = build_model(card.arch, len(card.output_names), weights="none").model
    output = card.made.get("output")
    is_plain = output is None and not card.arch.startswith("huggingface:")
    return model if is_plain else Picked(model, output), framing


def _framing(card: Card) -> Framing:
    how, transform = card.preprocessing, cast(Any, None)
    if not how and not card.made:
        return Stretched(card.input_size)
    if "stored" in how:
        stored = how["stored"]
        transform = named(how["import"]) if "import" in how else None
        if transform is None and stored.get("has_transform"):
            raise ModelError(
                "a bundle can be saved when its transform can be had again, and this one is an object of your program: "
                "pass it by name, Bundle.wrap(model, 'module:name', channels=...)"
            )
        return AsStored(int(stored["channels"]), tuple(map(int, stored["size"])), transform)
    if "size" in how:
        return Stretched(int(how["size"]))
    if "torchvision" in how:
        transform = models.get_weight(how["torchvision"]).transforms()
    elif "timm" in how:
        transform = timm_transform(how["timm"])
    elif "huggingface" in how:
        transform = _image_processor(**how["huggingface"])
    elif "import" in how:
        transform = named(how["import"])
    else:
        raise ModelError(
            "a bundle can be saved when its transform can be had again, and this one is an object of your program: "
            "pass it by name, Bundle.wrap(model, 'module:name')"
        )
    height, width = how.get("images") or (0, 0)
    return OwnTransform.of(transform, (int(height), int(width)) if height else None)


def _from_huggingface(name: str, config: Mapping[str, Any]) -> nn.Module:
    transformers = _transformers()
    kind = getattr(transformers, name, None)
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise ModelError(f"transformers {transformers.__version__} has no model {name}")
    model: nn.Module = kind(transformers.AutoConfig.for_model(**config))
    return model


def _image_processor(**how: Any) -> Any:
    """The image processor of a class name and its config. Raises `ModelError` for a class that is none."""
    kind = getattr(_transformers(), str(how.get("class")), None)
    if not (isinstance(kind, type) and is_image_processor(kind)):
        raise ModelError(f"transformers has no image processor {how.get('class')!r}")
    return kind.from_dict(how.get("config") or {})  # type: ignore[attr-defined]


def _transformers() -> Any:
    try:
        import transformers
    except ModuleNotFoundError as error:
        raise MissingDependency(
            "this bundle's model is of Hugging Face transformers, which is not installed: pip install transformers"
        ) from error
    return transformers


def timm_transform(config: Mapping[str, Any]) -> Callable[..., Any]:
    """The transform that timm's networks are validated with."""
    from timm import data

    known: Any = data  # timm says nothing of types
    made: Callable[..., Any] = known.create_transform(
        **known.resolve_data_config({}, pretrained_cfg=dict(config))
    )
    return made


def named(path: str) -> Any:
    """The object of `module:name`. Raises `ModelError` where there is none."""
    try:
        imported(path.partition(":")[0])
        return pkgutil.resolve_name(path)
    except (ModuleNotFoundError, AttributeError, ValueError) as error:
        raise ModelError(
            f"{path!r} cannot be imported: {error}. Expected module:name, such as my_code:transform"
        ) from error
