"""The axis tree: rectangles, halved along their longer side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jaxtyping import Shaped
from torch import Tensor


@dataclass(frozen=True)
class Rectangle:
    """The pixels of some rows and columns, in some channels; each pair is `(first, one past the last)`."""

    rows: tuple[int, int]
    columns: tuple[int, int]
    channels: tuple[int, int]

    @property
    def index(self) -> tuple[Any, ...]:
        """Three slices into `(channels, height, width)`."""
        return slice(*self.channels), slice(*self.rows), slice(*self.columns)

    @property
    def size(self) -> int:
        """How many numbers of the image it holds."""
        return _length(self.channels) * _length(self.rows) * _length(self.columns)

    def halves(self) -> tuple[Rectangle, Rectangle] | None:
        """Split the longer side, rows where both are as long, and channels when one pixel is left."""
        height, width = _length(self.rows), _length(self.columns)
        if height > 1 and height >= width:
            upper, lower = _split(self.rows)
            return (
                Rectangle(upper, self.columns, self.channels),
                Rectangle(lower, self.columns, self.channels),
            )
        if width > 1:
            left, right = _split(self.columns)
            return Rectangle(self.rows, left, self.channels), Rectangle(self.rows, right, self.channels)
        if _length(self.channels) > 1:
            first, second = _split(self.channels)
            return Rectangle(self.rows, self.columns, first), Rectangle(self.rows, self.columns, second)
        return None


def axis(image: Shaped[Tensor, "channels height width"]) -> Rectangle:
    """The axis tree of an image: the whole image, which halves down to single numbers.

        root = trees.axis(image)
        root.halves()                       # the upper and the lower half of a square image

    The split order of `shap.maskers.Image`, so the same Owen values.
    """
    channels, height, width = image.shape
    return Rectangle((0, height), (0, width), (0, channels))


def _length(side: tuple[int, int]) -> int:
    return side[1] - side[0]


def _split(side: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    # shap halves by integer division as well, but counts pixels from the end: the first half is the larger one.
    middle = side[1] - _length(side) // 2
    return (side[0], middle), (middle, side[1])
