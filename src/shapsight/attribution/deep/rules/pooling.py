"""Max pooling, with any overlap, and maxima over dimensions.

With `c = max(y_x, y_b)`: `g (c - y_b)` goes to the places that win for the image, `g (y_x - c)` to those that win
for the reference; what has gathered at a pixel is divided by its `Δx`. In every window the two parts add up to
`g Δy`, and each is at most `|g Δx|` of its own pixel, so the division is safe.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from shapsight.attribution.deep.rules.rule import Pair, PairedRule, gradient_at, paired

if TYPE_CHECKING:
    from shapsight.attribution.deep.replay import Call


@dataclass(frozen=True, eq=False)
class Maximum(PairedRule):
    """A function that picks one winner for each of its outputs."""

    function: Callable[[Tensor], Tensor]
    keeps_output = True

    def forward(self, *inputs: Tensor) -> Tensor:
        """The function itself."""
        return self.function(*inputs)

    def multipliers(self, g: Tensor, pair: Pair) -> tuple[Tensor, ...]:
        """Gather the shares of every window at its winners, then divide by `Δx`."""
        (x,), (b,) = pair.x, pair.b
        y_x = self.function(x)
        y_b = self.function(b) if pair.y_b is None else pair.y_b
        highest = torch.maximum(y_x, y_b)
        x_wide = x.expand_as(b).contiguous()
        gathered = gradient_at(self.function, (x_wide,), g * (highest - y_b))[0]
        gathered = gathered + gradient_at(self.function, (b,), g * (y_x - highest))[0]
        difference = x - b
        is_equal = difference == 0
        return (gathered.div_(difference.masked_fill_(is_equal, 1.0)).masked_fill_(is_equal, 0.0),)


@paired(
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
)
def max_pooling(call: Call, input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Max pooling in one to three dimensions."""
    kwargs.pop("return_indices", None)
    function = getattr(F, call.name)
    return call.pair(Maximum(lambda tensor: function(tensor, *args, **kwargs)), input)
