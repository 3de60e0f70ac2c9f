"""Where in the tree the contexts were split, and how what was left open follows the splits that were seen."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from shapsight.attribution.partition.shares import Scores, Shares
from shapsight.attribution.trees import Node

STANDS_OUT = 3.0  # standard errors: of the hundred or more nodes of an image hardly one stands out by chance
DOUBT = 1.0  # how many splits the prior guess "half each" counts for, when a node's open contexts follow the others


@dataclass(frozen=True)
class Split:
    """What one context of a node showed: `first` and `second` half sum to what the node is worth in that context."""

    weight: float
    first: Scores
    second: Scores
    is_coin: bool


@dataclass(eq=False)
class Place:
    """A node of the tree with all that was learned about it in any context.

    Attributes
        open_share: what the node has in contexts that were not split.
        coin: a random pattern and sign that turn the number of a context into its coin.
        total: what all the node's pixels got, once that is settled.
    """

    node: Node
    splits: list[Split] = field(default_factory=list)
    open_share: Scores | float = 0.0
    halves: tuple[Place, Place] | None = None
    coin: tuple[int, int] | None = None
    total: Scores | float = 0.0

    @property
    def coins(self) -> list[Split]:
        """The splits that a coin decided."""
        return [split for split in self.splits if split.is_coin]

    def opened(self) -> tuple[Place, Place] | None:
        """The places of its two halves; None where the tree ends."""
        if self.halves is None and (nodes := self.node.halves()) is not None:
            self.halves = (Place(nodes[0]), Place(nodes[1]))
        return self.halves

    def first_comes_first(self, number: int, chance: random.Random) -> bool:
        """A fair coin for a context; of contexts numbered in full, half get each side (a fractional factorial)."""
        if self.coin is None:
            self.coin = (chance.getrandbits(62) | 1, chance.getrandbits(1))
        pattern, sign = self.coin
        return bool(((number & pattern).bit_count() ^ sign) & 1)


def settle(root: Place, shares: Shares) -> None:
    """Give every place's open share to its pixels, from the root down, and say what of it stands out from the noise.

    Where some contexts of a place were split and others not, those left follow the split that was seen, moved towards
    half each while it rests on few contexts. A place without any split is spread evenly.
    """
    noise = _noise(root)
    outputs = len(shares.values)
    _share_out(root, shares, noise)
    waiting = [(root, root.total)]
    while waiting:
        place, amount = waiting.pop()
        if not place.splits or place.halves is None:
            shares.draw(place.node, np.broadcast_to(amount, (outputs,)))
            continue
        first, second = place.halves
        even = first.node.size / place.node.size
        excess = first.total - even * place.total
        # The halves differ by twice the excess, of a node that is worth what it is.
        stands_out = np.abs(excess) > STANDS_OUT * np.sqrt(_variance(place, noise)) / 2
        above = even * amount + np.where(stands_out, excess, 0.0)
        waiting += [(first, above), (second, amount - above)]


def _share_out(root: Place, shares: Shares, noise: Scores | float) -> None:
    outputs = len(shares.values)
    inner: list[Place] = []
    waiting: list[tuple[Place, Scores | float, Scores | float]] = [(root, 0.0, 0.0)]
    while waiting:
        place, inherited, variance = waiting.pop()
        share = np.asarray(place.open_share + inherited)
        if not place.splits or place.halves is None:
            place.total = share
            if share.any() or np.any(variance):
                shares.leave_open(place.node, np.broadcast_to(share, (outputs,)), variance)
            continue
        inner.append(place)
        tilt = _tilt(place)
        below = (np.asarray(variance) + _variance(place, noise)) / 4
        first, second = place.halves
        waiting.append((first, share * (1 + tilt) / 2, below))
        waiting.append((second, share * (1 - tilt) / 2, below))
    for place in reversed(inner):
        assert place.halves is not None
        place.total = place.halves[0].total + place.halves[1].total


def _tilt(place: Place) -> Scores:
    """The part of a place's share by which its first half beats its second, in [-1, 1]."""
    weight, difference, worth = _columns(place.splits)
    tilt = (weight * difference * worth).sum(0) / np.maximum((weight * worth**2).sum(0), 1e-300)
    counted = np.array([1.0 if split.is_coin else 2.0 for split in place.splits])
    weights = weight[:, 0]
    seen = (weights * counted).sum() ** 2 / (weights**2 * counted).sum()
    return np.asarray(np.clip(tilt, -1, 1) * seen / (seen + DOUBT))


def _columns(splits: list[Split]) -> tuple[Float[ndarray, "splits 1"], ndarray, ndarray]:
    weight = np.array([[split.weight] for split in splits])
    difference = np.array([split.first - split.second for split in splits])
    worth = np.array([split.first + split.second for split in splits])
    return weight, difference, worth


def _noise(root: Place) -> Scores | float:
    """How large a coin's squared surprise is against the square of its reach, over the whole tree."""
    surprise: Scores | float = 0.0
    worths: Scores | float = 0.0
    waiting = [root]
    while waiting:
        place = waiting.pop()
        coins = place.coins
        if len(coins) > 1:
            surprise = surprise + (_surprises(coins) ** 2).sum(0) * len(coins) / (len(coins) - 1)
            worths = worths + (_reach(coins) ** 2).sum(0)
        if place.halves is not None:
            waiting.extend(place.halves)
    return np.asarray(surprise / np.maximum(worths, 1e-300)) if np.any(worths) else 1.0


def _surprises(coins: list[Split]) -> Float[ndarray, "coins outputs"]:
    """By how much each coin's halves differ otherwise than in proportion to what the node is worth in its context."""
    weight, difference, worth = _columns(coins)
    ratio = (weight * difference * worth).sum(0) / np.maximum((weight * worth**2).sum(0), 1e-300)
    return np.asarray(difference - ratio * worth)


def _reach(coins: list[Split]) -> Float[ndarray, "coins outputs"]:
    """What each coin's halves could differ by if they had one sign, or do differ by where they have two."""
    _, difference, worth = _columns(coins)
    return np.asarray(np.maximum(np.abs(difference), np.abs(worth)))


def _variance(place: Place, noise: Scores | float) -> Scores | float:
    """Variance that coins bring to the difference of a place's halves.

    It is the sum of the coins' squared surprises, with one coin of the whole tree's usual noise among them: few coins
    by themselves may agree by chance.
    """
    coins = place.coins
    if not coins:
        return 0.0
    weight, _, _ = _columns(coins)
    own = ((weight * _surprises(coins)) ** 2).sum(0)
    usual = noise * ((weight * _reach(coins)) ** 2).mean(0)
    return np.asarray(own + usual)
