"""What a rule is: how one nonlinear call shares the change of its output out to its inputs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

if TYPE_CHECKING:
    from shapsight.attribution.deep.call import Call


@dataclass
class Pair:
    """One call's inputs in both runs: `x` of the image, `b` of the references; a batch of one stands for all.

    `y_x` and `y_b` are the call's outputs where the rule `keeps_output`. `notes_x` and `notes_b` are what
    `PairedRule.run` noted in either run. `cached` keeps what does not depend on the incoming multiplier, for the
    next output of the same image; `is_last` says that there is none, so that its memory may be written over.
    """

    x: tuple[Tensor, ...]
    b: tuple[Tensor, ...]
    y_x: Tensor | None = None
    y_b: Tensor | None = None
    notes_x: tuple[Tensor, ...] = ()
    notes_b: tuple[Tensor, ...] = ()
    cache: dict[str, Any] = field(default_factory=dict)
    is_last: bool = False

    @property
    def outputs(self) -> tuple[Tensor, Tensor]:
        """`y_x` and `y_b` of a rule that `keeps_output`."""
        if self.y_x is None or self.y_b is None:
            raise RuntimeError("a rule asked for the outputs of its call without keeps_output = True")
        return self.y_x, self.y_b

    def cached(self, name: str, compute: Callable[[], Any]) -> Any:
        """The value of `compute()`, computed for the first output only."""
        if name not in self.cache:
            self.cache[name] = compute()
        return self.cache[name]

    def pieces(self, compute: Callable[[], Iterable[Any]]) -> Iterable[Any]:
        """What `compute()` yields piece by piece, kept for the next output; without one, only until it is used."""
        if self.is_last and not self.cache:
            return compute()
        kept: list[Any] = self.cached("pieces", lambda: list(compute()))
        return kept

    def scale(self, cached: Tensor, g: Tensor) -> Tensor:
        """`g` times something cached, in its memory if nobody needs it any more: fresh memory costs more than this."""
        return cached.mul_(g) if self.is_last and cached.shape == g.shape else g * cached


class PairedRule(ABC):
    """A nonlinear function of one or more inputs and its multipliers.

    For `Δy = y(x) - y(b)` a rule is complete when `sum(g Δy) = sum over inputs of sum(multiplier Δinput)`.
    A rule that `spans` only the last so many dimensions (0: it is elementwise) is right whatever stands before them.
    Where the batch was folded into windows or heads it then gets `(1, windows, ...)` of the image beside
    `(references, windows, ...)`, instead of a copy of the image's windows for every reference.
    """

    keeps_output = False
    spans: ClassVar[int | None] = None

    @abstractmethod
    def forward(self, *inputs: Tensor) -> Tensor:
        """The function itself."""

    def run(self, *inputs: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The function's value, and what is worth noting for the multipliers, with the batch where the input has it."""
        return self.forward(*inputs), ()

    def run_in_place(self, target: Tensor) -> tuple[Tensor, ...]:
        """The same for a rule of one input whose value is written over it; returns what is noted."""
        result, notes = self.run(target)
        target.copy_(result)
        return notes

    @abstractmethod
    def multipliers(self, g: Tensor, pair: Pair) -> tuple[Tensor, ...]:
        """What arrives at each input, given the multiplier `g` that arrived at the output."""


# How one named call is handled. It gets the call and the call's own arguments, and returns the call's output.
Handler = Callable[..., Any]


@dataclass(frozen=True)
class Rule:
    """An entry of the table: the handler, and whether the calls that it makes itself are followed too."""

    handler: Handler
    is_followed: bool = False


RULES: dict[str, Rule] = {}


def paired(*names: str) -> Callable[[Handler], Handler]:
    """Enter a handler that records pairs (`call.pair`) under the names of the calls that it answers."""

    def enter(handler: Handler) -> Handler:
        RULES.update(dict.fromkeys(names, Rule(handler)))
        return handler

    return enter


def followed(*names: str) -> Callable[[Handler], Handler]:
    """Enter a handler written in plain torch calls, each of which is handled by its own rule."""

    def enter(handler: Handler) -> Handler:
        RULES.update(dict.fromkeys(names, Rule(handler, is_followed=True)))
        return handler

    return enter


def gradient_at(function: Callable[..., Tensor], inputs: tuple[Tensor, ...], g: Tensor) -> tuple[Tensor, ...]:
    """The vector-Jacobian product of `function` at `inputs`; 0 for one in steps, such as a mask."""
    with torch.enable_grad():
        leaves = tuple(tensor.detach().requires_grad_() for tensor in inputs)
        y = function(*leaves)
        if not y.requires_grad:
            return tuple(map(torch.zeros_like, inputs))
        return torch.autograd.grad(y, leaves, g)


def linear_unless_dependent(call: Call, *operands: Any) -> bool:
    """Whether at most one of the operands depends on the input, so that autograd's gradient is exact."""
    return sum(call.depends(operand) for operand in operands) < 2
