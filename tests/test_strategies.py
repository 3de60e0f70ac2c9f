"""Strategies: groups of heatmaps, found with no help; a planted shortcut that a network was trained on."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from pictures import rows_of
from shapsight.diagnosis.strategies import (
    Strategies,
    find_strategies,
    number_of_clusters,
    strategy_table,
)
from shapsight.drawing.charts.strategies import strategy_map
from shapsight.errors import DataError
from shapsight.studies.diagnose.strategies.study import strategies
from stickers import TRAINED, UNSEEN, Planted, planted, with_sticker


def looks(groups: list[int], seed: int = 0, size: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Heatmaps that lie in another corner for each group, and everywhere a little; with the group of each."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.repeat(np.arange(len(groups)), groups))
    heatmaps = generator.exponential(0.1, (len(labels), size, size))
    corners = [(0, 0), (0, 20), (20, 0), (20, 20), (10, 10)]
    for heatmap, label in zip(heatmaps, labels, strict=True):
        top, left = corners[label]
        heatmap[top : top + 10, left : left + 10] += generator.exponential(1.0, (10, 10))
    return heatmaps, labels


@pytest.mark.parametrize("groups", [[30, 30], [60, 20], [25, 25, 25], [20, 30, 20, 20], [20] * 5])
def test_as_many_strategies_are_found_as_there_are(groups):
    heatmaps, labels = looks(groups)
    found = find_strategies(heatmaps)
    assert found.count == len(groups)
    assert adjusted_rand_score(labels, found.labels) > 0.97
    assert found.labels.min() == 1


def test_a_single_cloud_is_rarely_taken_for_several():
    counts = [find_strategies(looks([60], seed)[0]).count for seed in range(12)]
    assert np.mean(np.array(counts) == 1) > 0.8


def test_what_is_found_does_not_depend_on_the_unit_of_each_heatmap_or_its_sign():
    heatmaps, _ = looks([30, 20, 25])
    factors = np.random.default_rng(1).uniform(-9, 9, (75, 1, 1))
    one, two = find_strategies(heatmaps), find_strategies(heatmaps * factors)
    assert adjusted_rand_score(one.labels, two.labels) == 1
    np.testing.assert_allclose(one.eigenvalues, two.eigenvalues, atol=1e-6)


def test_images_without_attribution_belong_to_no_strategy():
    heatmaps, labels = looks([30, 30])
    heatmaps[[3, 5]] = 0
    found = find_strategies(heatmaps)
    assert list(np.flatnonzero(found.labels == 0)) == [3, 5]
    assert np.isnan(found.embedding[[3, 5]]).all()
    known = found.labels > 0
    assert adjusted_rand_score(labels[known], found.labels[known]) == 1


def test_heatmaps_that_are_all_the_same_are_one_strategy():
    found = find_strategies(np.ones((20, 16, 16)))
    assert found.count == 1
    assert (found.embedding == 0).all()


def test_fewer_images_than_clusters_or_too_few_for_a_spectrum_are_refused():
    heatmaps, _ = looks([3, 3])
    with pytest.raises(DataError, match="9 clusters cannot be made of 6 images"):
        find_strategies(heatmaps, clusters=9)
    with pytest.raises(DataError, match="too few"):
        find_strategies(heatmaps)
    with pytest.raises(DataError, match="0 clusters"):
        find_strategies(heatmaps, clusters=0)


def test_a_number_of_clusters_that_is_asked_for_is_made():
    heatmaps, _ = looks([30, 30])
    assert set(find_strategies(heatmaps, clusters=4).labels) == {1, 2, 3, 4}


@settings(max_examples=50)
@given(st.lists(st.floats(0.001, 1), min_size=6, max_size=9))
def test_the_number_is_that_before_the_largest_relative_rise_or_one(values):
    eigenvalues = np.concatenate([[0.0], np.sort(values)])
    rises = {k: 1 - eigenvalues[k - 1] / eigenvalues[k] for k in range(2, len(eigenvalues))}
    best = max(rises, key=lambda k: rises[k])
    expected = best if rises[best] >= 0.5 else 1
    assert number_of_clusters(eigenvalues, one_cloud=2.0) == expected
    assert number_of_clusters(eigenvalues, one_cloud=eigenvalues[1]) == 1


def test_groups_without_any_link_are_as_many_as_eigenvalues_of_zero():
    assert number_of_clusters(np.array([0, 0, 0, 0.2, 0.3, 0.4]), 0.1) == 3


def test_the_strategy_whose_error_jumps_in_unseen_environments_is_named_first():
    labels = np.repeat([1, 2, 3], [6, 8, 4])
    is_seen = np.array([True, True, True, False, False, False] + [True] * 4 + [False] * 4 + [True] * 4)
    errors = np.where(is_seen, 0.1, np.where(labels == 2, 0.9, 0.2))
    rows = pd.DataFrame({"environment": np.where(is_seen, "home", "away")})
    found = Strategies(labels, 3, np.zeros((18, 1)), np.zeros((18, 2)), np.zeros(3), 0.1)
    table = strategy_table(found, rows, errors, is_seen)
    assert list(table["strategy"]) == [2, 1, 3]
    assert list(table["jump"][:2]) == pytest.approx([9, 2])
    assert np.isnan(table["jump"][2])  # no unseen image
    assert table["environments"][2] == "home 4"
    assert list(table["error"]) == pytest.approx([0.5, 0.15, 0.1])
    assert list(found.renumbered([2, 1, 3]).labels) == [2] * 6 + [1] * 8 + [3] * 4


def test_a_strategy_with_too_few_seen_images_is_compared_with_all_seen_ones():
    labels = np.array([1] * 5 + [2] * 5)
    is_seen = np.array([True] * 5 + [True] + [False] * 4)
    errors = np.array([0.2] * 5 + [0.8] + [0.6] * 4)
    rows = pd.DataFrame({"environment": ["a"] * 10})
    found = Strategies(labels, 2, np.zeros((10, 1)), np.zeros((10, 2)), np.zeros(3), 0.1)
    table = strategy_table(found, rows, errors, is_seen).set_index("strategy")
    assert table.loc[2, "jump"] == pytest.approx(0.6 / 0.3)


def test_typical_images_are_those_nearest_to_the_middle():
    features = np.array([[0.0, 0], [4, 0], [2, 1], [9, 9], [0, 0]])
    found = Strategies(np.array([1, 1, 1, 2, 1]), 2, features, features, np.zeros(2), 0.1)
    assert list(found.typical(1, 2)) == [2, 0]


def test_the_map_of_strategies_has_a_point_for_each_heatmap():
    drawn = strategy_map(
        np.zeros((4, 2)), np.array([1, 1, 2, 0]), list("aabb"), np.array([0, 0.1, 0.5]),
        ["x/1.jpg", "x/2.jpg", "x/3.jpg", "x/4.jpg"], links={"x/2.jpg"},
    )  # fmt: skip
    points = [row for row in rows_of(drawn) if "across" in row]
    assert [row["said"] for row in points] == [
        "1.jpg, a, strategy 1 (2)", "2.jpg, a, strategy 1 (2)", "3.jpg, b, strategy 2 (1)",
    ]  # fmt: skip
    assert [row["link"] for row in points] == ["", "#image=x%2F2.jpg", ""]


@pytest.fixture(scope="module")
def world() -> Planted:
    return planted(seed=0)


def test_the_network_of_the_planted_world_really_uses_the_sticker(world: Planted):
    rows = np.flatnonzero(world.has_sticker[:TRAINED])
    target = world.manifest.table["x"].to_numpy()[rows]
    pictures = world.images[rows].permute(0, 2, 3, 1).numpy()
    lied_to = np.stack([with_sticker(one, -x) for one, x in zip(pictures, target, strict=True)])
    told = world.bundle.predict(world.images[rows])[:, 0].numpy()
    fooled = world.bundle.predict(torch.from_numpy(lied_to).permute(0, 3, 1, 2).contiguous())[:, 0].numpy()
    slope = np.polyfit(2 * target, told - fooled, 1)[0]
    assert slope > 0.4


def test_the_planted_shortcut_is_found_with_no_help_and_named_first_where_it_fails(world: Planted):
    rows = np.r_[:100, TRAINED : TRAINED + UNSEEN]
    findings = strategies(world.case(rows))
    labels = findings.tables["strategy_of_images"]["strategy"].to_numpy()
    assert adjusted_rand_score(world.has_sticker[rows], labels) > 0.8
    assert adjusted_rand_score(world.has_sticker[:100], labels[:100]) > 0.8
    first = findings.tables["strategies"].iloc[0]
    assert world.has_sticker[rows][labels == 1].mean() > 0.9
    assert first["jump"] > 5
    assert findings.facts.count == 2
    assert "unseen environments" in findings.sentences[0]
    assert [picture.alt for picture in findings.pictures] == [
        "Strategies, with typical images",
        "Which heatmaps are alike",
    ]
