"""Explaining the input of a submodule: it is caught on its way in, and its attributions drawn at the image's size."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shapsight.attribution.shared.suitability import unwrapped
from shapsight.errors import ExplainerError

MOST_PREFIX_TOKENS = 8


def path_of(model: nn.Module, layer: nn.Module | str) -> str:
    """The dotted name of a submodule, given by name or as itself. Raises `ExplainerError` if it is not in the model."""
    if isinstance(layer, str) and unwrapped(model) is not model:
        layer = layer.removeprefix("module.")
    model = unwrapped(model)
    paths: dict[str, nn.Module] = {path: module for path, module in model.named_modules() if path}
    if isinstance(layer, str):
        if layer in paths:
            return layer
        raise ExplainerError(
            f"the model has no submodule {layer!r}; it has {', '.join(list(paths)[:12])} ..."
        )
    for path, module in paths.items():
        if module is layer:
            return path
    raise ExplainerError(
        f"layer= names a submodule of the model, or is one; this {type(layer).__name__} is neither"
    )


class LayerInput:
    """The first tensor that a submodule is given, while `watching`."""

    def __init__(self, model: nn.Module, path: str) -> None:
        self.module = model.get_submodule(path)
        self.path = path
        self.caught: list[Tensor] = []

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Catch what goes in. Both copies keep a later in-place call from changing what was caught."""

        def hook(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            name = next((n for n, value in kwargs.items() if isinstance(value, Tensor)), None)
            if args and isinstance(args[0], Tensor):
                return (self._catch(args[0]), *args[1:]), kwargs
            if name is not None:
                return args, kwargs | {name: self._catch(kwargs[name])}
            raise ExplainerError(f"layer {self.path} is given no tensor of its own that could be explained")

        self.caught.clear()
        handle = self.module.register_forward_pre_hook(hook, with_kwargs=True)
        try:
            yield
        finally:
            handle.remove()

    def _catch(self, value: Tensor) -> Tensor:
        kept = value.clone()
        self.caught.append(kept)
        return kept.clone()

    def take(self, batch: int) -> Tensor:
        """What was caught in one run of the model. Raises `ExplainerError` if that is not one tensor per image."""
        if len(self.caught) != 1:
            raise ExplainerError(
                f"layer {self.path} runs {len(self.caught)} times in one pass of the model; layer= needs a submodule "
                "that runs once"
            )
        kept = self.caught.pop()
        if kept.dim() < 2 or kept.shape[0] != batch:
            raise ExplainerError(
                f"the input of layer {self.path} has shape {tuple(kept.shape)} for {batch} images: the images must "
                "be its first dimension"
            )
        return kept


def heatmap_of_layer(values: Tensor, size: tuple[int, int]) -> Tensor:
    """Attributions of a layer's input, `(images, outputs, ...)`, drawn over the image; every image keeps its sum.

    Understands `(channels, height, width)`, `(height, width, channels)` where height equals width, and tokens
    `(tokens, channels)` on a square grid, of which the share of class tokens is spread over the whole image.
    """
    images, outputs, *shape = values.shape
    if len(shape) == 3 and shape[0] == shape[1] != shape[2]:
        grid = values.sum(-1)
    elif len(shape) == 3:
        grid = values.sum(2)
    elif len(shape) == 2:
        grid = _grid_of_tokens(values.sum(-1))
    else:
        raise ExplainerError(
            f"a layer's input of shape {tuple(shape)} per image has no places in the image that could be drawn; "
            "spread_layer=False leaves the values in that shape"
        )
    maps = spread(grid.reshape(images * outputs, 1, *grid.shape[2:]), size)
    return maps.reshape(images, outputs, 1, *size)


def _grid_of_tokens(values: Tensor) -> Tensor:
    tokens = values.shape[-1]
    for prefix in range(min(MOST_PREFIX_TOKENS, tokens)):
        side = math.isqrt(tokens - prefix)
        if side * side == tokens - prefix:
            grid = values[..., prefix:].reshape(*values.shape[:-1], side, side)
            return grid + values[..., :prefix].sum(-1)[..., None, None] / (side * side)
    raise ExplainerError(
        f"{tokens} tokens do not lie on a square grid, so they cannot be drawn over the image; spread_layer=False "
        "leaves the values in the layer's own shape"
    )


def spread(grid: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear interpolation that spreads each cell's value over pixels, so that the sum stays the same."""
    is_finer = grid.shape[-2] > size[0] or grid.shape[-1] > size[1]

    def resize(values: Tensor) -> Tensor:
        if is_finer:
            return F.adaptive_avg_pool2d(values, size)
        return F.interpolate(values, size=size, mode="bilinear", align_corners=False)

    with torch.enable_grad():
        cells = torch.ones_like(grid[:1]).requires_grad_()
        (reach,) = torch.autograd.grad(resize(cells).sum(), cells)
    return resize(grid / reach)
