"""The axis tree: rectangles, or boxes of a volume, halved along their longest side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jaxtyping import Shaped
from torch import Tensor

Side = tuple[int, int]


@dataclass(frozen=True)
class Rectangle:
    """The pixels of some rows and columns (of a volume: slices, rows and columns), in some channels.

    `sides` has a pair `(first, one past the last)` for each of `(channels, height, width)` or `(channels, depth,
    height, width)`.
    """

    sides: tuple[Side, ...]

    @property
    def index(self) -> tuple[Any, ...]:
        """A slice for each side."""
        return tuple(slice(*side) for side in self.sides)

    @property
    def size(self) -> int:
        """How many numbers of the image it holds."""
        size = 1
        for first, last in self.sides:
            size *= last - first
        return size

    def halves(self) -> tuple[Rectangle, Rectangle] | None:
        """Split the longest side, of equal ones the first: rows before columns; channels when one pixel is left."""
        sides, at, longest = self.sides, 0, 1
        for number in range(1, len(sides)):
            length = sides[number][1] - sides[number][0]
            if length > longest:
                at, longest = number, length
        first, last = sides[at]
        if last - first == 1:
            return None
        # shap halves by integer division as well, but counts pixels from the end: the first half is the larger one.
        middle = last - (last - first) // 2
        before, after = sides[:at], sides[at + 1 :]
        return Rectangle((*before, (first, middle), *after)), Rectangle((*before, (middle, last), *after))


def axis(image: Shaped[Tensor, "channels *sides"]) -> Rectangle:
    """The axis tree of an image or volume: all of it, which halves down to single numbers.

        root = trees.axis(image)
        root.halves()                       # the upper and the lower half of a square image

    The split order of `shap.maskers.Image`, so the same Owen values.
    """
    return Rectangle(tuple((0, side) for side in image.shape))
