"""Normalisation: layer, group, instance and RMS norm in one rule; batch norm is linear in eval mode.

`y = c / σ` with `c = x - mean(x)` and `σ = √(mean(c²) + eps)`: a quotient by a length, as in `products.py`. With
`Σ = σ_x + σ_b` and `Q = σ_x² + σ_b²`, exactly, `Δy = (Σ Δc - (σ_x y_b + σ_b y_x) Δσ) / Q` and
`Δσ = mean((c_x + c_b) Δc) / Σ`. For the multiplier G that arrives at y this makes
`h = (Σ / Q) (G - (c_x + c_b) / Σ · mean(G ỹ))` with `ỹ = (σ_x y_b + σ_b y_x) / Σ`, and centring takes `mean(h)` away
(not for RMS norm). Where the deviations are equal this is the rule with the means of everything; where a reference is
flat, it is half of it, and the mean of `1/σ`, the obvious rule, is a hundred times as large.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from shapsight.attribution.deep.rules.pieces import Place, beside, one_by_one
from shapsight.attribution.deep.rules.products import product
from shapsight.attribution.deep.rules.rule import Pair, PairedRule, paired

if TYPE_CHECKING:
    from shapsight.attribution.deep.call import Call


@dataclass(frozen=True, eq=False)
class Normalised(PairedRule):
    """`c / √(mean(c²) + eps)` over some dimensions, with the mean taken off first unless it is an RMS norm."""

    dims: tuple[int, ...]
    eps: float
    is_centred: bool = True

    keeps_output = True

    @property
    def spans(self) -> int:  # type: ignore[override]
        """The dimensions from its first to the last."""
        return -min(self.dims)

    def forward(self, *inputs: Tensor) -> Tensor:
        """The normalised input, without weight and bias."""
        return self.run(*inputs)[0]

    def run(self, *inputs: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The normalised input; noted is its deviation."""
        (x,) = inputs
        if self.is_centred and self.dims == tuple(range(-len(self.dims), 0)) and x.is_contiguous():
            y, _, inverse = torch.native_layer_norm(x, x.shape[-len(self.dims) :], None, None, self.eps)
            return y, (inverse.detach().reciprocal(),)
        centred = x - x.mean(self.dims, keepdim=True) if self.is_centred else x
        deviation = centred.square().mean(self.dims, keepdim=True).add_(self.eps).sqrt_()
        return centred / deviation, (deviation.detach(),)

    def _means(self, pair: Pair) -> Iterator[tuple[Place, Tensor, Tensor, Tensor]]:
        """`(c_x + c_b) / Σ`, `ỹ` and `Σ / Q`, with `c = y σ`, place by place."""
        (y_x, y_b), (s_x,), (s_b,) = pair.outputs, pair.notes_x, pair.notes_b
        total = s_x + s_b
        to_x, to_b = s_x / total, s_b / total
        inverse = total.div_(s_x.square() + s_b.square())
        for k in one_by_one(y_b, y_b.dim() - self.spans):
            of_x = beside(y_x, k)
            scaled = torch.mul(of_x, to_x[k]).addcmul_(y_b[k], to_b[k])
            crossed = torch.mul(of_x, to_b[k]).addcmul_(y_b[k], to_x[k])
            yield k, scaled, crossed, inverse[k]

    def multipliers(self, g: Tensor, pair: Pair) -> tuple[Tensor, ...]:
        """See the top of the file; as `mean(c)` is 0, taking `mean(G)` from G does what is said there of h."""
        h = torch.empty_like(pair.b[0])
        for k, scaled, crossed, inverse in pair.pieces(lambda: self._means(pair)):
            share = (g[k] * crossed).mean(self.dims, keepdim=True)
            if self.is_centred:
                torch.sub(g[k], g[k].mean(self.dims, keepdim=True), out=h[k])
            else:
                h[k].copy_(g[k])
            h[k].addcmul_(scaled, share, value=-1).mul_(inverse)
        return (h,)


def _with_affine(call: Call, y: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    if weight is None or call.depends(weight):
        y = y if weight is None else product(call, torch.mul, y, weight)
        return y if bias is None else y + bias
    return y * weight if bias is None else torch.addcmul(bias, y, weight)


def _per_channel(values: Tensor | None, rank: int) -> Tensor | None:
    return values if values is None else values.reshape(-1, *[1] * (rank - 2))


@paired("layer_norm")
def layer_norm(
    call: Call,
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *_: Any,
) -> Tensor:
    """Layer norm over the last dimensions."""
    y = call.pair(Normalised(tuple(range(-len(normalized_shape), 0)), eps), input)
    return _with_affine(call, y, weight, bias)


@paired("rms_norm")
def rms_norm(
    call: Call,
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """Root-mean-square norm over the last dimensions."""
    eps = torch.finfo(input.dtype).eps if eps is None else eps
    dims = tuple(range(-len(normalized_shape), 0))
    return _with_affine(call, call.pair(Normalised(dims, eps, is_centred=False), input), weight, None)


@paired("group_norm")
def group_norm(
    call: Call,
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *_: Any,
) -> Tensor:
    """Group norm: the channels of each group and all places together."""
    grouped = input.reshape(input.shape[0], num_groups, -1)
    y = call.pair(Normalised((-1,), eps), grouped).reshape(input.shape)
    rank = input.dim()
    return _with_affine(call, y, _per_channel(weight, rank), _per_channel(bias, rank))


@paired("instance_norm")
def instance_norm(
    call: Call,
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Instance norm: each channel of each image by its own places; with running statistics it is a batch norm."""
    if not use_input_stats:
        return batch_norm(call, input, running_mean, running_var, weight, bias, False, momentum, eps)
    y = call.pair(Normalised(tuple(range(2 - input.dim(), 0)), eps), input)
    return _with_affine(call, y, _per_channel(weight, input.dim()), _per_channel(bias, input.dim()))


@paired("batch_norm")
def batch_norm(
    call: Call,
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Linear by the running statistics; the statistics of a batch would mix its images."""
    if training or running_mean is None or running_var is None:
        call.refuse(
            "it normalises by the statistics of the batch (training=True, or no running statistics), so a "
            "prediction depends on the images beside it"
        )
        return F.batch_norm(input, running_mean, running_var, weight, bias, training, 0.0, eps)
    if not call.depends((weight, bias)):
        y = F.batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
        if len(input) == 1 and y.requires_grad:
            y.register_hook(_with_usual_strides)  # type: ignore[no-untyped-call]
        return y
    y = F.batch_norm(input, running_mean, running_var, None, None, False, momentum, eps)
    return _with_affine(call, y, _per_channel(weight, input.dim()), _per_channel(bias, input.dim()))


def _with_usual_strides(g: Tensor) -> Tensor:
    """Torch's backward of a batch norm misreads one image whose first stride is not its size, as views leave it."""
    return g if g.stride(0) == g[0].numel() else g.clone(memory_format=torch.contiguous_format)


@paired("aten_batch_norm")
def aten_batch_norm(
    call: Call,
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    *settings: Any,
) -> Any:
    """torch.batch_norm and torch.export's, which take the same arguments in another order."""
    training, momentum, eps = settings[:3]
    return batch_norm(call, input, running_mean, running_var, weight, bias, training, momentum, eps)


@paired("aten_instance_norm")
def aten_instance_norm(
    call: Call,
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    *settings: Any,
) -> Any:
    """torch.instance_norm and torch.export's, which take the same arguments in another order."""
    return instance_norm(call, input, running_mean, running_var, weight, bias, *settings[:3])
