"""Elementwise functions: the slope of the chord, in closed form where there is one.

`y = f(x)` passes on `g · Δy/Δx` (the Rescale rule, Shrikumar et al. 2017, equation 9). Close to `Δx = 0` the
chord's slope is lost to rounding; there it is the derivative at the middle.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from shapsight.attribution.deep.rules.pieces import by_pieces
from shapsight.attribution.deep.rules.rule import Pair, PairedRule, gradient_at, paired

if TYPE_CHECKING:
    from shapsight.attribution.deep.call import Call

CLOSE = 1e-6  # relative distance below which Δx is rounding noise
Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Elementwise(PairedRule):
    """Any elementwise function, by the slope of its chord."""

    function: Function
    keeps_output = True
    spans: ClassVar[int | None] = 0

    def forward(self, *inputs: Tensor) -> Tensor:
        """The function itself."""
        return self.function(*inputs)

    def slope(self, pair: Pair, *g: Tensor) -> Tensor:
        """`Δy/Δx`, or the derivative at the middle where x and b are close; times g if that is given."""
        (x,), (b,), (y_x, y_b) = pair.x, pair.b, pair.outputs
        close = x.abs().mul_(2 * CLOSE)  # |x| + |b| is 2 |x|, to six digits, where they are close
        return by_pieces(self._chord, torch.empty_like(b), (x, y_x, close), (b, y_b, *g))

    def _chord(
        self, slope: Tensor, x: Tensor, y_x: Tensor, close: Tensor, b: Tensor, y_b: Tensor, *g: Tensor
    ) -> None:
        difference = torch.sub(b, x)
        torch.sub(y_b, y_x, out=slope).div_(difference)
        beyond = difference.abs_().sub_(close)
        if not beyond.amin() > 0:  # on a processor, to compare and ask any() takes as long as all the rest
            places = (beyond <= 0).nonzero(as_tuple=True)
            middle = (x.expand_as(b)[places] + b[places]) / 2
            slope[places] = _derivative(self.function, middle)
        _times(slope, *g)

    def multipliers(self, g: Tensor, pair: Pair) -> tuple[Tensor, ...]:
        """`g` times the slope, which is the same for every output of an image."""
        if pair.is_last and not pair.cache:
            return (self.slope(pair, g),)
        return (pair.scale(pair.cached("slope", lambda: self.slope(pair)), g),)


def _times(slope: Tensor, *g: Tensor) -> Tensor:
    """The slope, in place times g where that is given."""
    for multiplier in g:
        slope.mul_(multiplier)
    return slope


def _derivative(function: Function, middle: Tensor) -> Tensor:
    """The derivative, and 0 where it is infinite, as a root's at 0: nothing changes there that it could multiply."""
    return gradient_at(function, (middle,), torch.ones_like(middle))[0].nan_to_num_(0.0, 0.0, 0.0)


@dataclass(frozen=True, eq=False)
class ElementwiseByPlace(Elementwise):
    """An elementwise function whose constants differ from place to place, such as a PReLU's slopes by channel."""

    spans = None

    def slope(self, pair: Pair, *g: Tensor) -> Tensor:
        """The same on whole tensors, since a place taken out has lost its constant."""
        (x,), (b,), (y_x, y_b) = pair.x, pair.b, pair.outputs
        difference = b - x
        is_close = difference.abs() <= (x.abs() + b.abs()).mul_(CLOSE)
        slope = (y_b - y_x).div_(difference.masked_fill_(is_close, 1.0))
        if is_close.any():
            middle = (x + b) / 2
            slope = torch.where(is_close, _derivative(self.function, middle), slope)
        return _times(slope, *g)


@dataclass(frozen=True, eq=False)
class NanToNum(Elementwise):
    """What is not a number at both ends stays the same number."""

    def slope(self, pair: Pair, *g: Tensor) -> Tensor:
        """The chord's slope, 0 where it has none."""
        return _times(super().slope(pair).nan_to_num_(0.0, 0.0, 0.0), *g)


@dataclass(frozen=True, eq=False)
class ClosedForm(Elementwise):
    """An elementwise function whose chord has a slope without cancellation: `closed(x, b)`."""

    closed: Callable[[Tensor, Tensor], Tensor]
    keeps_output = False

    def slope(self, pair: Pair, *g: Tensor) -> Tensor:
        """The closed form."""
        return _times(self.closed(pair.x[0], pair.b[0]), *g)


@dataclass(frozen=True, eq=False)
class Relu(Elementwise):
    """`max(x, 0)`: with `h = max(x, b, 0)` and `l = min(x, b, 0)` the slope is `h / (h - l)`, where nothing cancels."""

    keeps_output = False

    def run_in_place(self, target: Tensor) -> tuple[Tensor, ...]:
        """In place, without a copy in between."""
        torch.relu_(target)
        return ()

    def slope(self, pair: Pair, *g: Tensor) -> Tensor:
        """The share of the way from b to x that lies above zero; 0 where both are exactly 0."""
        return relu_slope(pair.x[0], pair.b[0], *g)


def relu_slope(x: Tensor, b: Tensor, *g: Tensor) -> Tensor:
    """The slope of the chord of `max(x, 0)`; times g if that is given."""
    # `l` is a hair below 0, so that 0 / 0 is 0
    highest, lowest = x.clamp_min(0), x.clamp_max(-torch.finfo(b.dtype).tiny)
    return by_pieces(_relu_chord, torch.empty_like(b), (highest, lowest), (b, *g))


def _relu_chord(slope: Tensor, highest_x: Tensor, lowest_x: Tensor, b: Tensor, *g: Tensor) -> None:
    torch.maximum(b, highest_x, out=slope)
    spread = torch.minimum(b, lowest_x)
    _times(slope.div_(torch.sub(slope, spread, out=spread)), *g)


def _sqrt(x: Tensor, b: Tensor) -> Tensor:
    total = x.sqrt() + b.sqrt()
    return torch.where(total == 0, 0.0, 1 / total)


def _rsqrt(x: Tensor, b: Tensor) -> Tensor:
    r_x, r_b = x.rsqrt(), b.rsqrt()
    return -((r_x * r_b) ** 2) / (r_x + r_b)


def _exp(x: Tensor, b: Tensor) -> Tensor:
    difference = x - b
    return b.exp() * torch.where(difference == 0, 1.0, torch.expm1(difference) / difference)


CLOSED_FORMS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "square": lambda x, b: x + b,
    "sqrt": _sqrt,
    "rsqrt": _rsqrt,
    "reciprocal": lambda x, b: -x.reciprocal() * b.reciprocal(),
    "exp": _exp,
}
ELEMENTWISE = """relu relu6 leaky_relu elu selu celu gelu silu mish hardswish hardsigmoid hardtanh sigmoid tanh softplus
softsign logsigmoid log_sigmoid tanhshrink hardshrink softshrink threshold clamp clamp_min clamp_max exp exp2 expm1 log
log2 log10 log1p sqrt rsqrt square reciprocal abs erf erfc sin cos tan asin acos atan sinh cosh asinh acosh atanh sinc
nan_to_num deg2rad rad2deg erfinv logit sign sgn floor ceil round trunc frac""".split()


def _torch_function(name: str) -> Callable[..., Tensor]:
    name = {"log_sigmoid": "logsigmoid"}.get(name, name)
    homes = (F, torch, Tensor)
    function: Callable[..., Tensor] = next(getattr(home, name) for home in homes if hasattr(home, name))
    return function


def elementwise(call: Call, input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Every function of `ELEMENTWISE`: its other arguments are constants."""
    if any(call.depends(argument) for argument in (*args, *kwargs.values())) or input.is_complex():
        return NotImplemented
    kwargs.pop("inplace", None)
    name = call.name
    function = (
        partial(_torch_function(name), **kwargs) if not args else _bind(_torch_function(name), args, kwargs)
    )
    if name == "relu":
        return call.pair(Relu(function), input)
    if name == "nan_to_num":
        return call.pair(NanToNum(function), input)
    if name in CLOSED_FORMS and not args and not kwargs:
        y = call.pair(ClosedForm(function, CLOSED_FORMS[name]), input)
        _note_root(call, y, name, input)
        return y
    return call.pair(Elementwise(function), input)


paired(*ELEMENTWISE)(elementwise)


def _note_root(call: Call, y: Tensor, name: str, of: Tensor) -> None:
    """What a product or a quotient with a root or an inverse wants to know of it."""
    if name == "sqrt":
        call.remember_length(y)
    if name in ("rsqrt", "reciprocal"):
        call.remember_factor(y, name, of)


def _bind(function: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Function:
    return lambda tensor: function(tensor, *args, **kwargs)


@paired("prelu")
def prelu(call: Call, input: Tensor, weight: Tensor) -> Any:
    """A leaky ReLU with a learned slope."""
    if call.depends(weight):
        return NotImplemented
    return call.pair(ElementwiseByPlace(lambda tensor: F.prelu(tensor, weight)), input)


@paired("rrelu")
def rrelu(call: Call, input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, *_: Any, **__: Any) -> Any:
    """In eval mode a leaky ReLU with the mean of the two slopes."""
    slope = (lower + upper) / 2
    return call.pair(Elementwise(lambda tensor: F.leaky_relu(tensor, slope)), input)


@paired("pow", "float_power")
def power(call: Call, input: Any, exponent: Any) -> Any:
    """`x ** p` with a constant p, or a constant to the power of x."""
    if call.depends(exponent):
        if call.depends(input):
            return NotImplemented
        return call.pair(Elementwise(lambda tensor: input**tensor), exponent)
    if isinstance(exponent, Tensor):
        if exponent.numel() > 1:
            return (
                call.pair(ElementwiseByPlace(lambda tensor: tensor**exponent), input)
                if (exponent.dim() <= input.dim() and exponent.shape[:1] != input.shape[:1])
                else NotImplemented
            )
        exponent = exponent.item()
    named = {1: None, 2: "square", 0.5: "sqrt", -0.5: "rsqrt", -1: "reciprocal"}
    if exponent == 1:
        return input.clone()
    name = named.get(exponent)
    if name is None:
        return call.pair(Elementwise(lambda tensor: tensor**exponent), input)
    y = call.pair(ClosedForm(_torch_function(name), CLOSED_FORMS[name]), input)
    _note_root(call, y, name, input)
    return y


@paired("rpow")
def reversed_power(call: Call, input: Tensor, base: Any) -> Any:
    """`2 ** x`."""
    return power(call, base, input)
