"""Batch norm folded into the convolution before it: both are linear, so one call does the work of two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

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


@dataclass
class _Seen:
    number: int
    weight: Tensor
    bias: Tensor | None
    uses: int = 0
    norm: tuple[int, dict[str, Any]] | None = None


class FoldingFinder:
    """Watches one run of the model, and finds the batch norms that alone use a convolution's result."""

    def __init__(self) -> None:
        self._results: Any = WeakIdKeyDictionary()
        self._seen: list[_Seen] = []

    def saw(
        self, number: int, call: Call, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any
    ) -> None:
        """A call was made that depends on the input."""
        for tensor in tensors_in((args, kwargs)):
            seen = self._results.get(tensor)
            if seen is not None:
                seen.uses += 1
                norm = {**dict(zip(NORM_ARGUMENTS, args, strict=False)), **kwargs}
                is_of_it = call.name == "batch_norm" and norm.pop("input") is tensor
                seen.norm = (number, norm) if is_of_it else None
        given = {**dict(zip(CONVOLUTION_ARGUMENTS, args, strict=False)), **kwargs}
        if call.name in CONVOLUTIONS and not call.depends((given["weight"], given.get("bias"))):
            self._results[result] = seen = _Seen(number, given["weight"], given.get("bias"))
            self._seen.append(seen)

    def saw_returned(self, value: Any) -> None:
        """The model returned this."""
        for tensor in tensors_in(value):
            if (seen := self._results.get(tensor)) is not None:
                seen.uses += 1

    def folding(self) -> Folding:
        """The convolutions whose result went into one batch norm and nowhere else."""
        convolutions: dict[int, Folded] = {}
        norms = set()
        for seen in self._seen:
            if seen.uses == 1 and seen.norm is not None and seen.norm[1]["running_var"] is not None:
                number, norm = seen.norm
                convolutions[seen.number] = _fold(seen, norm)
                norms.add(number)
        return Folding(convolutions, frozenset(norms))


def _fold(seen: _Seen, norm: Mapping[str, Any]) -> Folded:
    """`γ (Wx + b - μ) / √(σ² + ε) + β`, computed in double precision."""
    mean, variance = wide(norm["running_mean"]), wide(norm["running_var"])
    scale = (variance + norm.get("eps", 1e-5)).rsqrt()
    if norm.get("weight") is not None:
        scale = scale * wide(norm["weight"])
    bias = -mean if seen.bias is None else wide(seen.bias) - mean
    bias = bias * scale
    if norm.get("bias") is not None:
        bias = bias + wide(norm["bias"])
    weight = wide(seen.weight) * scale.reshape(-1, *[1] * (seen.weight.dim() - 1))
    return Folded(moved(weight, seen.weight).detach(), moved(bias, seen.weight).detach())
