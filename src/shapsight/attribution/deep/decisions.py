"""What a model decides of an image: which places are the largest, which boxes stay, what is above a threshold.

No rule shares out a change of such a choice, since it jumps. Where a model selects by it (`topk`, `sort`, `nms`, an
index made by comparing), the decisions of the explained image are kept for the references: what is explained then is
the model with that selection, which follows its calls one by one like any other, and whose sum is exact. The
prediction is the model's own; the base value is that of the references *under the image's selection*.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_map_only

from shapsight.attribution.deep.run_log import RunsDiffer
from shapsight.errors import UnsupportedOperation


class SelectionWarning(UserWarning):
    """The model selects by its activations, and was explained with the image's selection kept for the references."""


class Selects(UnsupportedOperation):
    """The model selects by its activations, in a run that does not keep an image's decisions."""


@dataclass
class Decisions:
    """The outcomes of one image's decisions, in their order: written down in a first run, given back in the others.

    `by` says which calls decide, each with the module that makes the first of them.
    """

    outcomes: list[Tensor] = field(default_factory=list)
    by: dict[str, str] = field(default_factory=dict)
    next: int | None = None  # None while they are being written down

    def again(self) -> Decisions:
        """The same decisions for another run."""
        return Decisions(self.outcomes, self.by, 0)

    def settled(self, made: Any) -> Any:
        """What a call made: its outcomes as they were for the image, and what has a slope as it is."""
        return tree_map_only(Tensor, lambda t: t if has_slope(t) else self.settle(t), made)

    def settle(self, outcome: Tensor) -> Tensor:
        """An outcome as it was for the image. Raises `RunsDiffer` where the image had none."""
        if self.next is None:
            self.outcomes.append(outcome.clone())
            return outcome
        if self.next >= len(self.outcomes):
            raise RunsDiffer("the model decides more often for a reference than for the image")
        self.next += 1
        return self.outcomes[self.next - 1].clone()


def has_slope(tensor: Tensor) -> bool:
    """Whether a tensor holds numbers that change gradually."""
    return tensor.is_floating_point() or tensor.is_complex()
