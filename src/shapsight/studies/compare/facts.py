"""What a comparison comes to: how the error of each target changes in each environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from shapsight.diagnosis.estimate import Estimate
from shapsight.diagnosis.groups import EVERY
from shapsight.studies.shared.found import Found
from shapsight.studies.shared.outcome import Outcome

OF_EACH = ("errors", "predictions")


@dataclass(frozen=True)
class Change:
    """The error of one target in one environment, of both models on the same images."""

    environment: str
    first: float
    second: float
    by: Estimate

    @property
    def kind(self) -> str:
        """Whether it is lower or higher beyond the luck of the images."""
        return "lower" if self.by.high < 0 else "higher" if self.by.low > 0 else "not told apart from noise"

    def values(self, form: str = ".3g") -> str:
        """`"0.31 → 0.12"`."""
        return f"{self.first:{form}} → {self.second:{form}}"


@dataclass(frozen=True, eq=False, kw_only=True)
class Comparison(Found):
    """Two models on the same images: `.table` (the errors and their change), `.first`, `.second`, `.report(path)`.

    Attributes
        first, second: both models, judged and explained.
        table: a row for each environment and target: both errors, and their change with its interval.
        notes: what a reader should know of the images.
    """

    first: Outcome
    second: Outcome
    table: pd.DataFrame
    notes: tuple[str, ...]

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """`change`, and the `errors` and `predictions` of both."""
        both = {"first": self.first, "second": self.second}
        named = {f"{kind}_{end}": getattr(each, kind) for end, each in both.items() for kind in OF_EACH}
        return {"change": self.table, **named}

    @property
    def targets(self) -> tuple[str, ...]:
        """What is predicted; sentences are about the first. Labels are one target."""
        return tuple(dict.fromkeys(self.table["target"].astype(str)))

    def changes(self, target: str) -> list[Change]:
        """The change of one target, environment by environment."""
        rows = self.table[self.table["target"] == target]
        single = rows[rows["environment"] != EVERY]
        return [
            Change(row["environment"], row["first"], row["second"], Estimate.in_row(row, "change"))
            for row in (single if len(single) else rows).to_dict("records")
        ]
