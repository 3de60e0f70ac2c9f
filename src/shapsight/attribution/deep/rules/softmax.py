"""Softmax, log-softmax and logsumexp by the logarithmic mean.

With `M_i = (p_x - p_b) / d_i` and `d_i = log p_x - log p_b`, the logarithmic mean of the two probabilities, and
`ΔL = Δlogsumexp = Σ M_j Δz_j / Σ M_j` exactly, since `Δp_i = M_i (Δz_i - ΔL)` and the probabilities sum to one.
It is computed as `M = (p_x + p_b) / 2 · tanh(d / 2) / (d / 2)`, where nothing cancels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from shapsight.attribution.deep.rules.pieces import Place, beside, one_by_one
from shapsight.attribution.deep.rules.rule import Pair, PairedRule, paired

if TYPE_CHECKING:
    from shapsight.attribution.deep.call import Call


@dataclass(frozen=True, eq=False)
class _OverDimension(PairedRule):
    dim: int

    @property
    def spans(self) -> int:  # type: ignore[override]
        """The dimensions from its own to the last."""
        return -self.dim

    def _chances(self, z: Tensor, p: Tensor | None) -> tuple[Tensor, Tensor]:
        """The probabilities, and what to take from z for their logarithms."""
        p = z.softmax(self.dim) if p is None else p
        return p, z.amax(self.dim, keepdim=True) - p.amax(self.dim, keepdim=True).log_()

    def means(self, pair: Pair) -> Iterable[tuple[Place, Tensor, Tensor]]:
        """`M` and `1 / ΣM`, place by place."""
        return pair.pieces(lambda: self._means(pair))

    def _means(self, pair: Pair) -> Iterator[tuple[Place, Tensor, Tensor]]:
        (x,), (b,) = pair.x, pair.b
        (p_x, log_x), (p_b, log_b) = self._chances(x, pair.y_x), self._chances(b, pair.y_b)
        shift = log_b - log_x
        for k in one_by_one(p_b, p_b.dim() - self.spans):
            d = torch.sub(beside(x, k), b[k]).add_(shift[k])
            mean = torch.div(d, 2).tanh_().div_(d).mul_(torch.add(beside(p_x, k), p_b[k]))
            total = mean.sum(self.dim, keepdim=True)
            if total.isnan().any():  # equal probabilities, or both 0 behind a mask: they are their own mean
                mean = torch.where(mean.isnan(), p_b[k], mean)
                total = mean.sum(self.dim, keepdim=True)
                if total.isnan().any():  # everything is masked here, and what comes of it is 0 or not used
                    mean, total = mean.nan_to_num_(0.0), total.nan_to_num_(1.0)
            yield k, mean, total.reciprocal_()


@dataclass(frozen=True, eq=False)
class Softmax(_OverDimension):
    """`M_i (g_i - Σ_j g_j M_j / ΣM)`."""

    keeps_output = True

    def forward(self, *inputs: Tensor) -> Tensor:
        """Softmax over one dimension."""
        return inputs[0].softmax(self.dim)

    def multipliers(self, g: Tensor, pair: Pair) -> tuple[Tensor, ...]:
        """See the class."""
        result = torch.empty_like(pair.b[0])
        for k, mean, inverse in self.means(pair):
            expected = (g[k] * mean).sum(self.dim, keepdim=True).mul_(inverse)
            torch.mul(mean, g[k] - expected, out=result[k])
        return (result,)


@dataclass(frozen=True, eq=False)
class LogSoftmax(_OverDimension):
    """`g - (Σg) M / ΣM`."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Log-softmax over one dimension."""
        return inputs[0].log_softmax(self.dim)

    def multipliers(self, g: Tensor, pair: Pair) -> tuple[Tensor, ...]:
        """See the class."""
        result = torch.empty_like(pair.b[0])
        for k, mean, inverse in self.means(pair):
            torch.sub(g[k], g[k].sum(self.dim, keepdim=True) * inverse * mean, out=result[k])
        return (result,)


@dataclass(frozen=True, eq=False)
class LogSumExp(_OverDimension):
    """`g M / ΣM`."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Logsumexp over one dimension, which is kept."""
        return inputs[0].logsumexp(self.dim, keepdim=True)

    def multipliers(self, g: Tensor, pair: Pair) -> tuple[Tensor, ...]:
        """See the class."""
        result = torch.empty_like(pair.b[0])
        for k, mean, inverse in self.means(pair):
            torch.mul(g[k] * inverse, mean, out=result[k])
        return (result,)


def _dimension(dim: int | None, rank: int) -> int:
    if dim is None:  # torch's own legacy choice
        dim = 0 if rank in (0, 1, 3) else 1
    return dim - rank if dim >= 0 else dim


@paired("softmax", "log_softmax")
def softmax(call: Call, input: Tensor, dim: int | None = None, *rest: Any, **named: Any) -> Tensor:
    """Softmax and its logarithm."""
    rule = Softmax if call.name == "softmax" else LogSoftmax
    dtype = next((value for value in (*rest, *named.values()) if isinstance(value, torch.dtype)), input.dtype)
    return call.pair(rule(_dimension(dim, input.dim())), input.to(dtype))


@paired("logsumexp")
def logsumexp(call: Call, input: Tensor, dim: Any, keepdim: bool = False) -> Tensor:
    """Logsumexp over one dimension after another."""
    dims = [_dimension(d, input.dim()) for d in ([dim] if isinstance(dim, int) else dim)]
    y = input
    for position in dims:
        y = call.pair(LogSumExp(position), y)
    return y if keepdim else y.squeeze(tuple(dims))
