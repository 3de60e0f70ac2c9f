"""What a cure comes to: recipes, the lowest error in unseen environments first."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd

from shapsight.data.remedies.recipes import BASELINE, Recipe
from shapsight.data.turns import Turns
from shapsight.diagnosis.estimate import Estimate
from shapsight.diagnosis.ranking import Recommendation
from shapsight.studies.cure.trials import TrialBudget
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


@dataclass(frozen=True, eq=False)
class Cured:
    """All that the report of a cure is made from; `failed` are trainings that came to nothing, `left_out` says why what
    is not ranked.
    """

    judged: pd.DataFrame
    ranking: pd.DataFrame
    recommendation: Recommendation
    recipes: tuple[Recipe, ...]
    budget: TrialBudget
    material: Material
    turns: Turns
    seeds: int
    failed: pd.DataFrame = field(default_factory=pd.DataFrame)
    left_out: tuple[str, ...] = ()

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
            for row in self.ranking.to_dict("records")
        ]
