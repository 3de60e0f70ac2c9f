from __future__ import annotations

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
    if contexts == "auto":
        drawn = explanation.above_noise.sum((2, 3))
        torch.testing.assert_close(drawn, explanation.values.sum((2, 3, 4)), rtol=1e-9, atol=1e-10)
    else:
        assert explanation.above_noise is None


def test_the_budget_is_never_exceeded_by_coins():
    for budget in range(3, 40):
        assert PartitionShap(MODEL, 0.0, max_evals=budget)(IMAGE).settings["evaluations"][0] <= budget


def test_several_outputs_take_no_more_evaluations_and_keep_their_names():
    explainer = PartitionShap(MODEL, 0.0, max_evals=50, output_names=["bright", "dark"])
    explanation = explainer(IMAGE.expand(3, -1, -1, -1), outputs=TopK(2))
    assert explanation.settings["evaluations"] == [50, 50, 50]
    assert {explanation.name_of(0, 0), explanation.name_of(0, 1)} == {"bright", "dark"}
    assert explanation.values.shape == (3, 2, 1, 4, 4)


def test_a_dead_pixel_gets_nothing_once_everything_is_split():
    def predict(images):
        seen = images.reshape(len(images), -1)[:, 1:]  # all but the first pixel
        return np.tanh(seen.sum(1, keepdims=True)) * seen[:, :1]

    for contexts in ("auto", "both"):
        explanation = PartitionShap(predict, 0.0, max_evals=10**5, contexts=contexts)(IMAGE)
        assert abs(explanation.values[0, 0, 0, 0, 0].item()) < 1e-12


def test_a_tolerance_ends_the_descent_when_no_open_share_is_larger():
    explanation = PartitionShap(MODEL, 0.0, max_evals=None, tolerance=0.2, batch_size=1)(IMAGE)
    change = (explanation.predictions - explanation.base_values).abs().max().item()
    assert explanation.settings["largest_open"][0] <= 0.2 * change
    assert 3 <= explanation.settings["evaluations"][0] < 172


def test_what_is_unresolved_is_saved_loaded_and_selected(tmp_path):
    explanation = PartitionShap(MODEL, 0.0, max_evals=10)(IMAGE.expand(2, -1, -1, -1))
    assert explanation.unresolved.shape == (2, 2, 4, 4)
    assert explanation.unresolved.sum() > 0
    again = Explanation.load(explanation.save(tmp_path / "e.safetensors")).select(images=1, outputs=0)
    assert torch.equal(again.unresolved, explanation.unresolved[1:, :1])


def test_the_same_seed_gives_the_same_values_and_the_user_sees_the_progress():
    seen = []
    first = PartitionShap(MODEL, 0.0, max_evals=40, seed=4)(
        IMAGE, progress=lambda done, total: seen.append((done, total))
    )
    assert torch.equal(first.values, PartitionShap(MODEL, 0.0, max_evals=40, seed=4)(IMAGE).values)
    assert seen[-1] == (40, 40)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_without_a_budget_progress_counts_on_and_ends_with_all_done():
    seen = []
    explainer = PartitionShap(MODEL, 0.0, max_evals=None, tolerance=0.2, batch_size=4)
    explanation = explainer(IMAGE.expand(2, -1, -1, -1), progress=lambda *steps: seen.append(steps))
    done = sum(explanation.settings["evaluations"])
    assert seen[-1] == (done, done)
    assert {total for _, total in seen[:-1]} == {0}
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


@pytest.mark.parametrize(("budget", "tree"), [(30, "axis"), (60, "axis"), (60, "regions")])
def test_standard_errors_are_those_of_runs_with_other_coins(budget, tree):
    runs = [PartitionShap(MODEL, 0.0, tree, budget, seed=seed)(IMAGE) for seed in range(40)]
    values, errors = (torch.stack([getattr(run, name) for run in runs]) for name in ("values", "std_errors"))
    off = values - values.mean(0)
    assert off[errors == 0].abs().sum() < 1e-9
    z = off[errors > 0] / errors[errors > 0]
    assert 0.6 < z.square().mean().sqrt() < 1.4


def test_numpy_images_of_whole_numbers_are_explained_as_they_are():
    kinds = set()

    def predict(images):
        kinds.add((images.dtype, images.shape[1:]))
        return images.astype(float).mean((1, 2, 3))

    image = np.arange(5 * 6 * 3, dtype=np.uint8).reshape(5, 6, 3)
    explanation = PartitionShap(predict, 0, max_evals=20)(image)
    assert kinds == {(np.dtype("uint8"), (5, 6, 3))}
    assert explanation.images.max() <= 1
    assert explanation.completeness_gap.abs().max() < 1e-4


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"max_evals": 2}, "at least 3"),
        ({"max_evals": None}, "tolerance"),
        ({"tolerance": 2.0}, "between 0 and 1"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"contexts": 3}, "contexts=3"),
        ({"tree": "oak"}, "'axis', 'regions'"),
        ({"tree": 5}, "not int"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(options, says):
    with pytest.raises(ExplainerError, match=says):
        PartitionShap(MODEL, 0.0, **options)


def test_a_tree_of_another_image_is_refused():
    explainer = PartitionShap(MODEL, 0.0, trees.axis(torch.zeros(1, 3, 4)))
    with pytest.raises(ExplainerError, match="every pixel"):
        explainer(IMAGE)
