"""Blocks: an image cut into squares, and the attribution that each of them gets."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from shapsight.errors import ExplainerError

USUAL = 14  # blocks along a side


def block_map(size: Sequence[int], block: int | None = None) -> Int[Tensor, "height width"]:
    """Each pixel's block, numbered row by row; the last ones are smaller where the sides are no multiples.

        block_map((224, 224), 16).max()       # 195: 14 × 14 blocks

    block: side of the squares in pixels; None for about 14 of them along the longer side.
    Raises `ExplainerError` for a block that is smaller than a pixel.
    """
    height, width = size
    block = max(1, round(max(size) / USUAL)) if block is None else block
    if block < 1:
        raise ExplainerError(f"block={block}: the side of a block is at least 1 pixel")
    rows, columns = torch.arange(height) // block, torch.arange(width) // block
    return rows[:, None] * int(columns[-1] + 1) + columns


def block_sums(
    heatmaps: Float[Tensor, "*maps height width"], labels: Int[Tensor, "height width"]
) -> Float[Tensor, "*maps blocks"]:
    """The attribution of each block, in float64: SHAP values add up, so it is the sum over its pixels."""
    flat = heatmaps.flatten(-2).cpu().double()
    sums = flat.new_zeros(*flat.shape[:-1], int(labels.max()) + 1)
    return sums.index_add_(-1, labels.flatten().cpu(), flat)
