"""What a tree of pixels is: nodes that hold their pixels compactly and split in two."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Shaped
from torch import Tensor


@runtime_checkable
class Node(Protocol):
    """Some pixels of an image that stand or fall together, and how they split in two.

    A tree is its root. Any object with these three serves `PartitionShap(..., tree=...)`:

    Attributes
        index: what picks the node's pixels out of a tensor `(channels, height, width)`: `tensor[node.index]`; of a
            volume out of `(channels, depth, height, width)`.
        size: how many numbers `index` picks.
    """

    @property
    def index(self) -> tuple[Any, ...]:
        """What picks the node's pixels out of a tensor `(channels, height, width)`."""

    @property
    def size(self) -> int:
        """How many numbers `index` picks."""

    def halves(self) -> tuple[Node, Node] | None:
        """The two nodes that this one splits into; None where it ends."""


Tree = Callable[[Shaped[Tensor, "channels height width"]], Node]
