"""Small games whose Owen values are known by brute force over all orders that keep every node together."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from shapsight.attribution.trees import Node


class Squares(nn.Module):
    """Two outputs of a small image in which all pixels act together: nothing is additive."""

    def __init__(self, size: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(7)
        self.first = torch.randn(size, 12, generator=generator, dtype=torch.float64)
        self.second = torch.randn(12, 2, generator=generator, dtype=torch.float64)

    def forward(self, images: Tensor) -> Tensor:
        return torch.tanh(images.flatten(1).double() @ self.first / 2).square() @ self.second


def exact_owen(root: Node, image: Tensor, value: Callable[[Tensor], Tensor], outputs: int) -> Tensor:
    """The recursion without a budget, written down plainly: each node in every context of its ancestors."""
    result = torch.zeros(outputs, *image.shape, dtype=torch.float64)

    def visit(node: Node, visible: Tensor, weight: float) -> None:
        halves = node.halves()
        with_node = visible.clone()
        with_node[node.index] = True
        if halves is None:
            change = (value(with_node[None])[0] - value(visible[None])[0]) * weight
            for output in range(outputs):
                result[output][node.index] += change[output]
            return
        for half, other in (halves, halves[::-1]):
            with_other = visible.clone()
            with_other[other.index] = True
            visit(half, visible, weight / 2)
            visit(half, with_other, weight / 2)

    visit(root, torch.zeros(image.shape, dtype=torch.bool), 1.0)
    return result
