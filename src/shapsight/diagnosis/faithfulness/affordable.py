"""How finely exact Shapley values can be had: by the operations that a model needs, the same on every machine."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

# What exact values divide an image into: the first that can be afforded.
GRIDS = ((3, 4), (2, 5), (2, 4), (2, 3))
# Floating-point operations that exact values may take in all: some 25 seconds on two cores.
EXACT_WORK = 9e12
LEAST_WORK = 2e8  # of a forward pass: that of a small network costs more than its operations


def affordable(work: float, images: int, regions: int | None = None) -> tuple[tuple[int, int], int]:
    """A grid and a number of images whose exact values the model's cost allows, the finest grid first.

    work: floating-point operations of one forward pass.
    """
    for grid in GRIDS:
        players = grid[0] * grid[1]
        if regions is not None and players != regions:
            continue
        for some in range(images, 0 if images == 1 else 1, -1):
            if regions is not None or some * 2**players * work <= EXACT_WORK:
                return grid, some
    return GRIDS[-1], min(images, 2)


def work_of(model: nn.Module, image: Tensor) -> float:
    """Floating-point operations of one forward pass, as PyTorch counts them: the same on every machine."""
    counter = FlopCounterMode(display=False)
    device = next((p.device for p in model.parameters()), image.device)
    with torch.no_grad(), counter:
        model(image.to(device))
    return float(counter.get_total_flops())
