"""What the tests of DeepShap are made of: small models, their pictures, and what exact means."""

from __future__ import annotations

import itertools
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


def state_of(model):
    return {
        "training": [module.training for module in model.modules()],
        "requires_grad": [parameter.requires_grad for parameter in model.parameters()],
        "gradients": [None if p.grad is None else p.grad.clone() for p in model.parameters()],
        "values": [tensor.clone() for tensor in model.state_dict().values()],
        "hooks": [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()],
        "attributes": [sorted(module.__dict__) for module in model.modules()],
    }


class Restless(nn.Module):
    """A batch norm in training mode, a frozen part, a gradient, a counter in a buffer and one in an attribute."""

    def __init__(self, raises=None):
        super().__init__()
        self.c, self.norm, self.head = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2)
        self.register_buffer("calls", torch.zeros(1))
        self.seen = 0
        self.raises, self.runs = (
            raises,
            itertools.count(),
        )  # what a model counts itself is put back before each run
        self.c.weight.requires_grad_(False)
        self.head.weight.grad = torch.ones_like(self.head.weight)

    def forward(self, x):
        self.calls += 1
        self.seen += 1
        self.last = x
        if self.raises is not None and next(self.runs) > 1:
            raise self.raises
        return self.head(self.norm(self.c(x)).relu().mean((2, 3)))


def assert_left_as_found(model, action):
    before = state_of(model)
    action()
    after = state_of(model)
    for name, value in before.items():
        if name in ("values", "gradients"):
            torch.testing.assert_close(
                [v for v in after[name] if v is not None], [v for v in value if v is not None]
            )
        else:
            assert after[name] == value, name


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.look, self.read = nn.Conv2d(3, 4, 3), nn.Linear(5, 4)

    def forward(self, image, numbers):
        return self.look(image).tanh().mean((2, 3)) * self.read(numbers).sigmoid()


class Several(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.kind, self.c = kind, nn.Conv2d(3, 4, 3)

    def forward(self, x):
        y = self.c(x).tanh().mean((2, 3))
        return {"dict": {"scores": y, "other": y}, "tuple": (y.exp(), y), "loss": y.sum(), "one": y[:, 0]}[
            self.kind
        ]


class Overflow(nn.Module):
    def forward(self, x):
        return (x * 100).exp()
