"""Adding a rule for a call that shapsight does not know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from shapsight.attribution.deep.function_names import canonical_name
from shapsight.attribution.deep.rules import RULES
from shapsight.attribution.deep.rules.elementwise import Elementwise
from shapsight.attribution.deep.rules.rule import PairedRule, Rule


def register_rule(
    function: Callable[..., Any] | str, rule: PairedRule | Callable[..., Any] | None = None
) -> None:
    """Tell DeepShap how to share out a call that it does not know.

        register_rule(torch.ops.mine.swish)                          # elementwise: the slope of its chord
        register_rule(torch.ops.mine.pool, MyRule())                 # a PairedRule of all tensor arguments
        register_rule(torch.ops.mine.gate, lambda x, y: x * y.sigmoid())  # the same in torch calls that have rules

    `function` is the torch function or operator as the model calls it, or its name.
    """
    name = function if isinstance(function, str) else canonical_name(function)
    if isinstance(rule, PairedRule):
        paired_rule = rule
        RULES[name] = Rule(lambda call, *inputs: call.pair(paired_rule, *inputs))
    elif rule is not None:
        followed = rule
        RULES[name] = Rule(lambda _call, *args, **kwargs: followed(*args, **kwargs), is_followed=True)
    elif isinstance(function, str):
        raise TypeError(f"a rule by name needs its rule: register_rule({name!r}, rule)")
    else:
        RULES[name] = Rule(
            lambda call, input, *args, **kwargs: call.pair(
                Elementwise(lambda tensor: _as_tensor(function(tensor, *args, **kwargs))), input
            )
        )


def _as_tensor(value: Any) -> Tensor:
    result: Tensor = value
    return result
