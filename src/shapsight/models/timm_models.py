"""Networks of timm, by their names there."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from shapsight.errors import MissingDependency, ModelError
from shapsight.models.weights import UnreachableError


def timm_name(arch: str) -> str | None:
    """The name in timm, of `timm:NAME` or a bare NAME that timm knows; None for anything else."""
    name = arch.removeprefix("timm:")
    try:
        import timm
    except ModuleNotFoundError as error:
        if name != arch:
            raise MissingDependency(f"{arch} needs timm, which is not installed: pip install timm") from error
        return None
    if timm.is_model(name):
        return name
    if name == arch:
        return None
    near = difflib.get_close_matches(name.split(".")[0], timm.list_models(), n=4, cutoff=0.4)
    raise ModelError(
        f"timm has no model called {name!r}. There are {', '.join(near) or 'resnet18, and more'}"
    )


def timm_model(name: str, outputs: int, *, is_pretrained: bool = False) -> nn.Module:
    """A timm network with `outputs` outputs. Raises `UnreachableError` where its weights cannot be had."""
    import timm

    try:
        model: nn.Module = timm.create_model(name, pretrained=is_pretrained, num_classes=outputs)
    except Exception as error:  # the hub's client fails in many ways
        if not is_pretrained:
            raise ModelError(f"timm cannot build {name}: {error}") from error
        raise UnreachableError(str(error).splitlines()[0]) from error
    return model


def statistics(model: nn.Module) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation that the network's images are normalised with."""
    config: Mapping[str, Any] = model.pretrained_cfg  # type: ignore[assignment]
    return tuple(config["mean"]), tuple(config["std"])


def input_size(model: nn.Module) -> int:
    """The side of the squares that the network was made for, in pixels."""
    config: Mapping[str, Any] = model.pretrained_cfg  # type: ignore[assignment]
    return int(config["input_size"][-1])


def classes_of(model: nn.Module) -> int | None:
    """How many outputs timm's weights of the network have."""
    config: Mapping[str, Any] = model.pretrained_cfg  # type: ignore[assignment]
    return config.get("num_classes")


def draw_heads_anew(model: nn.Module) -> None:
    """Draw the last layers as torch draws linear layers, as those of torchvision's networks are.

    timm draws an EfficientNet's with `1 / √outputs`: with two outputs it begins at answers of some tens, and ten epochs
    hardly bring them back (EfficientNet-Lite0 on `jetracer_rooms`: validation error 0.18, and 0.006 with this).
    """
    for name in _head_names(model):
        head = model.get_submodule(name)
        if isinstance(head, nn.Linear | nn.Conv2d):
            head.reset_parameters()


def _head_names(model: nn.Module) -> tuple[str, ...]:
    heads = model.pretrained_cfg.get("classifier", ())  # type: ignore[union-attr, operator]
    return (heads,) if isinstance(heads, str) else tuple(heads or ())


def without_other_heads(model: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights without those of a last layer of another size, which stays as it was drawn."""
    own = model.state_dict()
    is_head = tuple(f"{name}." for name in _head_names(model))
    return {
        key: own[key] if key.startswith(is_head) and key in own and own[key].shape != value.shape else value
        for key, value in state.items()
    }
