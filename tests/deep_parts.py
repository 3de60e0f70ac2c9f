"""What the tests of DeepShap are made of: small models, their pictures, and what exact means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shapsight import DeepShap, Explanation

Body = Callable[[Any, Tensor], Tensor]


class Small(nn.Module):
    """A body, whose result is averaged to sixteen numbers and weighted into three outputs."""

    def __init__(self, body: Body, **parts: nn.Module) -> None:
        super().__init__()
        self.body = body
        for name, part in parts.items():
            self.add_module(name, part)
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(self, x).flatten(1).unsqueeze(1)
        return self.head(F.adaptive_avg_pool1d(y, 16).squeeze(1))


def conv() -> nn.Module:
    return nn.Conv2d(3, 3, 1)


def block() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 3, 1), nn.GELU(), nn.Conv2d(3, 3, 1))


def pictures(count: int, size: int = 8, seed: int = 0) -> Tensor:
    """Random numbers in float64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, size, size, generator=generator, dtype=torch.float64)


def small(body: Body = lambda m, x: m.c(x), **parts: nn.Module) -> nn.Module:
    """A small model in float64; without a body two convolutions with a GELU."""
    return Small(body, **(parts or {"c": block()})).double()


def assert_exact(model: nn.Module, images: Tensor, references: Tensor) -> Explanation:
    """The model's own predictions, and a sum that misses their change by rounding only."""
    explanation = DeepShap(model, references)(images, on_gap="ignore")
    with torch.no_grad():
        torch.testing.assert_close(explanation.predictions, model(images))
    change = (explanation.predictions - explanation.base_values).abs().max()
    assert explanation.completeness_gap.abs().max() < 1e-9 * max(change, 1e-3)
    return explanation
