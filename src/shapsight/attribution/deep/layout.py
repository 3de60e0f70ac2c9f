"""Where the batch is in a call's inputs: which dimension, and how it is folded into it.

Record (one image) and replay (K references) of a call differ in one dimension, n against K·n. If n is 1 the image is
broadcast. Otherwise the batch was folded into a longer dimension: outermost (windows, heads: index k·n + i),
innermost (`(L·N, C)`: index i·K + k) or in between; shapes do not say which, values do.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from shapsight.attribution.deep.run_log import RunsDiffer
from shapsight.attribution.shared.placement import wide

UNMISTAKABLE = 1e-3  # of the distance between the two images: any other weaving would swap parts of them
CLOSE_ENOUGH = 1e-2  # of the size of the values: beyond that the two images changed each other


@dataclass(frozen=True)
class Fold:
    """The batch lies in `dim`, behind `outer` of that dimension's n entries (1: the batch is outermost)."""

    dim: int
    outer: int = 1


OUTERMOST = Fold(0)


def batch_dimension(one: Tensor, many: Tensor) -> int | None:
    """The dimension in which the same tensor differs for one image and for several; None where shapes agree."""
    if one.shape == many.shape:
        return None
    if one.dim() == many.dim():
        differing = [d for d in range(one.dim()) if one.shape[d] != many.shape[d]]
        if len(differing) == 1 and many.shape[differing[0]] % max(one.shape[differing[0]], 1) == 0:
            return differing[0]
    raise RunsDiffer(
        f"the model mixes the images of a batch, or loses the batch with squeeze(): a tensor of shape "
        f"{tuple(one.shape)} for one image alone has shape {tuple(many.shape)} for several, which is not one "
        "dimension repeated"
    )


def widen(one: Tensor, many: Tensor, fold: Fold | None = None) -> Tensor:
    """An image's tensor, repeated to stand beside several references: by broadcasting where that is possible."""
    dim = batch_dimension(one, many)
    if dim is None:
        return one
    length = one.shape[dim]
    if length == 1:
        return one
    outer = fold.outer if fold is not None else 1
    repeats = many.shape[dim] // length
    shape = (*one.shape[:dim], outer, repeats, length // outer, *one.shape[dim + 1 :])
    return _unfold(one, dim, outer).unsqueeze(dim + 1).expand(shape).reshape(many.shape)


def _unfold(tensor: Tensor, dim: int, outer: int) -> Tensor:
    return tensor.reshape(*tensor.shape[:dim], outer, tensor.shape[dim] // outer, *tensor.shape[dim + 1 :])


def find_fold(first: Tensor, second: Tensor, both: Tensor) -> Fold | None:
    """How a call's input for two images is woven from that of each alone; None where plain broadcasting will do.

    The closest weaving counts, and need not be close everywhere: where a softmax decides between near equals, rounding
    alone moves single values by a hundredth. Raises `RunsDiffer` where no weaving fits.
    """
    dim = batch_dimension(first, both)
    if dim is None or first.shape[dim] == 1:
        return None
    length, apart = first.shape[dim], _distance(first, second)
    distances: dict[int, float] = {}
    for outer in (n for n in range(1, length + 1) if length % n == 0):
        parts = [_unfold(tensor, dim, outer) for tensor in (first, second)]
        distances[outer] = _distance(torch.stack(parts, dim + 1).reshape(both.shape), both)
        if distances[outer] <= UNMISTAKABLE * apart:
            return Fold(dim, outer)
    closest = min(distances, key=lambda outer: distances[outer])
    if distances[closest] > CLOSE_ENOUGH * _distance(both, torch.zeros_like(both)):
        raise RunsDiffer(f"cannot tell where the batch lies in a tensor of shape {tuple(both.shape)}")
    return Fold(dim, closest)


def _distance(a: Tensor, b: Tensor) -> float:
    """The mean absolute difference of what is finite."""
    if not (a.is_floating_point() or a.is_complex()):
        a, b = wide(a), wide(b)
    return (a - b).abs().nan_to_num(0.0, 0.0, 0.0).mean().item()
