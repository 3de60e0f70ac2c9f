"""Small models with something that DeepSHAP cannot follow, and words of the reason that it must give."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from deep_parts import Body, Small

REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {}


def refused(name: str, words: str, **parts: Callable[[], nn.Module]) -> Callable[[Body], Body]:
    def enter(body: Body) -> Body:
        REFUSED[name] = (lambda: Small(body, **{part: make() for part, make in parts.items()}), words)
        return body

    return enter


refused("mask of another tensor", "compar")(lambda m, x: x * (x.mean((2, 3), keepdim=True) > 0))
refused("mask as a number of another tensor", "mask")(lambda m, x: x.flip(2) * (x > 0).to(x.dtype))
refused("mask that is an output", "mask")(lambda m, x: (x > 0).to(x.dtype).mean((2, 3)).repeat(1, 8))
refused("where between others", "compares")(lambda m, x: torch.where(x > 0, x.flip(2), x))
refused("indexing by a mask over the whole batch", "mixes the images")(
    lambda m, x: x[x > 0].sum().expand(len(x), 16)
)
refused("vmap", "vmap")(lambda m, x: torch.func.vmap(lambda q: q.relu() * q)(x))
refused("leaving for numpy", "numpy")(lambda m, x: x + torch.from_numpy(x.detach().numpy() ** 2))
refused(
    "batch norm by the statistics of the batch",
    "statistics",
    n=lambda: nn.BatchNorm2d(3, track_running_stats=False),
)(lambda m, x: m.n(x))
refused("activations turned into a Python number", "item gives")(lambda m, x: x / x.abs().max().item())
refused("an if on values", "control flow")(lambda m, x: F.gelu(x) if x[0].mean() > -0.01 else F.relu(x))
refused("a model that mixes the images", "mixes the images")(lambda m, x: F.gelu(x - x.mean(0)))
refused("attention over the batch", "mixes", a=lambda: nn.MultiheadAttention(64, 4))(
    lambda m, x: m.a(*[x.flatten(2)] * 3)[0]
)
refused("a random model", "random")(lambda m, x: x + torch.rand(8, dtype=x.dtype))
refused("atan2", "atan2")(lambda m, x: torch.atan2(x, x.flip(1)))
refused("cumprod", "cumprod")(lambda m, x: x.cumprod(3))
refused("remainder", "remainder")(lambda m, x: x % 1.0)
