"""What a rule's handler sees of the call that it answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch import Tensor

from shapsight.attribution.deep.function_names import tensors_in
from shapsight.attribution.deep.provenance import Factor, Mask
from shapsight.attribution.deep.rules.elementwise import Elementwise
from shapsight.attribution.deep.rules.rule import PairedRule
from shapsight.attribution.shared.modules import module_path_of_caller

if TYPE_CHECKING:
    from shapsight.attribution.deep.tape import Tape


class Call:
    """What a rule's handler sees of the call that it answers."""

    def __init__(self, tape: Tape, name: str, dependent: dict[int, bool], overwritten: Tensor | None) -> None:
        self.tape = tape
        self.name = name
        self._dependent = dependent
        self._overwritten = overwritten

    def depends(self, value: Any) -> bool:
        """Whether a tensor (or any tensor in a list) depends on the model's input."""
        return any(self._dependent.get(id(tensor), False) for tensor in tensors_in(value))

    def pair(self, rule: PairedRule, *inputs: Tensor) -> Tensor:
        """Compute `rule.forward(*inputs)`, and let the rule share out its change."""
        result = self.tape.pair(rule, inputs, self._overwritten)
        self._dependent[id(result)] = True
        return result

    def part(self, rule: PairedRule, *inputs: Tensor) -> Tensor:
        """A pair on the way to the result, which must not be written over an input of the call."""
        result = self.tape.pair(rule, inputs, None)
        self._dependent[id(result)] = True
        return result

    def follow(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function whose torch calls are each handled by their own rule."""
        with self.tape:
            return function(*args)

    def where(self) -> str:
        """The module of the model that makes this call, such as `"features.3 (Dropout)"`."""
        return module_path_of_caller(self.tape.model)

    def remember_factor(self, result: Tensor, kind: str, of: Tensor, numerator: Any = 1.0) -> None:
        """Note that `result` is `numerator * rsqrt(of)` or `numerator / of`: a product with it is a quotient."""
        self.tape.provenance.factors[result] = Factor(kind, of, of._version, numerator)

    def factor(self, value: Any) -> Factor | None:
        """What `remember_factor` noted about a tensor."""
        return self.tape.provenance.factor(value)

    def remember_length(self, result: Tensor) -> None:
        """Note that `result` is a square root, a deviation or a norm."""
        self.tape.provenance.note_length(result)

    def carry_length(self, result: Tensor, source: Any) -> None:
        """Note that `result` is a length if `source` is one."""
        self.tape.provenance.carry_length(result, source)

    def is_length(self, value: Any) -> bool:
        """Whether a tensor is a square root, a deviation or a norm."""
        return self.tape.provenance.is_length(value)

    def remember_mask(self, result: Tensor, of: Tensor, function: Callable[[Tensor], Tensor]) -> None:
        """Note that `result` is a mask which `function` makes of a tensor, elementwise."""
        self.tape.provenance.masks[result] = Mask(of, of._version, function)

    def mask(self, value: Any) -> Mask | None:
        """What `remember_mask` noted about a tensor, while what was compared is as it was."""
        if not (isinstance(value, Tensor) and self.is_discrete(value)):
            return None
        mask: Mask | None = self.tape.provenance.masks.get(value)
        return mask if mask is not None and mask.is_current else None

    def is_discrete(self, value: Any) -> bool:
        """Whether a tensor holds the outcome of comparing, ranking or rounding activations."""
        return any(self.tape.provenance.is_discrete(tensor) for tensor in tensors_in(value))

    def step(self, value: Tensor) -> Tensor:
        """A mask as a number that follows what was compared. Raises `UnsupportedOperation` where that is lost."""
        mask = self.mask(value)
        if mask is None:
            self.refuse(
                "it uses a comparison or ranking of activations that is no mask of the very same tensor"
            )
            return value
        y = self.part(Elementwise(mask.function), mask.of)
        self.tape.note_result(y)
        self.tape.provenance.note_step(y, mask.of)
        return y

    def has_origin_of(self, of: Tensor, *others: Any) -> bool:
        """Whether these are elementwise functions of the same tensor as `of`, or constants."""
        tensors = [tensor for tensor in tensors_in(others) if self.depends(tensor)]
        return self.tape.provenance.common_origin([of, *tensors]) is not None

    def decided(self, outcome: Tensor) -> Tensor:
        """What the model selects by, as it was for the image, and constant. Raises `Selects` in a run without."""
        return self.tape.deciding(self.name).settle(outcome.detach())

    def refuse(self, reason: str) -> None:
        """There is no rule for this use of the call; goes on with the gradient if that was asked for."""
        self.tape.refuse(self.name, reason)
