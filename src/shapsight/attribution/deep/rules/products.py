"""Products and quotients of two things that both depend on the input.

A product is shared out as the Shapley value of its two factors: to `a` goes `g · c̄`, to `c` goes `g · ā`, with
the bar for the mean of image and reference. With one factor constant it is linear, and autograd's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from shapsight.attribution.deep.rules.elementwise import CLOSED_FORMS, ClosedForm
from shapsight.attribution.deep.rules.rule import (
    Pair,
    PairedRule,
    gradient_at,
    linear_unless_dependent,
    paired,
)

if TYPE_CHECKING:
    from shapsight.attribution.deep.replay import Call


@dataclass(frozen=True, eq=False)
class Product(PairedRule):
    """Any function that is linear in each of two inputs."""

    function: Callable[[Tensor, Tensor], Tensor]

    def forward(self, *inputs: Tensor) -> Tensor:
        """The function itself."""
        return self.function(*inputs)

    def multipliers(self, g: Tensor, pair: Pair) -> tuple[Tensor, ...]:
        """The vector-Jacobian product at the means of image and reference."""
        means = pair.cached(
            "means", lambda: tuple((x + b).div_(2) for x, b in zip(pair.x, pair.b, strict=True))
        )
        return gradient_at(self.function, means, g)


@dataclass(frozen=True, eq=False)
class Quotient(PairedRule):
    """`y = a / c`: to `a` goes `g / c̄`, to `c` goes `-g ȳ / c̄`; never by way of `1 / c`."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """The quotient."""
        return torch.div(*inputs)

    def multipliers(self, g: Tensor, pair: Pair) -> tuple[Tensor, ...]:
        """Exact: `Δa = c̄ Δy + ȳ Δc`."""
        (a_x, c_x), (a_b, c_b) = pair.x, pair.b
        share = g / ((c_x + c_b) / 2)
        mean_y = (a_x / c_x + a_b / c_b) / 2
        return share.sum_to_size(a_b.shape), (-share * mean_y).sum_to_size(c_b.shape)


def product(call: Call, function: Callable[[Any, Any], Tensor], a: Any, c: Any) -> Tensor:
    """A pair where both factors depend on the input, autograd's otherwise."""
    if linear_unless_dependent(call, a, c):
        return function(a, c)
    if a.dtype != c.dtype:
        common = torch.promote_types(a.dtype, c.dtype)
        a, c = a.to(common), c.to(common)
    return call.pair(Product(function), a, c)


@paired("mul")
def multiply(call: Call, input: Any, other: Any, *, out: None = None) -> Tensor:
    """A product; where a factor is `rsqrt(v)` or `1/v` of something dependent it is a quotient after all."""
    for a, c in ((input, other), (other, input)):
        factor = call.factor(c)
        if factor is not None and call.depends(a):
            kind, denominator = factor
            if kind == "rsqrt":
                denominator = call.pair(ClosedForm(torch.sqrt, CLOSED_FORMS["sqrt"]), denominator)
            return call.pair(Quotient(), a, denominator)
    return product(call, torch.mul, input, other)


@paired("div")
def divide(call: Call, input: Any, other: Any, *, rounding_mode: str | None = None) -> Any:
    """A quotient, or linear where the denominator is constant."""
    if rounding_mode is not None:
        return NotImplemented
    if not call.depends(other):
        return torch.div(input, other)
    if call.depends(input):
        return call.pair(Quotient(), input, other)
    inverse = call.pair(ClosedForm(torch.reciprocal, CLOSED_FORMS["reciprocal"]), other)
    result = input * inverse
    if isinstance(input, int | float) and input == 1:
        call.remember_factor(result, "reciprocal", other)
    return result


@paired("rdiv")
def reversed_divide(call: Call, input: Tensor, other: Any) -> Any:
    """`1 / x` arrives as `x.__rdiv__(1)`."""
    return divide(call, other, input)


@paired("matmul", "bmm", "mm", "rmatmul")
def matrix_multiply(call: Call, input: Tensor, other: Tensor) -> Tensor:
    """Both matmuls of an attention; linear where one side is a weight."""
    if call.name == "rmatmul":
        input, other = other, input
    return product(call, torch.matmul, input, other)


@paired("linear")
def linear(call: Call, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Linear, also where the weight is made from the input."""
    if not call.depends(weight):
        return F.linear(input, weight, bias)
    y = product(call, F.linear, input, weight)
    return y if bias is None else y + bias


@paired("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def convolution(
    call: Call, input: Tensor, weight: Tensor, bias: Tensor | None = None, *args: Any, **kwargs: Any
) -> Any:
    """A convolution; with a weight that depends on the input (dynamic filters) a product."""
    function = getattr(F, call.name)
    if not call.depends(weight):
        return function(input, weight, bias, *args, **kwargs)
    y = product(call, lambda a, c: function(a, c, None, *args, **kwargs), input, weight)
    return y if bias is None else y + bias.reshape(1, -1, *[1] * (y.dim() - 2))
