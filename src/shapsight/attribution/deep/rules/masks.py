"""Masks made by comparing activations: `x * (x > 0)`, `where(x > 0, x, 0.1 * x)`, `masked_fill(x < 0, 0)`.

A mask is a step function of what was compared, with the slope of its chord like any other. Together with the product
or the choice that it enters this is exactly the slope of the whole function: for `x * (x > 0)` that of a ReLU.
It holds only while the mask meets functions of the very tensor that was compared; a mask that gates anything else is
a jump that no share of the change explains, and is refused.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from shapsight.attribution.deep.rules.rule import Pair, PairedRule, paired

if TYPE_CHECKING:
    from shapsight.attribution.deep.call import Call

COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    name: getattr(operator, name) for name in ("gt", "lt", "ge", "le", "eq", "ne")
}


@dataclass(frozen=True, eq=False)
class Choice(PairedRule):
    """`where(m, a, c)` with m of zeros and ones, as `m a + (1 - m) c`: `g (ā - c̄)`, `g m̄` and `g (1 - m̄)`."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """The choice; what is not chosen may be infinite."""
        mask, a, c = inputs
        return torch.where(mask > 0.5, a, c)

    def multipliers(self, g: Tensor, pair: Pair) -> tuple[Tensor, ...]:
        """See the class; where the choice is the same for image and reference nothing goes to the mask."""
        (m, a, c), (m_b, a_b, c_b) = pair.x, pair.b
        share = (m + m_b) / 2
        to_mask = torch.where(m == m_b, 0.0, g * (a + a_b - c - c_b) / 2)
        return (
            to_mask.sum_to_size(m_b.shape),
            (g * share).sum_to_size(a_b.shape),
            (g * (1 - share)).sum_to_size(c_b.shape),
        )


@paired(*COMPARISONS)
def compare(call: Call, input: Any, other: Any) -> Any:
    """Comparing activations with a constant makes a mask of them; with each other, only booleans."""
    function = COMPARISONS[call.name]
    result: Tensor = function(input, other)
    if not call.depends(other) and _makes_mask(call, input, result):
        call.remember_mask(result, input, lambda x: function(x, other).to(x.dtype))
    elif not call.depends(input) and _makes_mask(call, other, result):
        call.remember_mask(result, other, lambda x: function(input, x).to(x.dtype))
    return result


def _makes_mask(call: Call, of: Any, result: Tensor) -> bool:
    return call.depends(of) and of.is_floating_point() and of.shape == result.shape


@paired("invert", "logical_not")
def invert(call: Call, input: Tensor) -> Tensor:
    """The other side of a mask."""
    result = torch.logical_not(input) if call.name == "logical_not" else ~input
    if (mask := call.mask(input)) is not None:
        call.remember_mask(result, mask.of, lambda x: 1 - mask.function(x))
    return result


@paired("and", "logical_and", "or", "logical_or")
def combine(call: Call, input: Any, other: Any) -> Any:
    """Two masks of one tensor make a third."""
    function = {"and": operator.and_, "or": operator.or_}.get(call.name) or getattr(torch, call.name)
    result = function(input, other)
    one, two = call.mask(input), call.mask(other)
    if one is None or two is None or one.of is not two.of:
        return result
    if call.name.endswith("and"):
        call.remember_mask(result, one.of, lambda x: one.function(x) * two.function(x))
    else:
        call.remember_mask(result, one.of, lambda x: torch.maximum(one.function(x), two.function(x)))
    return result


def choose(call: Call, condition: Tensor, a: Any, c: Any) -> Any:
    """`where(condition, a, c)`: linear for a constant condition, a choice for a mask of the same activations."""
    if not call.depends(condition):
        return torch.where(condition, a, c)
    mask = call.mask(condition)
    if mask is None or not call.has_origin_of(mask.of, a, c):
        call.refuse(
            "the condition compares activations, and the choice is not between functions of the very tensor compared"
        )
        return torch.where(condition, a, c)
    step = call.step(condition)
    sides = [torch.as_tensor(side, dtype=step.dtype, device=step.device) for side in (a, c)]
    y = call.pair(Choice(), step, *sides)
    if not call.depends((a, c)):
        call.tape.provenance.note_step(y, mask.of)
    return y


@paired("where")
def where(call: Call, condition: Any, *sides: Any, **named: Any) -> Any:
    """torch.where(condition, a, c) and a.where(condition, c); with a condition alone, its places."""
    sides = (*sides, *(named[name] for name in ("input", "self", "other") if name in named))
    if not sides:
        return torch.where(condition)
    if isinstance(sides[0], Tensor) and sides[0].dtype == torch.bool and condition.dtype != torch.bool:
        return choose(call, sides[0], condition, sides[1])
    return choose(call, condition, *sides)


@paired("masked_fill")
def masked_fill(call: Call, input: Tensor, mask: Tensor, value: Any) -> Any:
    """Linear for a constant mask."""
    if not call.depends(mask):
        return torch.masked_fill(input, mask, value)
    return choose(call, mask, value, input)


@paired("setitem")
def setitem(call: Call, input: Tensor, index: Any, value: Any) -> Any:
    """`x[i] = v` is linear; `x[x < 0] = v` is a choice."""
    if not call.is_discrete(index):
        call.tape.before_write(input)
        input[index] = value
        return None
    is_mask = isinstance(index, Tensor) and index.shape == input.shape
    if not is_mask:
        call.tape.deciding(call.name)
    if not is_mask or (isinstance(value, Tensor) and value.numel() != 1):
        return NotImplemented
    result = choose(call, index, value, input)
    call.tape.before_write(input)
    input.copy_(result)
    return None
