"""Owen values by coins: the second context of a node is asked about only where it changes much."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass

import numpy as np

from shapsight.attribution.partition.asking import Asking
from shapsight.attribution.partition.places import Place, Split, settle
from shapsight.attribution.partition.shares import Context, Scores, Shares

SECOND = 10.0  # a share this many times the even share of one evaluation is worth a second evaluation


@dataclass(frozen=True, eq=False)
class _Open:
    """A place in one context; `number` tells apart the contexts of one place that stem from splits in both."""

    place: Place
    context: Context
    lower: Scores
    upper: Scores
    weight: float
    number: int

    @property
    def share(self) -> Scores:
        return np.asarray((self.upper - self.lower) * self.weight)

    @property
    def size(self) -> float:
        return float(np.abs(self.share).max())


class Coins:
    """The Owen values of one image (Owen 1977) from few evaluations.

    A node with halves l and r in a context is worth `upper - lower`. In both contexts it is split by two evaluations
    into four nodes of half the weight. A coin splits it by one evaluation into two: l first, then r, or r first, each
    at full weight. That is a random order of the pixels that keeps every node together, so its mean is the Owen
    value, and the two halves sum to the node whichever side the coin shows. Nodes with a large share are split in
    both contexts; that depends on nothing that the coin brings, so the mean stays what it is.
    """

    def __init__(self, asking: Asking, chance: random.Random) -> None:
        self._asking, self._chance = asking, chance
        self._heap: list[tuple[float, float, int, _Open]] = []
        self._count = 0
        self._worth_both = 0.0

    def descend(self, root: Place, shares: Shares) -> float:
        """Fill `shares` as far as the budget goes; returns the largest share left open."""
        asking = self._asking
        start = _Open(root, (), asking.empty, asking.full, 1.0, 0)
        self._push(start)
        while self._heap and asking.left > 0 and -self._heap[0][0] > asking.threshold:
            self._split(self._batch())
            if not self._worth_both and self._heap:
                largest = max(start.size, -self._heap[0][0])
                self._worth_both = max(SECOND * largest / asking.budget, 2 * asking.threshold)
        for *_, item in self._heap:
            item.place.open_share = item.place.open_share + item.share
        settle(root, shares)
        return -self._heap[0][0] if self._heap else 0.0

    def _push(self, item: _Open) -> None:
        self._count += 1
        heapq.heappush(self._heap, (-item.size, self._chance.random(), self._count, item))

    def _batch(self) -> list[tuple[_Open, list[bool]]]:
        """Nodes to split next, and for each which halves are put first."""
        batch: list[tuple[_Open, list[bool]]] = []
        left, budget = self._asking.most(), self._asking.left
        while self._heap and left > 0:
            item = heapq.heappop(self._heap)[3]
            if item.place.opened() is None:
                item.place.open_share = item.place.open_share + item.share
                continue
            both = item.size >= self._worth_both and budget >= 2
            orders = [True, False] if both else [item.place.first_comes_first(item.number, self._chance)]
            batch.append((item, orders))
            left, budget = left - len(orders), budget - len(orders)
        return batch

    def _split(self, batch: list[tuple[_Open, list[bool]]]) -> None:
        coalitions = []
        for item, orders in batch:
            first, second = item.place.opened() or (item.place, item.place)
            coalitions += [(*item.context, (first if order else second).node) for order in orders]
        scores = iter(self._asking(coalitions))
        for item, orders in batch:
            self._share(item, [(order, next(scores)) for order in orders])

    def _share(self, item: _Open, results: list[tuple[bool, Scores]]) -> None:
        """Queue the halves of a node, the one that came first without the other and the other with it."""
        halves = item.place.halves
        assert halves is not None
        weight = item.weight / len(results)
        worth = {half: np.zeros_like(item.lower) for half in halves}
        for order, score in results:
            early, late = halves if order else halves[::-1]
            worth[early] = worth[early] + (score - item.lower) / len(results)
            worth[late] = worth[late] + (item.upper - score) / len(results)
            # Only splits in both contexts number new contexts: a coin's two halves go on with one context each.
            numbers = (2 * item.number, 2 * item.number + 1) if len(results) == 2 else (item.number,) * 2
            self._push(_Open(early, item.context, item.lower, score, weight, numbers[0]))
            self._push(_Open(late, (*item.context, early.node), score, item.upper, weight, numbers[1]))
        item.place.splits.append(
            Split(item.weight, worth[halves[0]], worth[halves[1]], is_coin=len(results) == 1)
        )
