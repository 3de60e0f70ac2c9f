"""A tree of patches: that of a picture with one pixel for each patch, laid over the pixels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from shapsight.attribution.trees.node import Node, Tree


def on_patches(
    tree: Tree,
    image: Shaped[Tensor, "channels height width"],
    labels: Int[Tensor, "height width"],
    grid: tuple[int, int],
) -> Node:
    """The tree of the patches' mean colours, each of whose nodes holds the pixels of its patches.

    on_patches(trees.regions, image, labels, (14, 14))       # labels: each pixel's patch, row by row
    """
    channels, patch = len(image), labels.flatten()
    sums = torch.zeros(channels, grid[0] * grid[1], dtype=torch.float64)
    sums.index_add_(1, patch, image.cpu().double().flatten(1))
    means = (sums / torch.bincount(patch)).reshape(channels, *grid)
    return _OfPatches(tree(means), labels, grid)


@dataclass(frozen=True, eq=False)
class _OfPatches:
    """A node of the small picture's tree, and the pixels of its patches."""

    inner: Node
    labels: Int[Tensor, "height width"]
    grid: tuple[int, int]

    @cached_property
    def _patches(self) -> Tensor:
        held = torch.zeros(1, *self.grid, dtype=torch.bool)
        held[(slice(None), *self.inner.index[1:])] = True
        return held.flatten()

    @cached_property
    def index(self) -> tuple[Any, ...]:
        """All channels, and the rows and columns of its pixels."""
        rows, columns = self._patches[self.labels].nonzero(as_tuple=True)
        return slice(None), rows, columns

    @property
    def size(self) -> int:
        """How many pixels it holds."""
        return len(self.index[1])

    def halves(self) -> tuple[_OfPatches, _OfPatches] | None:
        """Its two halves; None for a single patch, whose channels stay together."""
        halves = self.inner.halves() if int(self._patches.sum()) > 1 else None
        if halves is None:
            return None
        first, second = (_OfPatches(half, self.labels, self.grid) for half in halves)
        return first, second
