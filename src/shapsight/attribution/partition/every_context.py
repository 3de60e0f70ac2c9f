"""Owen values by shap's descent: every node that is split is split in both contexts, or always in the same one."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from shapsight.attribution.partition.asking import Asking
from shapsight.attribution.partition.shares import Context, Scores, Shares
from shapsight.attribution.trees import Node


@dataclass(frozen=True, eq=False)
class _Open:
    """A node in one context, not split yet: it is worth `upper - lower` there."""

    node: Node
    context: Context
    lower: Scores
    upper: Scores
    weight: float

    @property
    def share(self) -> Scores:
        return np.asarray((self.upper - self.lower) * self.weight)


@dataclass
class _Queue:
    """Open nodes, the largest share first; chance breaks ties."""

    chance: random.Random
    heap: list[tuple[float, float, int, _Open]] = field(default_factory=list)
    count: int = 0

    def push(self, item: _Open) -> None:
        self.count += 1
        priority = -float(np.abs(item.share).max())
        heapq.heappush(self.heap, (priority, self.chance.random(), self.count, item))

    def pop(self) -> _Open:
        return heapq.heappop(self.heap)[3]

    @property
    def largest(self) -> float:
        return -self.heap[0][0] if self.heap else 0.0


def descend(
    asking: Asking, root: Node, shares: Shares, contexts: Literal["both", 0, 1], chance: random.Random
) -> float:
    """Fill `shares` with Owen values (Owen 1977), as far as the budget goes; returns the largest share left open.

    The order, the batches and the leftovers are those of `shap.PartitionExplainer`.
    """
    queue = _Queue(chance)
    queue.push(_Open(root, (), asking.empty, asking.full, 1.0))
    while queue.heap and asking.left > 0 and queue.largest > asking.threshold:
        batch: list[tuple[_Open, Node, Node]] = []
        while queue.heap and 2 * len(batch) < asking.most():
            item = queue.pop()
            halves = item.node.halves()
            if halves is None:
                shares.spread(item.node, item.share)
            else:
                batch.append((item, *halves))
        coalitions = [(*item.context, half) for item, *halves in batch for half in halves]
        scores = iter(asking(coalitions))
        for item, first, second in batch:
            _split(queue, shares, contexts, item, (first, next(scores)), (second, next(scores)))
    largest = queue.largest
    for *_, item in queue.heap:
        shares.leave_open(item.node, item.share)
    return largest


def _split(
    queue: _Queue,
    shares: Shares,
    contexts: Literal["both", 0, 1],
    item: _Open,
    one: tuple[Node, Scores],
    two: tuple[Node, Scores],
) -> None:
    """Queue each half without the other (context 0) and with it (context 1)."""
    weight = item.weight / 2 if contexts == "both" else item.weight
    if contexts != "both":  # what the halves do together goes evenly to the node
        together = item.upper - one[1] - two[1] + item.lower
        shares.spread(item.node, together * (item.weight if contexts == 0 else -item.weight))
    if contexts in ("both", 0):
        for half, score in (one, two):
            queue.push(_Open(half, item.context, item.lower, score, weight))
    if contexts in ("both", 1):
        for (half, _), (other, score) in ((one, two), (two, one)):
            queue.push(_Open(half, (*item.context, other), score, item.upper, weight))
