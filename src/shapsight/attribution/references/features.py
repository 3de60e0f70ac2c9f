"""What a model sees in each image of a pool: its pixels, some of its layers' inputs and its outputs, as few numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from shapsight.attribution.shared.modules import left_as_found
from shapsight.attribution.shared.progress import Report
from shapsight.errors import ExplainerError

LEVELS = 5  # layers whose inputs are kept, evenly spread over the depth of the model, the last one among them
OF_PIXELS, OF_LEVEL = 20, 10  # principal components
CELLS = 8  # pixels are averaged in 8 × 8 cells
WIDEST = 1024  # channels; of more, as many random combinations are kept
LINEAR = {
    F.linear: -1,
    F.conv1d: 1,
    F.conv2d: 1,
    F.conv3d: 1,
    torch.conv1d: 1,
    torch.conv2d: 1,
    torch.conv3d: 1,
}

Blocks = dict[str, Float[Tensor, "images numbers"]]


class _Inputs(TorchFunctionMode):
    """The inputs of the linear layers that are asked for, each averaged over its positions."""

    def __init__(self, images: int, wanted: Sequence[int] | None) -> None:
        super().__init__()
        self.images, self.wanted, self.calls = images, wanted, 0
        self.found: dict[int, Tensor] = {}

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if function in LINEAR and args and isinstance(args[0], Tensor) and args[0].dim() > 1:
            if self.wanted is None or self.calls in self.wanted:
                self.found[self.calls] = _pooled(args[0].detach(), LINEAR[function], self.images)
            self.calls += 1
        return function(*args, **(kwargs or {}))


def _pooled(tensor: Tensor, channels: int, images: int) -> Float[Tensor, "images channels"]:
    """The mean over positions, tokens and windows; no rows, if images are not the first dimension."""
    rows = tensor.movedim(channels, -1).flatten(1, -2) if tensor.dim() > 2 else tensor.unsqueeze(1)
    if rows.shape[0] % images:
        return rows.new_empty(0, rows.shape[-1])
    return rows.reshape(images, -1, rows.shape[-1]).float().mean(1)


def pool_blocks(
    model: Callable[[Tensor], Any],
    batches: Callable[[int, int], Tensor],
    count: int,
    *,
    batch_size: int = 64,
    progress: Report | None = None,
) -> Blocks:
    """Blocks of raw features of `count` images, of which `batches(start, stop)` prepares some.

    `pixels`; `layer 0` and so on, in the order of their calls; `outputs`. Layers are those of `torch.nn.functional`
    that are linear; a model without any, or a scripted one, has pixels and outputs only. Raises `ExplainerError`, with
    the image's number, for one with NaN or infinite values and for one of which the model says such.
    """
    found: dict[str, list[Tensor]] = {}
    wanted: list[int] | None = None
    as_found = left_as_found(model) if isinstance(model, nn.Module) else nullcontext()
    with as_found, torch.no_grad():
        for start in range(0, count, batch_size):
            images = batches(start, min(start + batch_size, count))
            _refuse(images, start, "holds")
            with _Inputs(len(images), wanted) as inputs:
                said = model(images)
            if wanted is None:
                wanted = _spread(inputs.calls)
            blocks = {"pixels": F.adaptive_avg_pool2d(images.float(), CELLS).flatten(1)}
            blocks |= {f"layer {i}": inputs.found[number] for i, number in enumerate(wanted)}
            blocks["outputs"] = _flat(said, len(images))
            _refuse(blocks["outputs"], start, "makes the model answer with")
            for name, block in blocks.items():
                found.setdefault(name, []).append(_narrow(block).cpu())
            if progress is not None:
                progress(min(start + batch_size, count), count)
    return {name: torch.cat(parts) for name, parts in found.items() if sum(map(len, parts)) == count}


def features(blocks: Blocks, by: str) -> Float[Tensor, "images numbers"]:
    """Blocks side by side, each as its principal components and with equal weight, the layers together as one.

    `by`: "features and outputs" (pixels, layers and outputs), "features" (the last layer alone), "outputs" or
    "pixels".
    """
    levels = [name for name in blocks if name.startswith("layer")]
    if by == "features":
        return _components(blocks[levels[-1] if levels else "outputs"], OF_PIXELS)
    if by != "features and outputs":
        return _components(blocks[by], OF_PIXELS)
    share = 0.5  # so that five layers together weigh about as much as the pixels, or the outputs
    parts = [_components(blocks["pixels"], OF_PIXELS), _components(blocks["outputs"], OF_PIXELS)]
    return torch.cat([*parts, *(share * _components(blocks[name], OF_LEVEL) for name in levels)], 1)


def _components(block: Float[Tensor, "images numbers"], count: int) -> Float[Tensor, "images components"]:
    """The first principal components of a standardised block, with a mean squared length of 1; none of a constant."""
    block = block.double()
    spread = block.std(0, correction=0)
    varies = spread > 1e-9 * block.abs().amax(0).clamp_min(1e-30)
    if not varies.any():
        return block.new_empty(len(block), 0).float()
    block = (block[:, varies] - block[:, varies].mean(0)) / spread[varies]
    directions = torch.linalg.eigh(block.T @ block / len(block)).eigenvectors.flip(1)[:, :count]
    kept: Tensor = block @ directions
    return (kept / kept.square().sum(1).mean().sqrt()).float()


def _spread(calls: int) -> list[int]:
    """Which calls are kept: the last one, and others at equal distances before it; the first sees pixels."""
    if calls == 0:
        return []
    return sorted({round((calls - 1) * (i + 1) / LEVELS) for i in range(LEVELS)} - {0} or {0})


def _narrow(block: Tensor) -> Tensor:
    if block.shape[1] <= WIDEST:
        return block.float()
    generator = torch.Generator().manual_seed(block.shape[1])
    return block.float() @ torch.randn(block.shape[1], WIDEST, generator=generator).to(block.device)


def _flat(said: Any, images: int) -> Float[Tensor, "images numbers"]:
    """All numbers that the model answers with for each image; what has positions is averaged over 8 × 8 cells."""
    parts = []
    for leaf in tree_leaves(said):
        if isinstance(leaf, Tensor) and leaf.is_floating_point() and leaf.dim() and len(leaf) == images:
            is_map = leaf.dim() == 4 and leaf.shape[-1] > CELLS
            parts.append(
                (F.adaptive_avg_pool2d(leaf.float(), CELLS) if is_map else leaf.float()).reshape(images, -1)
            )
    if not parts:
        raise ExplainerError(
            f"the model answers {type(said).__name__} without a tensor of a row an image, so references cannot be "
            "chosen by what it says: wrap it in a function that returns one"
        )
    return torch.cat(parts, 1)


def _refuse(block: Tensor, start: int, does: str) -> None:
    bad = (~block.isfinite()).flatten(1).any(1).nonzero().flatten().tolist()
    if bad:
        raise ExplainerError(
            f"image {start + bad[0]} of the pool {does} NaN or infinite values: leave it out of the references' pool"
        )
