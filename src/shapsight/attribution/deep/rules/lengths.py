"""Norms of vectors and what is built on them: distances, cosine similarity, the size of complex numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from shapsight.attribution.deep.rules.elementwise import elementwise
from shapsight.attribution.deep.rules.rule import Pair, PairedRule, followed, paired

if TYPE_CHECKING:
    from shapsight.attribution.deep.call import Call


@dataclass(frozen=True, eq=False)
class Length(PairedRule):
    """The Euclidean norm over some dimensions, which are kept: `g (x + b) / (‖x‖ + ‖b‖)`."""

    dims: tuple[int, ...]
    keeps_output = True

    @property
    def spans(self) -> int:  # type: ignore[override]
        """The dimensions from its first to the last."""
        return -min(self.dims, default=0)

    def forward(self, *inputs: Tensor) -> Tensor:
        """The norm."""
        length: Tensor = torch.linalg.vector_norm(inputs[0], dim=self.dims, keepdim=True)
        return length

    def multipliers(self, g: Tensor, pair: Pair) -> tuple[Tensor, ...]:
        """Exact, since `‖x‖² - ‖b‖² = Σ (x + b) Δx`; 0 where both are the zero vector."""
        (x,), (b,), (y_x, y_b) = pair.x, pair.b, pair.outputs
        total = y_x + y_b
        return (torch.add(x, b).mul_(g / total.masked_fill_(total == 0, 1.0)),)


def _euclidean(call: Call, input: Tensor, dims: tuple[int, ...], keepdim: bool) -> Tensor:
    dims = tuple(d - input.dim() if d >= 0 else d for d in dims)
    if input.is_complex():
        length = call.pair(Length((*(d - 1 for d in dims), -1)), torch.view_as_real(input)).squeeze(-1)
    else:
        length = call.pair(Length(dims), input)
    result = length if keepdim else length.squeeze(dims)
    call.remember_length(result)
    return result


def _p_norm(input: Tensor, p: float, dims: tuple[int, ...], keepdim: bool) -> Tensor:
    if p == 1:
        return input.abs().sum(dims, keepdim=keepdim)
    if p == float("inf"):
        return input.abs().amax(dims, keepdim=keepdim)
    return (input.abs() ** p).sum(dims, keepdim=keepdim) ** (1 / p)


def _norm(call: Call, input: Tensor, p: Any, dim: Any, keepdim: bool) -> Any:
    dims = tuple(range(input.dim())) if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
    if p in (None, "fro", 2):
        return _euclidean(call, input, dims, keepdim)
    if isinstance(p, int | float) and p > 0:
        return call.follow(_p_norm, input, p, dims, keepdim)
    return NotImplemented


@paired("norm")
def norm(
    call: Call, input: Tensor, p: Any = "fro", dim: Any = None, keepdim: bool = False, dtype: Any = None
) -> Any:
    """torch.norm: of vectors, over any dimensions."""
    return _norm(call, input, p, dim, keepdim)


@paired("vector_norm", "linalg_norm")
def vector_norm(
    call: Call, input: Tensor, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Any:
    """torch.linalg's norms of vectors; those of matrices only where they are Euclidean."""
    is_matrix = call.name == "linalg_norm" and ord not in (None, "fro") and not isinstance(dim, int)
    return NotImplemented if is_matrix and input.dim() > 1 else _norm(call, input, ord, dim, keepdim)


@paired("linalg_matrix_norm")
def matrix_norm(
    call: Call, input: Tensor, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False
) -> Any:
    """The Frobenius norm."""
    return _norm(call, input, ord, dim, keepdim) if ord == "fro" else NotImplemented


@paired("abs")
def absolute(call: Call, input: Tensor) -> Any:
    """`|x|`; of complex numbers their length."""
    if not input.is_complex():
        return elementwise(call, input)
    return _euclidean(call, input, (), keepdim=True)


@followed("cosine_similarity")
def cosine_similarity(_call: Call, x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """The product of two vectors of length one."""
    x1, x2 = (x / x.norm(dim=dim, keepdim=True).clamp_min(eps) for x in (x1, x2))
    return (x1 * x2).sum(dim)


@followed("pairwise_distance")
def pairwise_distance(
    _call: Call, x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """The norm of a difference."""
    return (x1 - x2 + eps).norm(p, -1, keepdim)  # type: ignore[no-any-return]


@followed("cdist")
def cdist(_call: Call, x1: Tensor, x2: Tensor, p: float = 2.0, *_: Any, **__: Any) -> Tensor:
    """Distances of all rows of one matrix to all rows of another."""
    return (x1.unsqueeze(-2) - x2.unsqueeze(-3)).norm(p, -1)  # type: ignore[no-any-return]
