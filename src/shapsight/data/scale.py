"""The scale of a target: its unit, and the range that training maps to -1 to +1."""

from __future__ import annotations

import math
from dataclasses import dataclass

from shapsight.errors import DataError

GRAMMAR = (
    "A scale is LOW:HIGH:UNIT such as 0:30:km/h; or width or height, for a target in pixels of the stored image; "
    "or half, for one that runs from -1 to +1 already"
)


@dataclass(frozen=True)
class Scale:
    """A target's unit, and the values that count as -1 and +1 while training.

        Scale(0, 30, "km/h")
        Scale.parse("0:30:km/h")        # the same

    Values in tables, predictions and explanations are in `unit`; only the loss is taken between -1 and +1, so that
    targets of different units weigh the same. Raises `DataError` unless `low < high`.
    """

    low: float = -1.0
    high: float = 1.0
    unit: str = ""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise DataError(f"a scale from {self.low:g} to {self.high:g} is empty: its low end must be lower")

    @classmethod
    def parse(cls, text: str) -> Scale:
        """Read `LOW:HIGH:UNIT`; the unit may be left out."""
        low, _, rest = text.partition(":")
        high, _, unit = rest.partition(":")
        try:
            return cls(float(low), float(high), unit)
        except ValueError as error:
            raise DataError(f"{text!r} is no scale. {GRAMMAR}") from error

    @property
    def middle(self) -> float:
        """The value that training sees as 0."""
        return (self.low + self.high) / 2

    @property
    def half(self) -> float:
        """How much of the unit training sees as 1."""
        return (self.high - self.low) / 2

    @property
    def is_plain(self) -> bool:
        """Values are what training sees."""
        return (self.low, self.high) == (-1.0, 1.0)

    def __str__(self) -> str:
        if self.is_plain:
            return self.unit or "from -1 to +1"
        return f"{self.unit + ', ' if self.unit else ''}from {self.low:g} to {self.high:g}"


HALF_WIDTHS = Scale(unit="half widths, -1 left to +1 right")
HALF_HEIGHTS = Scale(unit="half heights, -1 top to +1 bottom")
PIXELS = {"width": HALF_WIDTHS, "height": HALF_HEIGHTS}
SIDES = {"x": "width", "y": "height"}  # of the image, over which these targets run
