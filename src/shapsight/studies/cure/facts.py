"""What a cure comes to: recipes, the lowest error in unseen environments first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from shapsight.data.remedies.recipes import BASELINE, Recipe
from shapsight.data.turns import Turns
from shapsight.diagnosis.estimate import Estimate
from shapsight.diagnosis.ranking import Recommendation
from shapsight.studies.cure.trials import TrialBudget
from shapsight.studies.shared.found import Found
from shapsight.studies.shared.material import Material


@dataclass(frozen=True)
class Ranked:
    """A recipe, judged where it was not trained; `change` is to the baseline's error, `cost` over its time."""

    recipe: str
    error: Estimate
    change: Estimate
    scene_share: Estimate
    sign_accuracy: Estimate
    wins: int
    pairs: int
    cost: float

    @property
    def won(self) -> str:
        """`"5 of 6"` pairs of trained and unseen environment; the baseline is not compared with itself."""
        return "" if self.recipe == BASELINE else f"{self.wins} of {self.pairs}"


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Cure(Found):
    """What a cure came to: `.table` (recipes, the lowest error first), `.recommendation`, `.failed`, `.report()`.

    Attributes
        table: a row for each recipe, with its error in unseen environments and the change to the baseline.
        recommendation: the recipe to take, and why.
        failed: the trainings that came to nothing: recipe, trained_on, seed and reason.
        judged: a row for every image that a ranked training had not seen. left_out: why what is not ranked.
    """

    judged: pd.DataFrame
    table: pd.DataFrame
    recommendation: Recommendation
    recipes: tuple[Recipe, ...]
    budget: TrialBudget
    material: Material
    turns: Turns
    seeds: int
    failed: pd.DataFrame
    left_out: tuple[str, ...]

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """`ranking`, `judged` and `failed`."""
        return {"ranking": self.table, "judged": self.judged, "failed": self.failed}

    @property
    def ranked(self) -> list[Ranked]:
        """The rows of the ranking."""
        return [
            Ranked(
                recipe=row["recipe"],
                error=Estimate.in_row(row, "error"),
                change=Estimate.in_row(row, "change"),
                scene_share=Estimate.in_row(row, "scene_share"),
                sign_accuracy=Estimate.in_row(row, "sign_accuracy"),
                wins=row["wins"],
                pairs=row["pairs"],
                cost=row["cost"],
            )
            for row in self.table.to_dict("records")
        ]
