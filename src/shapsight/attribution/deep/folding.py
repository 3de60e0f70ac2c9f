"""Batch norm, frozen or not, folded into the convolution before it: one linear call does the work of two or three."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from shapsight.attribution.deep.function_names import tensors_in
from shapsight.attribution.shared.placement import moved, wide

if TYPE_CHECKING:
    from shapsight.attribution.deep.call import Call

CONVOLUTIONS = ("conv1d", "conv2d", "conv3d")
CONVOLUTION_ARGUMENTS = ("input", "weight", "bias")
NORM_ARGUMENTS = ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")


class Folded(NamedTuple):
    """The weight and bias of a convolution that does the batch norm after it, too."""

    weight: Tensor
    bias: Tensor


@dataclass(frozen=True)
class Folding:
    """Calls by their number: convolutions that get other weights, and batch norms that then have nothing to do."""

    convolutions: Mapping[int, Folded] = field(default_factory=dict)
    norms: frozenset[int] = frozenset()

    def with_other_weights(
        self, number: int, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """A convolution's arguments, with the folded weight and bias in place of its own."""
        given = {**dict(zip(CONVOLUTION_ARGUMENTS, args, strict=False)), **kwargs}
        return (given.pop("input"), *self.convolutions[number], *args[3:]), {
            name: value for name, value in given.items() if name not in CONVOLUTION_ARGUMENTS
        }


class Affine(NamedTuple):
    """A scale and a shift for every channel."""

    scale: Tensor
    shift: Tensor


@dataclass
class _Seen:
    """A convolution; `steps` are the calls after it that scale and shift its channels, one upon the other.

    `uses` says how often the convolution's result, and that of each step, was given to a call.
    """

    number: int
    weight: Tensor
    bias: Tensor | None
    uses: list[int]
    steps: list[tuple[int, Affine]] = field(default_factory=list)

    @property
    def alone(self) -> int:
        """How many steps, from the first on, are all that uses what they are given."""
        return len(list(takewhile(lambda uses: uses == 1, self.uses[: len(self.steps)])))


class FoldingFinder:
    """Watches one run of the model, and finds the norms that alone use a convolution's result.

    They are batch norms, and products with and sums of a constant for each channel, as a frozen batch norm is written.
    """

    def __init__(self) -> None:
        self._results: Any = WeakIdKeyDictionary()
        self._seen: list[_Seen] = []

    def saw(
        self, number: int, call: Call, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any
    ) -> None:
        """A call was made that depends on the input."""
        for tensor in tensors_in((args, kwargs)):
            found = self._results.get(tensor)
            if found is None:
                continue
            seen, place = found
            seen.uses[place] += 1
            is_new = result is not tensor and tensor.dim() == seen.weight.dim()
            affine = _affine(call, args, kwargs, tensor) if is_new else None
            if affine is not None and len(seen.steps) == place:
                seen.steps.append((number, affine))
                seen.uses.append(0)
                self._results[result] = seen, place + 1
        given = {**dict(zip(CONVOLUTION_ARGUMENTS, args, strict=False)), **kwargs}
        if call.name in CONVOLUTIONS and not call.depends((given["weight"], given.get("bias"))):
            seen = _Seen(number, given["weight"], given.get("bias"), [0])
            self._results[result] = seen, 0
            self._seen.append(seen)

    def saw_returned(self, value: Any) -> None:
        """The model returned this."""
        for tensor in tensors_in(value):
            if (found := self._results.get(tensor)) is not None:
                seen, place = found
                seen.uses[place] += 1

    def folding(self) -> Folding:
        """The convolutions whose result went into one norm and nowhere else."""
        convolutions: dict[int, Folded] = {}
        norms: set[int] = set()
        for seen in self._seen:
            if folded := seen.steps[: seen.alone]:
                convolutions[seen.number] = _fold(seen, [affine for _, affine in folded])
                norms.update(number for number, _ in folded)
        return Folding(convolutions, frozenset(norms))


def _affine(call: Call, args: tuple[Any, ...], kwargs: Mapping[str, Any], tensor: Tensor) -> Affine | None:
    """What a call does to the channels of a tensor, if it only scales and shifts them; in double precision."""
    if call.name == "batch_norm":
        norm = {**dict(zip(NORM_ARGUMENTS, args, strict=False)), **kwargs}
        return _of_batch_norm(norm) if norm["input"] is tensor and norm["running_var"] is not None else None
    if call.name not in ("mul", "add") or kwargs or len(args) != 2 or args[0] is not tensor:
        return None
    constant = args[1]
    if not isinstance(constant, Tensor) or call.depends(constant) or constant.dtype != tensor.dtype:
        return None
    channels = (tensor.shape[1], *[1] * (tensor.dim() - 2))
    if constant.shape not in (channels, (1, *channels)):
        return None
    values = wide(constant).flatten()
    if call.name == "mul":
        return Affine(values, values.new_zeros(values.shape))
    return Affine(values.new_ones(values.shape), values)


def _of_batch_norm(norm: Mapping[str, Any]) -> Affine:
    """`γ (x - μ) / √(σ² + ε) + β`."""
    scale = (wide(norm["running_var"]) + norm.get("eps", 1e-5)).rsqrt()
    if norm.get("weight") is not None:
        scale = scale * wide(norm["weight"])
    shift = -wide(norm["running_mean"]) * scale
    return Affine(scale, shift if norm.get("bias") is None else shift + wide(norm["bias"]))


def _fold(seen: _Seen, steps: list[Affine]) -> Folded:
    """The convolution with every step done, computed in double precision."""
    weight = wide(seen.weight)
    bias = torch.zeros_like(steps[0].shift) if seen.bias is None else wide(seen.bias)
    for scale, shift in steps:
        weight = weight * scale.reshape(-1, *[1] * (weight.dim() - 1))
        bias = bias * scale + shift
    return Folded(moved(weight, seen.weight).detach(), moved(bias, seen.weight).detach())
