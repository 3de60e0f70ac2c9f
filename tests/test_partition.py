from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from partition_games import Squares, exact_owen

from shapsight import Explanation, PartitionShap, TopK, trees
from shapsight.errors import ExplainerError

IMAGE = torch.rand(1, 4, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64) + 0.2
MODEL = Squares(16)


def exact(tree: str) -> torch.Tensor:
    root = trees.as_tree(tree)(IMAGE)
    return exact_owen(root, IMAGE, lambda visible: MODEL(torch.where(visible, IMAGE, 0.0)), 2)


@pytest.mark.parametrize("contexts", ["both", "auto"])
@pytest.mark.parametrize("tree", ["axis", "regions"])
def test_without_a_limit_the_values_are_the_owen_values(contexts, tree):
    explainer = PartitionShap(MODEL, 0.0, tree, max_evals=10**6, contexts=contexts)
    explanation = explainer(IMAGE)
    assert torch.allclose(explanation.values[0], exact(tree), atol=1e-12)
    assert explanation.unresolved.abs().max() == 0
    assert explanation.std_errors is None or explanation.std_errors.max() == 0
    assert explanation.settings["largest_open"] == [0.0]


@pytest.mark.parametrize(("tree", "budget"), [("axis", 150), ("regions", 600)])
def test_coins_have_the_owen_values_as_their_mean(tree, budget):
    # Every context of every node takes 172 evaluations in the axis tree; coins reach every pixel with fewer.
    done = [PartitionShap(MODEL, 0.0, tree, budget, seed=seed)(IMAGE) for seed in range(250)]
    assert max(explanation.unresolved.max().item() for explanation in done) == 0
    assert max(explanation.settings["evaluations"][0] for explanation in done) < budget
    runs = torch.stack([explanation.values[0] for explanation in done])
    spread = runs.std(0) / len(runs) ** 0.5
    assert runs.std(0).max() > 1e-3  # the coins do matter
    off = (runs.mean(0) - exact(tree)) / spread.clamp_min(1e-9)
    assert off.abs().max() < 4.5
    assert off.square().mean() < 2


@settings(max_examples=60, deadline=None)
@given(
    budget=st.integers(3, 300),
    batch=st.integers(1, 60),
    contexts=st.sampled_from(["auto", "both", 0, 1]),
    tree=st.sampled_from(["axis", "regions"]),
    size=st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(2, 9)),
    seed=st.integers(0, 100),
)
def test_completeness_holds_for_every_budget(budget, batch, contexts, tree, size, seed):
    image = torch.rand(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    model = Squares(image.numel())
    explainer = PartitionShap(model, "mean", tree, budget, batch, contexts, seed=seed)
    explanation = explainer(image)
    assert explanation.completeness_gap.abs().max() < 1e-10
    assert explanation.settings["evaluations"][0] <= budget + 1
    assert (explanation.unresolved >= 0).all()


def test_the_budget_is_never_exceeded_by_coins():
    for budget in range(3, 40):
        assert PartitionShap(MODEL, 0.0, max_evals=budget)(IMAGE).settings["evaluations"][0] <= budget
