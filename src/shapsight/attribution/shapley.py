"""Shapley values of a few players, from what coalitions of them are worth: exact, or estimated from a budget."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from shapsight.errors import ExplainerError

Worth = Callable[[Bool[Tensor, "coalitions players"]], Float[Tensor, "coalitions outputs"]]
MOST_PLAYERS = 16  # 65,536 coalitions


@dataclass(frozen=True)
class Shares:
    """Each player's Shapley value, and its standard error where it was sampled."""

    values: Float[Tensor, "players outputs"]
    std_errors: Float[Tensor, "players outputs"] | None = None


def every_coalition(players: int) -> Bool[Tensor, "coalitions players"]:
    """All of them; player p is in coalition number c if bit p of c is set. Raises `ExplainerError` above 16 players."""
    if players > MOST_PLAYERS:
        raise ExplainerError(
            f"{players} regions have 2^{players} coalitions: exact values and interactions take up to {MOST_PLAYERS} "
            'regions. Use fewer, or estimator="kernel"'
        )
    return (torch.arange(2**players).unsqueeze(1) >> torch.arange(players) & 1).bool()


def exact(worth: Worth, players: int) -> Shares:
    """Shapley values from all coalitions (Shapley 1953).

    `φ_i = Σ_S s! (n - s - 1)! / n! · (v(S ∪ i) - v(S))` over coalitions S without player i.
    """
    coalitions = every_coalition(players)
    values = worth(coalitions).double()
    sizes = coalitions.sum(1)
    weight = values.new_tensor([1 / (players * math.comb(players - 1, size)) for size in range(players)])
    shares = []
    for player in range(players):
        without = (~coalitions[:, player]).nonzero().flatten()
        gains = values[without + 2**player] - values[without]
        shares.append(weight[sizes[without]] @ gains)
    return Shares(torch.stack(shares))


def interactions(worth: Worth, players: int) -> Float[Tensor, "players players outputs"]:
    """Shapley interaction index of every two players; on the diagonal, their Shapley values.

    `I_ij = Σ_S s! (n - s - 2)! / (n - 1)! · (v(S ∪ ij) - v(S ∪ i) - v(S ∪ j) + v(S))` over coalitions S without both
    (Grabisch & Roubens 1999, definition 6); for a single player the same index is the Shapley value.
    """
    coalitions = every_coalition(players)
    values = worth(coalitions).double()
    sizes = coalitions.sum(1)
    diagonal = exact(lambda _: values, players).values
    result = torch.diag_embed(diagonal.T).movedim(0, -1).contiguous()
    weight = values.new_tensor(
        [1 / ((players - 1) * math.comb(players - 2, size)) for size in range(players - 1)]
    )
    for one, other in itertools.combinations(range(players), 2):
        without = (~coalitions[:, one] & ~coalitions[:, other]).nonzero().flatten()
        both = values[without + 2**one + 2**other] + values[without]
        change = both - values[without + 2**one] - values[without + 2**other]
        result[one, other] = result[other, one] = weight[sizes[without]] @ change
    return result


def permutation_pairs(players: int, max_evals: int) -> int:
    """How many permutations, each with its reverse, a budget allows. Raises `ExplainerError` for fewer than two."""
    pairs = (max_evals - 2) // max(1, 2 * (players - 1))
    if pairs < 2:
        raise ExplainerError(
            f"max_evals={max_evals} is too few for {players} regions: two permutations and their reverses take "
            f"{2 + 4 * (players - 1)} evaluations"
        )
    return pairs


def permutation(worth: Worth, players: int, max_evals: int, generator: torch.Generator) -> Shares:
    """Mean gains along random orders of the players, each order and its reverse (Mitchell et al. 2022, section 4).

    Always complete. The standard error is of the mean of independent pairs.
    """
    pairs = permutation_pairs(players, max_evals)
    ends = torch.tensor([[False], [True]]).expand(2, players)
    empty, full = worth(ends).double()
    gains = []
    steps = torch.arange(1, players).unsqueeze(1)
    for _ in range(pairs):
        place = torch.randperm(
            players, generator=generator
        )  # of each player in the order; the reverse counts from behind
        ways = torch.stack([place, players - 1 - place])
        inner = worth((ways.unsqueeze(1) < steps).flatten(0, 1)).double().reshape(2, players - 1, -1)
        chains = torch.cat([empty.expand(2, 1, -1), inner, full.expand(2, 1, -1)], 1).diff(dim=1)
        gains.append((chains[0][ways[0]] + chains[1][ways[1]]) / 2)
    of_pairs = torch.stack(gains)
    return Shares(of_pairs.mean(0), of_pairs.std(0) / math.sqrt(pairs))


@dataclass(frozen=True)
class Stratum:
    """Pairs of a coalition of `size` players and all others: how many there are, how many are asked about."""

    size: int
    population: int
    weight: float
    pairs: int

    @property
    def is_complete(self) -> bool:
        return self.pairs == self.population


def strata(players: int, max_evals: int) -> list[Stratum]:
    """How a budget is spent on sizes: in proportion to the kernel's weight, all single players and at least two pairs.

    Sizes whose pairs are all affordable are enumerated, and what they leave goes to the others.
    Raises `ExplainerError` if that is too few.
    """
    half = range(1, players // 2 + 1)
    population = {s: math.comb(players, s) // (2 if 2 * s == players else 1) for s in half}
    weight = {s: (1 if 2 * s == players else 2) / (s * (players - s)) for s in half}
    left = (max_evals - 2) // 2
    pairs = {s: min(population[s], 2) for s in half} | ({1: population[1]} if 1 in half else {})
    if sum(pairs.values()) > left:
        raise ExplainerError(
            f"max_evals={max_evals} is too few for {players} regions: the kernel estimator takes at least "
            f"{2 + 2 * sum(pairs.values())} evaluations"
        )
    is_open = {s for s in half if pairs[s] < population[s]}
    left -= sum(pairs[s] for s in half if s not in is_open)
    while is_open:
        total = sum(weight[s] for s in is_open)
        affordable = {s for s in is_open if left * weight[s] / total >= population[s]}
        if not affordable:
            pairs |= _in_proportion({s: weight[s] for s in is_open}, left)
            break
        pairs |= {s: population[s] for s in affordable}
        left -= sum(population[s] for s in affordable)
        is_open -= affordable
    return [Stratum(s, population[s], weight[s], pairs[s]) for s in half]


def _in_proportion(weight: dict[int, float], count: int) -> dict[int, int]:
    """Whole numbers that sum to `count`, two at least."""
    spare, total = count - 2 * len(weight), sum(weight.values())
    shares = {s: 2 + int(spare * w / total) for s, w in weight.items()}
    for s in sorted(weight, key=lambda s: -weight[s])[: count - sum(shares.values())]:
        shares[s] += 1
    return shares


def kernel(worth: Worth, players: int, max_evals: int, generator: torch.Generator) -> Shares:
    """Shapley values as the weighted least squares fit to coalitions, constrained to completeness.

    Coalitions come in pairs with their complements, spread over sizes in fixed numbers, without replacement
    (Lundberg & Lee 2017, theorem 2; Covert & Lee 2021, sections 3 and 4). If all can be asked about, the values are
    exact. Standard errors are of the fit's residuals, pair by pair within each size (a sandwich estimator with HC1's
    correction for what was fitted: MacKinnon & White 1985).
    """
    ends = torch.tensor([[False], [True]]).expand(2, players)
    empty, full = worth(ends).double()
    if players == 1:
        return Shares((full - empty)[None], torch.zeros_like(full)[None])
    layers = [layer for layer in strata(players, max_evals) if layer.pairs]
    drawn = [_pairs(layer, players, generator) for layer in layers]
    asked = torch.cat([side for half in drawn for side in (half, ~half)])
    gains = worth(asked).double() - empty
    weight = torch.cat([gains.new_full((2 * x.pairs,), x.weight / (2 * x.pairs)) for x in layers])
    member = asked.to(gains)
    inverse = torch.linalg.inv(member.T @ (weight[:, None] * member))
    ones = inverse.sum(1)
    project = inverse - torch.outer(ones, ones) / ones.sum()
    values = project @ (member.T @ (weight[:, None] * gains)) + torch.outer(ones / ones.sum(), full - empty)
    residual = weight[:, None] * (gains - member @ values)
    pulls = torch.einsum("ij,pj,po->pio", project, member, residual)
    return Shares(values, _variance(layers, pulls, players - 1).sqrt())


def _variance(
    layers: list[Stratum], pulls: Float[Tensor, "coalitions players outputs"], fitted: int
) -> Float[Tensor, "players outputs"]:
    """Of a sum over pairs drawn in strata: what each coalition pulls at the values, its pair's together."""
    variance = torch.zeros_like(pulls[0])
    start = 0
    for layer in layers:
        one, other = pulls[start : start + 2 * layer.pairs].chunk(2)
        start += 2 * layer.pairs
        if not layer.is_complete:
            unseen = 1 - layer.pairs / layer.population
            variance += unseen * layer.pairs * (one + other).var(0)
    pairs = start // 2
    return variance * (pairs / max(1, pairs - fitted))  # residuals are too small by what was fitted


def _pairs(layer: Stratum, players: int, generator: torch.Generator) -> Bool[Tensor, "pairs players"]:
    """One coalition of each pair: all that there are, or that many different ones at random."""
    is_middle = 2 * layer.size == players
    chosen: dict[tuple[int, ...], None] = {}
    members = (
        itertools.combinations(range(players), layer.size)
        if layer.is_complete
        else _random_members(layer.size, players, layer.pairs, generator)
    )
    for coalition in members:
        if not is_middle or coalition[0] == 0:
            chosen.setdefault(coalition)
        elif not layer.is_complete:  # the other side of a pair
            chosen.setdefault(tuple(sorted(set(range(players)) - set(coalition))))
        if len(chosen) == layer.pairs:
            break
    index: Int[Tensor, "pairs size"] = torch.tensor(list(chosen))
    return torch.zeros(layer.pairs, players, dtype=torch.bool).scatter_(1, index, True)


def _random_members(
    size: int, players: int, at_a_time: int, generator: torch.Generator
) -> Iterator[tuple[int, ...]]:
    """Random coalitions of some size, without end."""
    while True:
        keys = torch.rand(at_a_time, players, generator=generator)
        for row in keys.argsort(1)[:, :size].sort(1).values.tolist():
            yield tuple(row)
