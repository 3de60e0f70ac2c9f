"""Maxima and minima: over dimensions, with one winner each, and of two tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from shapsight.attribution.deep.rules.elementwise import Elementwise, ElementwiseByPlace
from shapsight.attribution.deep.rules.rule import Pair, PairedRule, paired

if TYPE_CHECKING:
    from shapsight.attribution.deep.call import Call


@dataclass(frozen=True, eq=False)
class Largest(PairedRule):
    """The largest value over some dimensions; the winners are noted when it is computed, as in `MaxPooling2d`."""

    dims: tuple[int, ...]
    keeps_dims: bool

    def _flat(self, x: Tensor) -> Tensor:
        """The dimensions that are searched, as the last one."""
        tail = tuple(range(-len(self.dims), 0))
        return x.movedim(self.dims, tail).flatten(-len(self.dims))

    def _shaped(self, flat: Tensor, like: Tensor) -> Tensor:
        """The reverse: such values in the shape of `like`."""
        tail = tuple(range(-len(self.dims), 0))
        return flat.reshape(like.movedim(self.dims, tail).shape).movedim(tail, self.dims)

    def forward(self, *inputs: Tensor) -> Tensor:
        """The largest values."""
        return self.run(*inputs)[0]

    def run(self, *inputs: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The largest values; noted are their places, in as many dimensions as the input has."""
        values, places = self._flat(inputs[0]).max(-1)
        for dim in self.dims:
            places = places.unsqueeze(dim)
            values = values.unsqueeze(dim) if self.keeps_dims else values
        return values, (places,)

    def multipliers(self, g: Tensor, pair: Pair) -> tuple[Tensor, ...]:
        """All of `g Δy` goes to the winner of the higher one, divided by its own change, which is at least as large."""
        (b,) = pair.b
        share, places = pair.cached("shares", lambda: self._shares(pair))
        gathered = b.new_zeros(self._flat(b).shape).scatter_(-1, places, g.reshape(share.shape) * share)
        return (self._shaped(gathered, b),)

    def _shares(self, pair: Pair) -> tuple[Tensor, Tensor]:
        (p_x,), (p_b,) = ([self._flat(note) for note in notes] for notes in (pair.notes_x, pair.notes_b))
        x, b = self._flat(pair.x[0]), self._flat(pair.b[0])
        change = x.gather(-1, p_x) - b.gather(-1, p_b)
        places = torch.where(change > 0, p_x, p_b)
        difference = x.expand_as(b).gather(-1, places) - b.gather(-1, places)
        return (change / difference).nan_to_num_(0.0), places  # 0 / 0 where nothing changes


def _largest(call: Call, input: Tensor, dim: Any, keepdim: bool) -> Tensor:
    rank = input.dim()
    wanted = range(rank) if dim is None or dim in ((), []) else (dim,) if isinstance(dim, int) else dim
    rule = Largest(tuple(sorted(d % rank for d in wanted)), keepdim)
    if call.name.endswith("min"):
        return call.pair(rule, input.neg()).neg()
    return call.pair(rule, input)


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
