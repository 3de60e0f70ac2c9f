"""Where attribution lies, against closed forms and brute force."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from explanations import made
from shapsight.diagnosis.concentration import area_of_attribution, attribution_entropy
from shapsight.diagnosis.relevance import (
    pointing_game,
    relevance_mass_accuracy,
    relevance_rank_accuracy,
)
from shapsight.diagnosis.relevance_measures import (
    MEASURES,
    NAMES,
    measures_per_environment,
    measures_per_image,
)
from shapsight.errors import DataError

SIZE = (6, 5)
HEATS = arrays(float, (1, 1, 4, 5), elements=st.floats(-9, 9).map(lambda value: round(value, 1)))
MASKS = arrays(bool, (1, 4, 5))


def rows_of(environments: list[str], split: str = "unseen") -> pd.DataFrame:
    paths = [f"{number}.jpg" for number in range(len(environments))]
    return pd.DataFrame({"path": paths, "environment": environments, "split": split})


def halves(count: int) -> np.ndarray:
    masks = np.zeros((count, *SIZE), bool)
    masks[:, 3:] = True
    return masks


@given(HEATS, MASKS)
def test_every_share_lies_between_0_and_1_and_all_are_the_same_for_the_heatmap_in_another_unit(heat, mask):
    for measure in (relevance_mass_accuracy, relevance_rank_accuracy, pointing_game):
        share = measure(heat, mask)[0, 0]
        assert np.isnan(share) or 0 <= share <= 1
        np.testing.assert_allclose(measure(-4 * heat, mask)[0, 0], share)
    for measure in (attribution_entropy, area_of_attribution):
        value = measure(heat)[0, 0]
        assert np.isnan(value) == (not heat.any())
        assert np.isnan(value) or -1e-12 <= value <= 1 + 1e-12
        np.testing.assert_allclose(measure(-4 * heat), measure(heat))


@given(HEATS, MASKS)
def test_inside_and_outside_share_all_of_the_attribution(heat, mask):
    for measure in (relevance_mass_accuracy, pointing_game):
        both = measure(heat, mask) + measure(heat, ~mask)
        np.testing.assert_allclose(both[heat.any(axis=(2, 3))], 1)


@given(HEATS, MASKS)
def test_rank_accuracy_is_the_mean_over_all_orders_of_tied_pixels(heat, mask):
    values, inside = np.abs(heat[0, 0]).ravel(), mask[0].ravel()
    count = int(inside.sum())
    share = relevance_rank_accuracy(heat, mask)[0, 0]
    if not count or not values.any():
        assert np.isnan(share)
        return
    draws = [
        inside[np.lexsort((np.random.default_rng(draw).random(20), -values))[:count]].mean()
        for draw in range(400)
    ]
    assert share == pytest.approx(np.mean(draws), abs=0.12)
    generator = np.random.default_rng(0)
    distinct = values + generator.random(20) * 1e-6
    best = inside[np.argsort(-distinct)[:count]].mean()
    assert relevance_rank_accuracy(distinct.reshape(heat.shape), mask)[0, 0] == pytest.approx(best)


@given(MASKS)
def test_an_even_heatmap_scores_chance_in_every_measure(mask):
    even = np.full((1, 1, 4, 5), -0.3)
    for measure in (relevance_mass_accuracy, pointing_game):
        assert measure(even, mask)[0, 0] == pytest.approx(mask.mean())
    if mask.any():
        assert relevance_rank_accuracy(even, mask)[0, 0] == pytest.approx(mask.mean())
    assert attribution_entropy(even)[0, 0] == pytest.approx(1)
    assert area_of_attribution(even)[0, 0] == pytest.approx(0.9)


@pytest.mark.parametrize("pixels", [1, 2, 5, 20])
def test_entropy_and_area_of_a_few_even_pixels_are_their_logarithm_and_number(pixels):
    heat = np.zeros((1, 1, 4, 5))
    heat.flat[:pixels] = 2.0
    assert attribution_entropy(heat)[0, 0] == pytest.approx(np.log(pixels) / np.log(20))
    assert area_of_attribution(heat)[0, 0] == pytest.approx(0.9 * pixels / 20)
    assert area_of_attribution(heat, 0.5)[0, 0] == pytest.approx(0.5 * pixels / 20)


@given(HEATS)
def test_the_area_is_the_fewest_pixels_of_any_choice(heat):
    sizes = np.abs(heat[0, 0]).ravel()[:10]
    if not sizes.any():
        return
    small = sizes.reshape(1, 1, 2, 5)
    fewest = next(
        count
        for count in range(1, 11)
        if any(sum(c) >= 0.9 * sizes.sum() * (1 - 1e-12) for c in itertools.combinations(sizes, count))
    )
    assert np.ceil(area_of_attribution(small)[0, 0] * 10 - 1e-9) == fewest


def test_a_share_of_the_attribution_that_is_none_is_refused():
    with pytest.raises(DataError, match="carried"):
        area_of_attribution(np.ones((1, 1, 2, 2)), 1.0)


def test_the_most_important_of_uneven_heatmaps_by_hand():
    heat = np.array([[[[5.0, -9.0], [1.0, 0.0]]]])
    mask = np.array([[[True, False], [True, False]]])
    assert pointing_game(heat, mask)[0, 0] == 0
    assert relevance_rank_accuracy(heat, mask)[0, 0] == 0.5
    assert relevance_mass_accuracy(heat, mask)[0, 0] == pytest.approx(6 / 15)


def test_absolute_mass_accuracy_is_the_mean_of_its_positive_and_negative_parts_by_their_mass():
    explanation = made(channels=3)
    masks = halves(3)
    table = measures_per_image(explanation, rows_of(["a"] * 3), masks)
    positive = explanation.heatmap("positive").sum((2, 3)).flatten().numpy()
    whole = explanation.heatmap("abs").sum((2, 3)).flatten().numpy()
    mixed = (
        table["mass_accuracy_positive"] * positive + table["mass_accuracy_negative"] * (whole - positive)
    ) / whole
    np.testing.assert_allclose(mixed, table["mass_accuracy"], rtol=1e-5)


def test_the_table_names_each_images_own_outputs_and_the_size_of_its_region():
    masks = halves(3)
    masks[1, :4] = True
    table = measures_per_image(made(), rows_of(["a", "a", "b"]), masks)
    assert list(table["output"]) == ["cow", "ant", "ant", "cow", "cow", "dog"]
    assert list(table["region"].dropna()) == [0.5, 0.5, 0.5, 0.5]  # the second image's region is everything
    assert table.loc[2, list(NAMES[:5])].isna().all()
    assert table.loc[2, ["entropy", "area"]].notna().all()


@pytest.mark.parametrize("fill", [False, True])
def test_regions_that_are_empty_or_everything_leave_only_the_measures_without_region(fill):
    table = measures_per_image(made(), rows_of(["a"] * 3), np.full((3, *SIZE), fill))
    summary = measures_per_environment(table)
    assert set(summary["measure"]) == {"entropy", "area"}
    assert set(measures_per_environment(measures_per_image(made(), rows_of(["a"] * 3), None))["measure"]) == {
        "entropy", "area",
    }  # fmt: skip


def test_masks_or_rows_of_another_size_are_refused_with_both_sizes():
    with pytest.raises(DataError, match=r"\(3, 7, 5\).*\(3, 6, 5\)"):
        measures_per_image(made(), rows_of(["a"] * 3), np.ones((3, 7, 5), bool))
    with pytest.raises(DataError, match="2 rows"):
        measures_per_image(made(), rows_of(["a"] * 2), None)


def test_environments_get_their_mean_interval_and_chance_and_a_pool_of_all_classes():
    index = torch.randint(0, 4, (40, 1), generator=torch.Generator().manual_seed(1))
    rows = rows_of(["a"] * 25 + ["b"] * 15)
    table = measures_per_image(made(index), rows, halves(40))
    summary = measures_per_environment(table, pooled="any class", seed=3).set_index(
        ["environment", "output", "measure"]
    )
    for measure in MEASURES:
        row = summary.loc[("a", "any class", measure.name)]
        values = table.loc[table["environment"] == "a", measure.name]
        assert row["value"] == pytest.approx(values.mean())
        if measure.name != "pointing_game":
            assert row["low"] < row["value"] < row["high"]
            error = values.std() / 5
            assert row["high"] - row["low"] == pytest.approx(2 * 1.96 * error, rel=0.25)
        assert row["chance"] == (0.5 if measure.chance is None else measure.chance)
    assert summary.loc[("all", "any class", "area"), "images"] == 40
    assert summary.loc[("a", "ant", "area"), "images"] == (index[:25] == 0).sum()


def test_a_class_that_an_environment_lacks_has_no_row_there():
    index = torch.tensor([[0], [0], [1]])
    table = measures_per_environment(measures_per_image(made(index), rows_of(["a", "a", "b"]), halves(3)))
    seen = set(zip(table["environment"], table["output"], strict=True))
    assert seen == {("a", "ant"), ("b", "bee")}


def test_the_control_is_the_mean_of_the_copies_and_its_range():
    rows = rows_of(["a"] * 4)
    masks = halves(4)
    index = torch.zeros(4, 1, dtype=torch.long)
    table = measures_per_image(made(index), rows, masks)
    copies = [measures_per_image(made(index), rows, masks).assign(copy=number) for number in range(3)]
    summary = measures_per_environment(table, randomised=pd.concat(copies)).set_index("measure")
    for name in NAMES:
        means = [copied[name].mean() for copied in copies]
        assert summary.loc[name, "randomised"] == pytest.approx(np.mean(means))
        assert summary.loc[name, "randomised_low"] == pytest.approx(min(means))
        assert summary.loc[name, "randomised_high"] == pytest.approx(max(means))


def test_intervals_cover_the_true_mean_about_as_often_as_they_say():
    generator = np.random.default_rng(0)
    covered = []
    for draw in range(100):
        shares = generator.beta(2, 5, size=60)
        table = pd.DataFrame(
            {"path": "", "environment": "a", "split": "unseen", "output": "x", "region": 0.5}, range(60)
        )
        table = table.assign(**dict.fromkeys(NAMES, shares))
        row = measures_per_environment(table, resamples=200, seed=draw).iloc[0]
        covered.append(row["low"] <= 2 / 7 <= row["high"])
    assert 0.87 <= np.mean(covered) <= 1
