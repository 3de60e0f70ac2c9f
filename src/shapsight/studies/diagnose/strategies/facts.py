"""What the strategies come to, as numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy import ndarray

from shapsight.diagnosis.strategies import Strategies, eigengap, explained_by
from shapsight.studies.shared.facts import Facts


@dataclass(frozen=True)
class StrategyFacts(Facts):
    """How many strategies there are, and the first of them: that whose error jumps most. None where unknown.

    Attributes
        count: of strategies; None where they could not be looked for.
        first_share: of the images, in [0, 1]; first_images: how many; first_environments: from where.
        first_error: mean over its images; first_jump: in unseen environments over that in seen ones.
        eigengap: after the last strategy, relative, in [0, 1].
        by_target: the share of the target's variance that lies between strategies. Near 1 they may be one strategy
            that follows the target.
    """

    count: int | None = None
    first_share: float | None = None
    first_images: int | None = None
    first_error: float | None = None
    first_jump: float | None = None
    first_environments: str | None = None
    eigengap: float | None = None
    by_target: float | None = None


def facts_of(found: Strategies, table: pd.DataFrame, target: ndarray | None) -> StrategyFacts:
    """The facts of some strategies and their `strategy_table`; `target` is the first target of each image."""
    first = table.iloc[0]
    return StrategyFacts(
        count=found.count,
        first_share=float(first["share"]),
        first_images=int(first["images"]),
        first_error=float(first["error"]),
        first_jump=None if np.isnan(first["jump"]) else float(first["jump"]),
        first_environments=str(first["environments"]),
        eigengap=eigengap(found),
        by_target=None if target is None else explained_by(found, target),
    )
