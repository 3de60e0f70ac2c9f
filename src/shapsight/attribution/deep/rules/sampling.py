"""Reading between pixels: linear in the image, and a chord in each coordinate of the places that are read.

What is read is `y = S v`, with weights S that depend on the places p. It is shared out as a product, exactly:
`Δy = S̄ Δv + ΔS v̄`, with the bar for the mean of image and reference. The first part goes to the image by `S̄ᵀ g`. Of
the second every place p gets the change of `φ(p) = Σ g · (v̄ read at p)` over what is read there, and shares it out to
its coordinates as their Shapley value in two dimensions: the chord of φ along one of them, at either end of the others,
divided by its length (the Rescale rule). Nothing is left out where a place moves over several pixels or off the image.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from shapsight.attribution.deep.rules.elementwise import CLOSE
from shapsight.attribution.deep.rules.rule import Pair, PairedRule, gradient_at, paired

if TYPE_CHECKING:
    from shapsight.attribution.deep.call import Call

Reading = Callable[..., Tensor]


def along_coordinates(phi: Reading, x: Tensor, b: Tensor) -> Tensor:
    """The multipliers of places `(..., coordinates)` for the sum of `phi(places)`, `(...)`, complete place by place.

    The coordinates change from b to x one after another, from the first to the last and from the last to the first, and
    each gets the mean of its two chords.
    """
    multipliers = torch.zeros_like(b)
    count = b.shape[-1]
    for order in (range(count), range(count - 1, -1, -1)):
        place, before = b.clone(), phi(b)
        for number in order:
            start = place.clone()
            place[..., number] = x[..., number]
            after = phi(place)
            step = x[..., number] - b[..., number]
            is_close = step.abs() <= CLOSE * (x[..., number].abs() + b[..., number].abs())
            chord = (after - before) / step.masked_fill(is_close, 1.0)
            if is_close.any():
                middle = (start + place) / 2
                slope = gradient_at(phi, (middle,), torch.ones_like(before))[0][..., number]
                chord = torch.where(is_close, slope, chord)
            multipliers[..., number] += chord / 2
            before = after
    return multipliers


@dataclass(frozen=True, eq=False)
class Sampling(PairedRule):
    """`grid_sample`, whatever its interpolation and padding: see the top of the file."""

    function: Reading

    def forward(self, *inputs: Tensor) -> Tensor:
        """The function itself."""
        return self.function(*inputs)

    def multipliers(self, g: Tensor, pair: Pair) -> tuple[Tensor, ...]:
        """`S̄ᵀ g`, and the chords of the places."""
        values, grid = pair.b
        (v_x, p_x), (v_b, p_b) = (_alike(one, values, grid) for one in (pair.x, pair.b))
        to_values = torch.zeros_like(v_b)
        for places in (p_x, p_b):
            to_values += gradient_at(partial(self._at, places), (v_b,), g / 2)[0]
        mean = (v_x + v_b) / 2
        return to_values, along_coordinates(lambda p: (g * self.function(mean, p)).sum(1), p_x, p_b)

    def _at(self, places: Tensor, values: Tensor) -> Tensor:
        return self.function(values, places)


def _alike(given: tuple[Tensor, ...], values: Tensor, grid: Tensor) -> tuple[Tensor, Tensor]:
    """An image's values and places, repeated for every reference."""
    return given[0].expand(values.shape), given[1].expand(grid.shape)


@paired("grid_sample", "grid_sampler", "grid_sampler_2d", "grid_sampler_3d")
def grid_sample(call: Call, input: Tensor, grid: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Linear for a constant grid; one that is computed from the image shares in the change."""
    sample = F.grid_sample if call.name == "grid_sample" else getattr(torch, call.name)

    def function(values: Tensor, places: Tensor) -> Tensor:
        result: Tensor = sample(values, places, *args, **kwargs)
        return result

    if not call.depends(grid):
        return function(input, grid)
    return call.pair(Sampling(function), input, grid)


@dataclass(frozen=True, eq=False)
class DeformableConvolution(PairedRule):
    """`deform_conv2d` without its bias: what is read at moved places, times a mask, times the weight.

    A product of the mask and of what is read, which is `S v` as at the top of the file. The gradient by a mask is what
    the weight makes of g, times what is read: the φ of every place.
    """

    function: Reading

    def forward(self, *inputs: Tensor) -> Tensor:
        """The convolution."""
        return self.function(*inputs)

    def multipliers(self, g: Tensor, pair: Pair) -> tuple[Tensor, ...]:
        """To the values, the offsets and the mask."""
        x = tuple(one.expand(many.shape) for one, many in zip(pair.x, pair.b, strict=True))
        (v_x, o_x, m_x), (v_b, o_b, m_b) = x, pair.b
        mean_v, mean_m = (v_x + v_b) / 2, (m_x + m_b) / 2
        to_values, to_mask = torch.zeros_like(v_b), torch.zeros_like(m_b)
        for v, o in ((v_x, o_x), (v_b, o_b)):
            to_v, to_m = gradient_at(partial(self._at, o), (v, mean_m), g / 2)
            to_values += to_v
            to_mask += to_m

        def phi(places: Tensor) -> Tensor:
            offsets = places.movedim(-1, 2).flatten(1, 2)
            return _Phi.apply(self.function, mean_v, offsets, mean_m, g)  # type: ignore[no-any-return]

        split = (o.reshape(len(o), -1, 2, *o.shape[2:]).movedim(2, -1) for o in (o_x, o_b))
        to_offsets = along_coordinates(phi, *split).movedim(-1, 2).flatten(1, 2)
        return to_values, to_offsets, to_mask

    def _at(self, offsets: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        return self.function(values, offsets, mask)


class _Phi(torch.autograd.Function):
    """The mask times the gradient by it, for every place; its own derivative is the convolution's by the offsets."""

    @staticmethod
    def forward(
        ctx: Any, function: Reading, values: Tensor, offsets: Tensor, mask: Tensor, g: Tensor
    ) -> Tensor:
        """`m φ`."""
        ctx.function, ctx.tensors = function, (values, offsets, mask, g)
        return mask * gradient_at(lambda m: function(values, offsets, m), (mask,), g)[0]

    @staticmethod
    def backward(ctx: Any, ones: Tensor) -> Any:
        """The derivative of the sum, which is what is asked for."""
        values, offsets, mask, g = ctx.tensors
        return None, None, gradient_at(lambda o: ctx.function(values, o, mask), (offsets,), g)[0], None, None


@paired("deform_conv2d")
def deformable_convolution(
    call: Call,
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    mask: Tensor,
    bias: Tensor | None,
    *settings: Any,
) -> Any:
    """Torchvision's operator, with offsets and a mask that the image decides, and a constant weight."""
    if call.depends(weight):
        return NotImplemented
    convolve = torch.ops.torchvision.deform_conv2d
    if not call.depends((offset, mask)):
        y = convolve(input, weight, offset, mask, torch.zeros_like(weight[:, 0, 0, 0]), *settings)
    else:
        is_masked = settings[-1]
        places = weight.shape[2] * weight.shape[3] * settings[-2]
        if not is_masked:
            mask = input.new_ones(1, places, *offset.shape[2:]).expand(len(input), -1, -1, -1)
        none = torch.zeros_like(weight[:, 0, 0, 0])

        def function(values: Tensor, offsets: Tensor, masks: Tensor) -> Tensor:
            result: Tensor = convolve(values, weight, offsets, masks, none, *settings[:-1], True)
            return result

        y = call.pair(DeformableConvolution(function), input, offset, mask)
    return y if bias is None else y + bias.reshape(-1, 1, 1)
