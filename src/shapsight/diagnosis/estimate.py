"""A measured number, how sure it is, and why it is missing where it is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

UNKNOWN = math.nan


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; NaN where it could not be computed, and `reason` says why.

    Estimate(0.31, 0.27, 0.36)
    Estimate(reason="one environment has no other to be compared with")
    """

    value: float = UNKNOWN
    low: float = UNKNOWN
    high: float = UNKNOWN
    reason: str = ""

    def __repr__(self) -> str:
        if not self.is_known:
            return f"Estimate(unknown{self.reason and ': ' + self.reason})"
        between = self.between(".3g")
        return f"Estimate({self.value:.3g}{between and ', ' + between})"

    @classmethod
    def in_row(cls, row: Mapping[Any, Any], name: str) -> Estimate:
        """What a table's row holds in the columns `NAME`, `NAME_low` and `NAME_high`."""
        value, low, high = (float(row[column]) for column in (name, f"{name}_low", f"{name}_high"))
        return cls(value, low, high)

    @property
    def is_known(self) -> bool:
        """Whether there is a number: finite, so that it can be compared and written."""
        return math.isfinite(self.value)

    @property
    def has_interval(self) -> bool:
        """Whether it is known how sure the number is; of a single image it is not."""
        return self.is_known and math.isfinite(self.low) and math.isfinite(self.high)

    def between(self, form: str) -> str:
        """`"95 % 4% to 14%"` for the format ".0%"; empty without an interval."""
        return f"95 % {self.low:{form}} to {self.high:{form}}" if self.has_interval else ""

    def in_brackets(self, form: str) -> str:
        """The interval after its number, `" (95 % 4% to 14%)"`; empty without one."""
        return f" ({self.between(form)})" if self.has_interval else ""


NOT_MEASURED = Estimate()
