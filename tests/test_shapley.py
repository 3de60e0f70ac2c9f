"""Shapley values of a few players: closed forms, all orders written out, and the estimators against exact values."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shapsight.attribution.shapley import exact, interactions, kernel, permutation, strata
from shapsight.errors import ExplainerError


def random_game(players, seed=0, outputs=2):
    """A worth for every coalition; those of more than a few players share most of it, as networks do."""
    generator = torch.Generator().manual_seed(seed)
    table = torch.randn(2**players, outputs, generator=generator, dtype=torch.float64)
    slope = torch.randn(players, outputs, generator=generator, dtype=torch.float64)

    def worth(coalitions):
        member = coalitions.double()
        return table[(member @ 2 ** torch.arange(players).double()).long()] + 2 * (member @ slope) ** 2

    return worth


def over_all_orders(worth, players):
    """The definition: each player's mean gain over all orders."""
    total = 0
    for order in itertools.permutations(range(players)):
        present = torch.zeros(1, players, dtype=torch.bool)
        gains = torch.zeros(players, 2, dtype=torch.float64)
        for player in order:
            before = worth(present)[0]
            present[0, player] = True
            gains[player] = worth(present)[0] - before
        total = total + gains
    return total / math.factorial(players)


@pytest.mark.parametrize("players", [1, 2, 3, 5])
def test_exact_values_are_mean_gains_over_all_orders(players):
    worth = random_game(players)
    torch.testing.assert_close(exact(worth, players).values, over_all_orders(worth, players))


def test_the_glove_game_has_its_known_values():
    """Players 0 and 1 hold left gloves, player 2 a right one; a pair is worth 1."""
    values = exact(lambda c: ((c[:, 0] | c[:, 1]) & c[:, 2]).double().unsqueeze(1), 3).values.flatten()
    torch.testing.assert_close(values, torch.tensor([1 / 6, 1 / 6, 4 / 6], dtype=torch.float64))


@given(seed=st.integers(0, 1000), players=st.integers(1, 7))
def test_exact_values_are_complete(seed, players):
    worth = random_game(players, seed)
    ends = worth(torch.tensor([[False], [True]]).expand(2, players))
    torch.testing.assert_close(exact(worth, players).values.sum(0), ends[1] - ends[0])


def by_definition(worth, players, one, other):
    """The interaction index as a sum over sets of the other players."""
    rest = [p for p in range(players) if p not in (one, other)]
    total = 0

    def value(members):
        row = torch.zeros(1, players, dtype=torch.bool)
        row[0, list(members)] = True
        return worth(row)[0]

    for size in range(len(rest) + 1):
        for members in itertools.combinations(rest, size):
            weight = math.factorial(size) * math.factorial(players - size - 2) / math.factorial(players - 1)
            both = value((*members, one, other)) + value(members)
            total = total + weight * (both - value((*members, one)) - value((*members, other)))
    return total


@pytest.mark.parametrize("players", [2, 3, 5])
def test_interactions_follow_their_definition_and_have_shapley_values_on_the_diagonal(players):
    worth = random_game(players)
    found = interactions(worth, players)
    torch.testing.assert_close(found, found.transpose(0, 1))
    torch.testing.assert_close(found.diagonal().T, exact(worth, players).values)
    for one, other in itertools.combinations(range(players), 2):
        torch.testing.assert_close(found[one, other], by_definition(worth, players, one, other))


def test_interactions_tell_and_from_or_and_from_a_sum():
    def worth(c):
        return torch.stack([c[:, 0] & c[:, 1], c[:, 0] | c[:, 1], c[:, 0]], 1).double() + c[:, 2:].double()

    found = interactions(worth, 3)
    torch.testing.assert_close(found[0, 1], torch.tensor([1, -1, 0], dtype=torch.float64))
    torch.testing.assert_close(found[0, 2], torch.zeros(3, dtype=torch.float64))


@pytest.mark.parametrize("players", [2, 3, 4, 7, 8])
def test_the_kernel_estimator_is_exact_when_it_may_ask_about_every_coalition(players):
    worth = random_game(players)
    found = kernel(worth, players, 2**players, torch.Generator())
    torch.testing.assert_close(found.values, exact(worth, players).values)
    assert found.std_errors.max() == 0


@pytest.mark.parametrize("estimate", [kernel, permutation])
def test_an_additive_games_values_are_exact_from_any_budget(estimate):
    slope = torch.arange(12, dtype=torch.float64).unsqueeze(1)
    found = estimate(lambda c: c.double() @ slope + 3, 12, 120, torch.Generator())
    torch.testing.assert_close(found.values, slope)
    assert found.std_errors.max() < 1e-9


@pytest.mark.parametrize("estimate", [kernel, permutation])
@pytest.mark.parametrize("players,budget", [(9, 120), (12, 300)])
def test_estimates_are_close_complete_unbiased_and_their_standard_errors_honest(estimate, players, budget):
    worth = random_game(players)
    truth = exact(worth, players).values
    runs = [estimate(worth, players, budget, torch.Generator().manual_seed(seed)) for seed in range(150)]
    errors = torch.stack([run.values for run in runs]) - truth
    torch.testing.assert_close(errors.sum(1), torch.zeros(150, 2, dtype=torch.float64))
    claimed = torch.stack([run.std_errors for run in runs]).square().mean().sqrt()
    true = errors.square().mean().sqrt()
    assert 0.85 < claimed / true < 1.25
    assert errors.mean(0).square().mean().sqrt() < 2 * true / math.sqrt(150)


def test_the_kernel_estimator_is_closer_than_permutations_for_the_same_budget():
    worth = random_game(12)
    truth = exact(worth, 12).values

    def error(estimate):
        runs = [estimate(worth, 12, 300, torch.Generator().manual_seed(seed)).values for seed in range(40)]
        return (torch.stack(runs) - truth).square().mean()

    assert error(kernel) < error(permutation)


@given(players=st.integers(2, 40), budget=st.integers(4, 3000))
def test_the_kernels_budget_is_kept_and_used(players, budget):
    try:
        layers = strata(players, budget)
    except ExplainerError:
        return
    spent = 2 + 2 * sum(layer.pairs for layer in layers)
    assert spent <= budget
    assert all(min(2, layer.population) <= layer.pairs <= layer.population for layer in layers)
    assert spent >= budget - 1 or all(layer.is_complete for layer in layers)
    asked = []

    def worth(coalitions):
        asked.append(coalitions)
        return coalitions.double().sum(1, keepdim=True)

    kernel(worth, players, budget, torch.Generator())
    coalitions = torch.cat(asked)
    assert len(coalitions) == spent == len(coalitions.unique(dim=0))


def test_too_small_a_budget_and_too_many_regions_are_refused():
    worth = random_game(10)
    with pytest.raises(ExplainerError, match="at least 38 evaluations"):
        kernel(worth, 10, 30, torch.Generator())
    kernel(worth, 10, 38, torch.Generator())
    with pytest.raises(ExplainerError, match="take 38 evaluations"):
        permutation(worth, 10, 30, torch.Generator())
    with pytest.raises(ExplainerError, match="up to 16"):
        exact(worth, 17)
