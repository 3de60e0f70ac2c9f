"""Where a tensor came from: which tensor it is an elementwise function of, what was compared to make a mask of it,
which denominator hides in a factor, and which tensors are lengths. All of it is forgotten with the tensor, or as soon
as it is overwritten.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Size, Tensor
from torch.utils.weak import WeakIdKeyDictionary


@dataclass(frozen=True)
class Mask:
    """A tensor of zeros and ones, made by comparing: `function(of)`, which steps where `of` passes a constant."""

    of: Tensor
    version: int
    function: Callable[[Tensor], Tensor]

    @property
    def is_current(self) -> bool:
        """Whether what was compared still holds the same values."""
        return self.of._version == self.version


@dataclass
class Factor:
    """A tensor that is `numerator / √of` or `numerator / of`, with a constant numerator."""

    kind: str
    of: Tensor
    version: int
    numerator: Any = 1.0
    denominator: Tensor | None = field(default=None)

    @property
    def is_current(self) -> bool:
        """Whether the denominator still holds the same values."""
        return self.of._version == self.version


class Origin(NamedTuple):
    """The tensor that others are elementwise functions of: what stands for it, its shape, and whether in steps."""

    root: object
    shape: Size
    in_steps: bool = False


class Provenance:
    """What one run knows of its tensors."""

    def __init__(self) -> None:
        self.factors: Any = WeakIdKeyDictionary()
        self.masks: Any = WeakIdKeyDictionary()
        self._steps: Any = WeakIdKeyDictionary()
        self._discrete: Any = WeakIdKeyDictionary()
        self._roots: Any = WeakIdKeyDictionary()
        self._lengths: Any = WeakIdKeyDictionary()

    def note_discrete(self, tensor: Tensor) -> None:
        """Remember that a tensor of numbers or booleans was computed from the input, without a gradient."""
        self._discrete[tensor] = True

    def is_discrete(self, tensor: Tensor) -> bool:
        """Whether a tensor came from a comparison, an argmax, a cast to integers and the like."""
        return bool(self._discrete) and tensor in self._discrete

    def _root(self, tensor: Tensor) -> object:
        """What stands for the tensor that this one is an elementwise function of: itself, unless noted."""
        entry = self._roots.get(tensor)
        if entry is None or entry[1] != tensor._version:
            entry = (object(), tensor._version)
            self._roots[tensor] = entry
        return entry[0]

    def common_origin(self, tensors: list[Tensor]) -> Origin | None:
        """The one tensor that all of these are elementwise functions of, if there is one."""
        roots = {id(self._root(tensor)): tensor for tensor in tensors}
        if len(roots) != 1 or len({tensor.shape for tensor in tensors}) != 1:
            return None
        return Origin(self._root(tensors[0]), tensors[0].shape, all(map(self.is_step, tensors)))

    def note_root(self, result: Tensor, origin: Origin) -> None:
        """Remember that `result` is an elementwise function of the origin."""
        self._roots[result] = (origin.root, result._version)
        if origin.in_steps:
            self._steps[result] = True
        elif self._steps:
            self._steps.pop(result, None)

    def note_step(self, result: Tensor, of: Tensor) -> None:
        """Remember that `result` jumps where `of` passes a constant."""
        self.note_root(result, Origin(self._root(of), of.shape, True))

    def copy_step(self, result: Tensor, step: Tensor) -> None:
        """The same step in another precision."""
        if self.is_step(step):
            self.note_step(result, step)

    @property
    def has_steps(self) -> bool:
        """Whether any tensor jumps."""
        return bool(self._steps)

    def is_step(self, tensor: Tensor) -> bool:
        """Whether a tensor is nothing but jumps."""
        return bool(self._steps) and tensor in self._steps

    def factor(self, tensor: Any) -> Factor | None:
        """The denominator in a tensor, while it is as it was."""
        factor = self.factors.get(tensor) if isinstance(tensor, Tensor) and self.factors else None
        return factor if factor is not None and factor.is_current else None

    def note_length(self, tensor: Tensor) -> None:
        """Remember that a tensor is a square root, a deviation or a norm."""
        self._lengths[tensor] = tensor._version

    def is_length(self, tensor: Any) -> bool:
        """Whether a tensor is a square root, a deviation or a norm, while it is as it was."""
        return (
            isinstance(tensor, Tensor)
            and bool(self._lengths)
            and self._lengths.get(tensor) == tensor._version
        )

    def carry_length(self, result: Tensor, source: Any) -> None:
        """A length in another shape, or a little longer, is one."""
        if self.is_length(source):
            self.note_length(result)

    def reshape_factor(
        self, result: Tensor, source: Tensor, reshape: Callable[[Tensor], Tensor], constant: Any = None
    ) -> None:
        """Carry a denominator through a view, an expansion, a cast or a product with a constant."""
        factor = self.factor(source)
        if factor is None:
            return
        numerator = factor.numerator if constant is None else factor.numerator * constant
        if isinstance(numerator, Tensor) and numerator.dim() and constant is None:
            numerator = reshape(torch.broadcast_to(numerator, source.shape))
        of = factor.of if constant is not None else reshape(torch.broadcast_to(factor.of, source.shape))
        self.factors[result] = Factor(factor.kind, of, of._version, numerator)
