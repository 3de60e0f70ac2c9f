"""Ways of choosing references from a pool, for `references.py`: all but the default are written out here.

Herding: Chen, Welling and Smola 2010. With exchanges, it is the default, `choose`; also on other features.
Kernel thinning: Dwivedi and Mackey 2021, KT-SPLIT with the pool's kernel, then one sweep of KT-SWAP.
k-medoids: from k-means++'s start, with the clusters' shares as weights.
Oracles: herding and exchanges in the attributions of the explained images themselves, one for each kind of error.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor

from shapsight.attribution.references.choosing import Pool, choose
from shapsight.attribution.references.features import Blocks, features
from shapsight.models.references import Likeness

COUNTS = (4, 8, 16, 25, 50, 100, 200)
BY = ("features", "outputs", "pixels")


@dataclass(frozen=True, eq=False)
class Choice:
    """What one method takes from one pool; pool 0 is all, others are random halves."""

    pool: int
    method: str
    k: int
    rows: Tensor
    weights: Tensor
    seconds: float
    likeness: Likeness | None
    knows: str | None  # the kind of error that an oracle is for


def choices(blocks: Blocks, rows: Tensor, alike: Mapping[str, Tensor], number: int) -> Iterator[Choice]:
    """Every method's choice of every number of references from some rows of the pool.

    `alike`: by kind of error, the inner products of what the references give.
    """
    mine = {name: block[rows] for name, block in blocks.items()}
    started, shares = time.perf_counter(), torch.full((len(rows),), 1 / len(rows))
    pools = {by: Pool.of(features(mine, by), shares, number) for by in ("features and outputs", *BY)}
    for_pool = (time.perf_counter() - started) / len(pools)
    default = pools["features and outputs"]
    kernel = default.kernel(torch.arange(len(rows)))
    methods: dict[tuple[str, str | None], Callable[[int], Any]] = {
        ("herding", None): partial(herd, kernel),
        ("default", None): partial(choose, default, groups=None, seed=number),
        ("thinning", None): partial(thin, kernel, seed=number),
        ("k-medoids", None): partial(medoids, default.points, seed=number),
    }
    methods |= {(f"by {by}", None): partial(choose, pools[by], groups=None, seed=number) for by in BY}
    methods |= {("oracle", kind): partial(informed, own[rows][:, rows]) for kind, own in alike.items()}
    for k, ((name, knows), method) in product([k for k in COUNTS if k < len(rows)], methods.items()):
        started = time.perf_counter()
        found = method(k)
        seconds = time.perf_counter() - started + for_pool
        picked, weights = found if isinstance(found, tuple) else (found, torch.full((k,), 1 / k))
        likeness = default.likeness(picked) if name == "default" else None
        yield Choice(number, name, k, rows[picked], weights, seconds, likeness, knows)


def informed(products: Tensor, k: int) -> Tensor:
    """Herding and exchanges in the attributions themselves."""
    mean = products.mean(1)
    centred = products - mean[:, None] - mean + mean.mean()
    return exchange(centred, herd(centred, k))


def herd(kernel: Tensor, k: int) -> Tensor:
    mean, total, chosen = kernel.mean(1), torch.zeros(len(kernel)), list[int]()
    for number in range(k):
        score = mean - total / (number + 1)
        score[chosen] = -torch.inf
        chosen.append(int(score.argmax()))
        total += kernel[chosen[-1]]
    return torch.tensor(chosen)


def exchange(kernel: Tensor, chosen: Tensor, sweeps: int = 50) -> Tensor:
    """Each for whatever brings the mean nearest to the pool's, until none does."""
    chosen, k, mean, own = chosen.clone(), len(chosen), kernel.mean(1), kernel.diagonal()
    for _ in range(sweeps):
        before, total = chosen.clone(), kernel[chosen].sum(0)
        for place in range(k):
            rest = total - kernel[chosen[place]]
            score = (2 * rest + own) / k**2 - 2 * mean / k
            score[torch.cat([chosen[:place], chosen[place + 1 :]])] = torch.inf
            if score.min() < score[chosen[place]] - 1e-9 * own.mean():
                chosen[place] = score.argmin()
            total = rest + kernel[chosen[place]]
        if torch.equal(before, chosen):
            break
    return chosen


def halves(kernel: Tensor, rows: Tensor, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A self-balancing walk over pairs: KT-SPLIT's step."""
    walk, spread, found = torch.zeros(len(kernel)), 0.0, []
    for x, y in rows.reshape(-1, 2).tolist():
        change = kernel[x] - kernel[y]
        square = max(float(change[x] - change[y]), 1e-12)
        bound = max((square * spread * 2 * np.log(4 * len(rows))) ** 0.5, square)
        spread += square * max(0.0, 1 + (square - 2 * bound) * spread / bound**2)
        is_swapped = random.random() < (1 - float(walk[x] - walk[y]) / bound) / 2
        walk += change if is_swapped else -change
        found.append((y, x) if is_swapped else (x, y))
    one, other = torch.tensor(found).T
    return one, other


def thin(kernel: Tensor, k: int, seed: int) -> Tensor:
    """Kernel thinning of as many images as k can be had of by halving."""
    random, rounds = np.random.default_rng(seed), int(np.log2(len(kernel) / k))
    sets = [torch.from_numpy(random.permutation(len(kernel))[: k * 2**rounds])]
    for _ in range(rounds):
        sets = [half for rows in sets for half in halves(kernel, rows, random)]
    mean = kernel.mean(1)
    return exchange(kernel, min(sets, key=lambda s: kernel[s][:, s].mean() - 2 * mean[s].mean()), sweeps=1)


def medoids(points: Tensor, k: int, seed: int) -> tuple[Tensor, Tensor]:
    """Centres of clusters, and each cluster's share; from k-means++'s start."""
    random, apart = np.random.default_rng(seed), torch.cdist(points, points)
    chosen = [int(random.integers(len(points)))]
    while len(chosen) < k:
        far = apart[chosen].amin(0).double().square().numpy()
        chosen.append(int(random.choice(len(points), p=far / far.sum())))
    for _ in range(20):
        cluster = apart[chosen].argmin(0)
        members = [(cluster == number).nonzero().flatten() for number in range(k)]
        chosen = [int(rows[apart[rows][:, rows].sum(0).argmin()]) for rows in members]
    return torch.tensor(chosen), torch.bincount(apart[chosen].argmin(0), minlength=k) / len(points)
