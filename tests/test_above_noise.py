"""What PartitionSHAP's plots draw: nodes whose halves the coins' noise does not tell apart are one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from partition_games import Squares
from pictures import drawn_texts, heat_of
from shapsight import Explanation, PartitionShap
from shapsight.attribution.explanation.heatmaps import atlas, image_plot
from shapsight.errors import ExplainerError

IMAGE = torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(5), dtype=torch.float64) + 0.2
MODEL = Squares(256)


@pytest.fixture(scope="module")
def explanation() -> Explanation:
    return PartitionShap(MODEL, 0.0, max_evals=200)(IMAGE.expand(2, -1, -1, -1))


@pytest.mark.parametrize("tree", ["axis", "regions"])
@pytest.mark.parametrize("budget", [60, 150, 500])
def test_nothing_is_averaged_where_every_coin_says_the_same(tree, budget):
    weights = torch.randn(256, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = PartitionShap(
        lambda images: images.reshape(len(images), -1) @ weights.numpy(), 0.0, tree, budget
    )(IMAGE)
    torch.testing.assert_close(found.above_noise, found.heatmap(), rtol=1e-9, atol=1e-12)


def test_what_coins_alone_bring_in_is_drawn_flat():
    # The model counts the visible pixels, so by symmetry all have the same Owen value, and coins are all that differs.
    values, drawn, areas = [], [], []
    for seed in range(24):
        worth = np.concatenate([[0], np.random.default_rng(seed).normal(0.1, 1, 256).cumsum()])
        found = PartitionShap(
            lambda images, worth=worth: worth[(images > 0).sum((1, 2, 3))], 0.0, "axis", 500, seed=seed
        )(torch.ones(1, 16, 16))
        values.append(found.heatmap().std().item())
        drawn.append(found.above_noise.std().item())
        areas.append([len(map_.round(decimals=9).unique()) for map_ in (found.heatmap(), found.above_noise)])
    assert np.mean(drawn) < 0.25 * np.mean(values)
    # Of the hundred or more nodes of an image hardly one is told apart at 3 standard errors.
    many, few = np.median(areas, axis=0)
    assert many > 100 and few <= 3


def test_a_difference_far_beyond_the_noise_is_drawn():
    # One corner counts by itself, and the rest only together.
    def predict(images):
        rest = images[:, 4:, 4:].mean((1, 2, 3))
        return 5 * images[:, :4, :4].mean((1, 2, 3)) + np.sin(20 * rest)

    found = PartitionShap(predict, 0.0, "axis", 300)(torch.ones(1, 16, 16))
    corner = torch.zeros(16, 16, dtype=torch.bool)
    corner[:4, :4] = True
    assert found.above_noise[0, 0][corner].sum().item() == pytest.approx(5, rel=0.1)


def test_it_is_saved_loaded_selected_scaled_and_joined_and_dropped_where_it_does_not_hold(
    explanation, tmp_path
):
    drawn = explanation.above_noise
    assert (drawn - explanation.heatmap()).abs().max() > 1e-3  # something is averaged
    again = Explanation.load(explanation.save(tmp_path / "whole.safetensors"))
    assert torch.equal(again.above_noise, drawn)
    half = Explanation.load(explanation.save(tmp_path / "half.safetensors", dtype="float16"))
    torch.testing.assert_close(half.above_noise, drawn, rtol=1e-3, atol=1e-3 * drawn.abs().max().item())
    assert torch.equal(explanation.select(1, 0).above_noise, drawn[1:, :1])
    torch.testing.assert_close((-3 * explanation).above_noise, -3 * drawn)
    both = Explanation.concatenate([explanation[:1], explanation[1:]])
    assert torch.equal(both.above_noise, drawn)
    torch.testing.assert_close(torch.from_numpy(explanation.to_xarray().above_noise.values), drawn)
    for order in (1, -1):
        parts = [explanation, PartitionShap(MODEL, 0.0, max_evals=200, contexts="both")(IMAGE)]
        without = [parts[0].select(0), Explanation(**{**vars(parts[0].select(0)), "above_noise": None})]
        assert Explanation.concatenate(without[::order]).above_noise is None
    assert parts[1].above_noise is None
    assert (explanation - explanation).above_noise is None and (explanation + explanation).above_noise is None


def test_plots_draw_it_and_say_so_unless_told_not_to(explanation, monkeypatch):
    per_area = 256 / 100
    for hides, expected in ((True, explanation.above_noise), (False, explanation.heatmap())):
        figure = image_plot(explanation, hide_noise=hides)
        np.testing.assert_allclose(heat_of(figure.axes[1]), expected[0, 0] * per_area, rtol=1e-5)
        said = " ".join(text.get_text() for text in drawn_texts(figure, monkeypatch))
        assert ("sampling noise" in said) is hides
        figure = atlas(explanation, hide_noise=hides)
        np.testing.assert_allclose(
            heat_of(figure.axes[1]), expected[:, 0].abs().mean(0) * per_area, rtol=1e-5
        )
    whole, parts = (explanation.overlay(hide_noise=hides).astype(int) for hides in (True, False))
    assert np.abs(whole - parts).max() > 10


def test_values_stay_as_they_are_unless_the_drawn_ones_are_asked_for(explanation):
    torch.testing.assert_close(explanation.heatmap(), explanation.values.sum(2))
    assert torch.equal(explanation.heatmap(hide_noise=True), explanation.above_noise)
    with pytest.raises(ExplainerError, match="hide_noise goes with reduce='sum', not with 'abs'"):
        explanation.heatmap("abs", hide_noise=True)


def test_the_region_tree_is_the_default():
    assert PartitionShap(MODEL, 0.0, max_evals=9)(IMAGE).settings["tree"] == "regions"
