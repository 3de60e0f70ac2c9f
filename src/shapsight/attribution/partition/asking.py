"""Asking a game within a budget of evaluations."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Int
from torch import Tensor

from shapsight.attribution.partition.shares import Context, Scores, painted
from shapsight.attribution.shared.game import Game
from shapsight.attribution.shared.placement import wide


class Asking:
    """The game of one image for the outputs explained, within a budget.

    Attributes
        full, empty: the scores of all pixels and of none. Both count as evaluations.
        left: evaluations that may still be made.
        threshold: a share up to this is small enough to be left open.
    """

    def __init__(
        self,
        game: Game,
        chosen: Int[Tensor, "outputs"],
        ends: tuple[Tensor, Tensor],
        budget: float,
        batch_size: int,
        tolerance: float | None,
        report: Callable[[int], None],
    ) -> None:
        self._game, self._chosen, self._report = game, chosen, report
        self.full, self.empty = (self._scores(end[None])[0] for end in ends)
        self.batch_size = batch_size
        self.done = 2
        self.budget = budget
        total = float(np.abs(self.full - self.empty).max())
        rounding = 1e-6 * float(max(np.abs(self.full).max(), np.abs(self.empty).max()))
        self.threshold = -math.inf if tolerance is None else tolerance * max(total, rounding)

    @property
    def left(self) -> float:
        return self.budget - self.done

    def most(self) -> float:
        """How many coalitions the next batch may ask about."""
        return min(self.batch_size, self.left)

    def __call__(self, coalitions: list[Context]) -> list[Scores]:
        """The scores of some coalitions."""
        if not coalitions:
            return []
        values = self._game.values(painted(coalitions, self._game.image.shape))
        self.done += len(coalitions)
        self._report(self.done)
        return list(self._scores(values))

    def _scores(self, values: Tensor) -> np.ndarray:
        return wide(values.cpu())[:, self._chosen].numpy()
