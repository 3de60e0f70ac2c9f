"""Maxima and minima: over dimensions, with one winner each, and of two tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from shapsight.attribution.deep.rules.elementwise import Elementwise, ElementwiseByPlace
from shapsight.attribution.deep.rules.pooling import Maximum
from shapsight.attribution.deep.rules.rule import paired

if TYPE_CHECKING:
    from shapsight.attribution.deep.call import Call


def _largest(call: Call, input: Tensor, dim: Any, keepdim: bool) -> Tensor:
    rank = input.dim()
    wanted = range(rank) if dim is None or dim in ((), []) else (dim,) if isinstance(dim, int) else dim
    dims = sorted(d % rank for d in wanted)
    tail = tuple(range(rank - len(dims), rank))

    def function(x: Tensor) -> Tensor:
        y = x.movedim(dims, tail).flatten(tail[0]).max(-1).values
        for position in dims if keepdim else ():
            y = y.unsqueeze(position)
        return y

    if call.name.endswith("min"):
        return call.pair(Maximum(function), input.neg()).neg()
    return call.pair(Maximum(function), input)


@paired("amax", "amin")
def extreme_value(call: Call, input: Tensor, dim: Any = (), keepdim: bool = False) -> Tensor:
    """The largest or smallest value over some dimensions; among equals the first wins."""
    return _largest(call, input, dim, keepdim)


@paired("max", "min")
def extreme(call: Call, input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """`x.max()`, `x.max(dim)` with its places, or `torch.max(x, y)`."""
    if isinstance(dim, Tensor) or other is not None:
        return _of_two(call, input, dim if other is None else other, call.name == "min")
    values = _largest(call, input, dim, keepdim)
    if dim is None:
        return values
    result = getattr(torch.return_types, call.name)
    places = input.detach().argmin if call.name == "min" else input.detach().argmax
    return result((values, places(dim, keepdim=keepdim)))


def _of_two(call: Call, a: Any, c: Any, is_minimum: bool) -> Tensor:
    """`(a + c ± |a - c|) / 2`; with a constant, an elementwise function."""
    function = torch.minimum if is_minimum else torch.maximum
    if call.depends(a) and call.depends(c):
        distance = call.pair(Elementwise(torch.abs), a - c)
        total: Tensor = a + c
        return (total - distance) / 2 if is_minimum else (total + distance) / 2
    if not call.depends(a):
        a, c = c, a
    constant = torch.as_tensor(c, dtype=a.dtype, device=a.device)
    wide = a.expand(function(a.detach(), constant).shape)
    return call.pair(ElementwiseByPlace(lambda x: function(x, constant)), wide)


@paired("maximum", "minimum", "fmax", "fmin")
def extreme_of_two(call: Call, input: Any, other: Any) -> Tensor:
    """The larger or smaller of two values."""
    return _of_two(call, input, other, "min" in call.name)


@paired("clamp", "clamp_min", "clamp_max")
def clamp(call: Call, input: Tensor, min: Any = None, max: Any = None) -> Any:
    """Elementwise with constant bounds; a bound that depends on the input is a maximum or minimum of two."""
    if call.name == "clamp_max":
        min, max = None, min if max is None else max
    if not call.depends((min, max)):
        bounds = {"min": min, "max": max}
        y = call.pair(Elementwise(lambda x: torch.clamp(x, **bounds)), input)
        call.carry_length(y, input)
        return y
    result = input if min is None else _of_two(call, input, min, is_minimum=False)
    return result if max is None else _of_two(call, result, max, is_minimum=True)
