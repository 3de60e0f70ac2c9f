"""Blocks: an image cut into squares, and the attribution that each of them gets."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from shapsight.errors import ExplainerError


def block_map(size: Sequence[int], block: int) -> Int[Tensor, "height width"]:
    """Each pixel's block, numbered row by row; the last ones are smaller where the sides are no multiples.

        block_map((224, 224), 16).max()       # 195: 14 × 14 blocks

    Raises `ExplainerError` for a block that is smaller than a pixel or leaves a single block.
    """
    height, width = size
    if not 1 <= block < max(height, width):
        raise ExplainerError(
            f"block={block} must be at least 1 and smaller than the image, {height} × {width} pixels"
        )
    rows, columns = torch.arange(height) // block, torch.arange(width) // block
    return rows[:, None] * int(columns[-1] + 1) + columns


def block_sums(
    heatmaps: Float[Tensor, "*maps height width"], labels: Int[Tensor, "height width"]
) -> Float[Tensor, "*maps blocks"]:
    """The attribution of each block, in float64: SHAP values add up, so it is the sum over its pixels."""
    flat = heatmaps.flatten(-2).double()
    sums = flat.new_zeros(*flat.shape[:-1], int(labels.max()) + 1)
    return sums.index_add_(-1, labels.flatten().to(flat.device), flat)
