"""Max pooling, with any overlap, and maxima over dimensions.

With `c = max(y_x, y_b)`: `g (c - y_b)` goes to the places that win for the image, `g (y_x - c)` to those that win
for the reference; what has gathered at a pixel is divided by its `Δx`. In every window the two parts add up to
`g Δy`, and each is at most `|g Δx|` of its own pixel, so the division is safe, before or after the gathering.
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
    from shapsight.attribution.deep.call import Call


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
        (x,), (b,), (y_x, y_b) = pair.x, pair.b, pair.outputs
        highest = torch.maximum(y_x, y_b)
        x_wide = x.expand_as(b).contiguous()
        gathered = gradient_at(self.function, (x_wide,), g * (highest - y_b))[0]
        gathered = gathered + gradient_at(self.function, (b,), g * (y_x - highest))[0]
        difference = x - b
        is_equal = difference == 0
        return (gathered.div_(difference.masked_fill_(is_equal, 1.0)).masked_fill_(is_equal, 0.0),)


@dataclass(frozen=True, eq=False)
class MaxPooling2d(PairedRule):
    """Max pooling in two dimensions; the winners are noted when it is computed, so that nothing is pooled twice."""

    kernel_size: list[int]
    stride: list[int]
    padding: list[int]
    dilation: list[int]
    ceil_mode: bool

    @property
    def _window(self) -> tuple[list[int], list[int], list[int], list[int], bool]:
        return self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode

    def forward(self, *inputs: Tensor) -> Tensor:
        """The pooled maxima."""
        return self.run(*inputs)[0]

    def run(self, *inputs: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The maxima; noted are the maxima and where they were found."""
        y, places = torch.ops.aten.max_pool2d_with_indices(inputs[0], *self._window)
        return y, (y.detach().clone(), places.int())

    def multipliers(self, g: Tensor, pair: Pair) -> tuple[Tensor, ...]:
        """Hand every window's multiplier, times the share `Δy/Δx` of its winner, to that winner."""
        share, places = pair.cached("shares", lambda: self._shares(pair))
        scatter = torch.ops.aten.max_pool2d_with_indices_backward
        gathered: Tensor = scatter(g * share, pair.b[0], *self._window, places)
        return (gathered,)

    def _shares(self, pair: Pair) -> tuple[Tensor, Tensor]:
        """Of the two shares of a window one is 0 and the other is `g Δy`: it goes to the higher one's winner.

        The winner's own `Δx` has its sign and is at least as large, so that the quotient lies between 0 and 1.
        """
        (y_x, places_x), (y_b, places_b) = pair.notes_x, pair.notes_b
        change = y_x - y_b
        # torch.where() branches for every number, which takes a processor three times as long as this
        places = (places_x - places_b).mul_(change > 0).add_(places_b).long()
        x, b = _values_at(places, pair.x[0], pair.b[0])
        difference = x.sub_(b)
        return change.div_(difference).nan_to_num_(0.0), places  # 0 / 0 where the pixels are equal


def _values_at(places: Tensor, *images: Tensor) -> list[Tensor]:
    """Images' values at the places of each channel, which are numbered row by row; a batch of one stands for all.

    A row per image, in the order of the places' memory, is read several times as fast as one channel after another.
    """
    count, channels = places.shape[:2]
    is_last = places.is_contiguous(memory_format=torch.channels_last)
    pixels = images[0].shape[2:].numel()
    if is_last:
        places = places.permute(0, 2, 3, 1)
        numbers = torch.add(torch.arange(channels, device=places.device), places, alpha=channels)
    else:
        numbers = places + torch.arange(0, channels * pixels, pixels, device=places.device)[:, None, None]
    found = []
    for image in images:
        row = (image.permute(0, 2, 3, 1) if is_last else image).reshape(len(image), -1)
        values = row.expand(count, -1).gather(1, numbers.reshape(count, -1)).view(places.shape)
        found.append(values.permute(0, 3, 1, 2) if is_last else values)
    return found


POOLINGS = [f"{kind}{size}d" for kind in ("max_pool", "adaptive_max_pool") for size in "123"]


@paired(*POOLINGS, *(f"{name}_with_indices" for name in POOLINGS))
def max_pooling(call: Call, input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Max pooling in one to three dimensions; the places of the winners, where they are asked for, are constants."""
    gives_places = bool(kwargs.pop("return_indices", False)) or call.name.endswith("_with_indices")
    name = call.name.removesuffix("_with_indices")
    settings = 1 if name.startswith("adaptive") else 5  # before the positional return_indices
    gives_places = gives_places or any(args[settings:])
    args = args[:settings]
    function = getattr(F, name)
    rule: PairedRule = Maximum(lambda tensor: function(tensor, *args, **kwargs))
    if name == "max_pool2d" and input.dim() == 4:
        rule = _two_dimensional(*args, **kwargs)
    values = call.pair(rule, input)
    if not gives_places:
        return values
    return values, getattr(F, f"{name}_with_indices")(input.detach(), *args, **kwargs)[1]


def _two_dimensional(
    kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
) -> MaxPooling2d:
    def both(value: Any) -> list[int]:
        return [value, value] if isinstance(value, int) else list(value) * (2 // len(value))

    stride = kernel_size if stride is None or stride == [] else stride
    return MaxPooling2d(both(kernel_size), both(stride), both(padding), both(dilation), ceil_mode)
