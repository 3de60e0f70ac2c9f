"""Calls that do in one step what other calls do in several: each is written out, and followed part by part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from shapsight.attribution.deep.rules.rule import followed

if TYPE_CHECKING:
    from shapsight.attribution.deep.call import Call


@followed("addcmul")
def addcmul(_call: Call, input: Any, tensor1: Any, tensor2: Any, *, value: float = 1) -> Any:
    """`input + value · tensor1 · tensor2`."""
    return input + value * (tensor1 * tensor2)


@followed("addcdiv")
def addcdiv(_call: Call, input: Any, tensor1: Any, tensor2: Any, *, value: float = 1) -> Any:
    """`input + value · tensor1 / tensor2`."""
    return input + value * (tensor1 / tensor2)


@followed("lerp")
def lerp(_call: Call, input: Any, end: Any, weight: Any) -> Any:
    """`input + weight · (end - input)`."""
    return input + weight * (end - input)


@followed("glu")
def glu(_call: Call, input: Tensor, dim: int = -1) -> Tensor:
    """One half of the channels, gated by the other."""
    a, gate = input.chunk(2, dim)
    return a * gate.sigmoid()


@followed("prod")
def prod(_call: Call, input: Tensor, dim: int | None = None, keepdim: bool = False, **_: Any) -> Any:
    """A product over a dimension: halves are multiplied, then their halves."""
    if dim is None:
        return NotImplemented
    factors = list(input.unbind(dim))
    while len(factors) > 1:
        pairs = [a * c for a, c in zip(factors[0::2], factors[1::2], strict=False)]
        factors = pairs if len(factors) % 2 == 0 else [*pairs, factors[-1]]
    return factors[0].unsqueeze(dim) if keepdim else factors[0]


@followed("logaddexp")
def logaddexp(_call: Call, input: Tensor, other: Tensor) -> Tensor:
    """`log(eᵃ + eᶜ)`."""
    return _stacked(input, other).logsumexp(0)


@followed("hypot")
def hypot(_call: Call, input: Tensor, other: Tensor) -> Tensor:
    """`√(a² + c²)`."""
    return _stacked(input, other).square().sum(0).sqrt()


def _stacked(input: Tensor, other: Tensor) -> Tensor:
    shape = (input + other).shape
    return torch.stack([input.expand(shape), other.expand(shape)])


def _dimensions(input: Tensor, dim: Any) -> tuple[int, ...]:
    if dim is None or dim == []:
        return tuple(range(input.dim()))
    return (dim,) if isinstance(dim, int) else tuple(dim)


def _variance(
    input: Tensor, dim: Any, unbiased: bool | None, keepdim: bool, correction: float | None
) -> tuple[Tensor, Tensor]:
    if isinstance(dim, bool):  # var(x, unbiased)
        dim, unbiased = None, dim
    if correction is None:
        correction = 0 if unbiased is False else 1
    dims = _dimensions(input, dim)
    mean = input.mean(dims, keepdim=True)
    count = input.numel() // max(mean.numel(), 1)
    variance = (input - mean).square().sum(dims, keepdim=keepdim) / max(count - correction, 0)
    return variance, mean if keepdim else mean.reshape(variance.shape)


@followed("var", "std", "var_mean", "std_mean")
def variance(
    call: Call,
    input: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Any:
    """Variance and standard deviation over dimensions, by the squares of what is left without the mean."""
    spread, mean = _variance(input, dim, unbiased, keepdim, correction)
    if call.name.startswith("std"):
        spread = spread.sqrt()
    return (spread, mean) if call.name.endswith("_mean") else spread
