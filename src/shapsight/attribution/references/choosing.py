"""Which images of a pool stand for it best: herding, then exchanges, in the kernel of what the model sees of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from shapsight.models.references import Likeness

WIDTHS = (0.5, 1.0, 2.0, 4.0, 8.0)  # of the kernels that errors are judged by; references are chosen by 1
BLOCK = 2**24  # numbers of the pool's kernel at a time: 100,000 images need no 40 GB
JUDGED_BY = 10_000  # images of the pool that stand for all of it where errors are judged
SWEEPS = 50
STARTS = 3  # at random, beside herding's
LOOKED_AT = 1000  # images that the median distance is taken from


@dataclass(frozen=True, eq=False)
class Pool:
    """Points of a pool, each with its share (copies are one point), and the width of the kernel between them."""

    points: Float[Tensor, "images numbers"]
    shares: Float[Tensor, "images"]
    width: float
    to_pool: Float[Tensor, "images"]

    @classmethod
    def of(cls, points: Tensor, shares: Tensor, seed: int) -> Pool:
        """With the median distance of some of them as the width."""
        generator = torch.Generator().manual_seed(seed)
        some = points[torch.randperm(len(points), generator=generator)[:LOOKED_AT]]
        distances = torch.pdist(some.double())
        width = float(distances.median()) if len(distances) else 1.0
        width = width or float(distances.mean()) or 1.0
        return cls(points, shares, width, _mean_kernels(points, points, shares, (width,))[0])

    def kernel(self, rows: Int[Tensor, "rows"]) -> Float[Tensor, "rows images"]:
        """The kernel of some points with all."""
        return _gauss(_squares(self.points[rows], self.points), self.width)

    def likeness(self, rows: Int[Tensor, "rows"]) -> Likeness:
        """Of these points to each other and to the pool."""
        points, widths = self.points[rows].double(), [w * self.width for w in WIDTHS]
        squares = _squares(points, points)
        pool, shares = self.points, self.shares
        if len(pool) > JUDGED_BY:
            some = torch.randperm(len(pool), generator=torch.Generator().manual_seed(len(pool)))[:JUDGED_BY]
            pool, shares = pool[some], shares[some] / shares[some].sum()
        to_pool = _mean_kernels(self.points[rows], pool, shares, widths)
        of_pool = _mean_kernels(pool, pool, shares, widths)
        return Likeness(
            among=torch.stack([_gauss(squares, width) for width in widths]),
            to_pool=to_pool.double(),
            of_pool=of_pool.double() @ shares.double(),
            shares=self.shares[rows].double(),
            square=float(self.shares.double().square().sum()),
        )


def _squares(one: Tensor, other: Tensor) -> Tensor:
    lengths = one.square().sum(1)[:, None] + other.square().sum(1)
    return torch.addmm(lengths, one, other.T, alpha=-2).clamp_min_(0)


def _gauss(squares: Tensor, width: float) -> Tensor:
    return (squares / (-2 * width**2)).exp_()


def _mean_kernels(
    points: Tensor, pool: Tensor, shares: Tensor, widths: Sequence[float]
) -> Float[Tensor, "widths points"]:
    """The mean kernel of every point with the pool, in blocks."""
    found = points.new_empty(len(widths), len(points))
    step = max(1, BLOCK // len(pool))
    for start in range(0, len(points), step):
        rows = slice(start, start + step)
        squares = _squares(points[rows], pool)
        for number, width in enumerate(widths):
            found[number, rows] = _gauss(squares, width) @ shares
    return found


def choose(pool: Pool, count: int, groups: Int[Tensor, "images"] | None, seed: int) -> Int[Tensor, "chosen"]:
    """Points whose mean is nearest to the pool's in the kernel's space, so ordered that the first ones do best too.

    Herding takes one after another, each where the pool is least represented; then each is exchanged for the point that
    brings the mean nearest, until none does. So are a few random sets; the nearest of all is taken. With `groups`,
    each has one at least, where `count` suffices.
    Sources: Chen, Welling and Smola 2010 (herding); Dwivedi and Mackey 2021 (exchanges, their KT-SWAP).
    """
    generator = torch.Generator().manual_seed(seed)
    kept = _represented(groups, count)
    starts = [_herd(pool, count, groups if kept else None)]
    if not kept:
        starts += [torch.randperm(len(pool.points), generator=generator)[:count] for _ in range(STARTS)]
    exchanged = [_exchange(pool, start, groups if kept else None) for start in starts]
    best, _ = min(exchanged, key=lambda found: found[1])
    return _ordered(pool, best)


def _represented(groups: Tensor | None, count: int) -> bool:
    return groups is not None and 1 < len(set(groups.tolist())) <= count


def _herd(pool: Pool, count: int, groups: Tensor | None) -> Tensor:
    """One after another; while a group has none, only images of such groups."""
    total = torch.zeros_like(pool.to_pool)
    chosen: list[int] = []
    for number in range(count):
        score = pool.to_pool - total / (number + 1)
        score[chosen] = -torch.inf
        if groups is not None:
            missing = ~torch.isin(groups, groups[chosen])
            if missing.any():
                score[~missing] = -torch.inf
        chosen.append(int(score.argmax()))
        total += pool.kernel(torch.tensor(chosen[-1:]))[0]
    return torch.tensor(chosen)


def _exchange(pool: Pool, chosen: Tensor, groups: Tensor | None) -> tuple[Tensor, float]:
    """Exchanges until none helps; and the squared distance to the pool's mean, less what all choices share."""
    chosen, count = chosen.clone(), len(chosen)
    kernel = pool.kernel(chosen)
    total = kernel.sum(0)
    for _ in range(SWEEPS):
        changed = False
        for place in range(count):
            rest = total - kernel[place]
            score = (2 * rest + 1) / count**2 - 2 * pool.to_pool / count
            others = torch.cat([chosen[:place], chosen[place + 1 :]])
            score[others] = torch.inf
            if groups is not None and not torch.isin(groups[chosen[place]], groups[others]):
                score[groups != groups[chosen[place]]] = torch.inf
            best = int(score.argmin())
            if score[best] < score[chosen[place]] - 1e-9:
                chosen[place], changed = best, True
                kernel[place] = pool.kernel(torch.tensor([best]))[0]
                total = rest + kernel[place]
            # else `total` stays as it is
        if not changed:
            break
        total = kernel.sum(0)  # rounding adds up otherwise
    among = kernel[:, chosen].double()
    return chosen, float(among.mean() - 2 * pool.to_pool[chosen].double().mean())


def _ordered(pool: Pool, chosen: Tensor) -> Tensor:
    """Herding among the chosen ones."""
    among, to_pool = pool.kernel(chosen)[:, chosen], pool.to_pool[chosen]
    total = torch.zeros_like(to_pool)
    order: list[int] = []
    for number in range(len(chosen)):
        score = to_pool - total / (number + 1)
        score[order] = -torch.inf
        order.append(int(score.argmax()))
        total += among[order[-1]]
    return chosen[order]
