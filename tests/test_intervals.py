"""The bootstrap: percentile intervals as scipy gives them, for a mean, a ratio of means and a crossed design."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.stats import bootstrap

from shapsight.diagnosis import intervals
from shapsight.diagnosis.intervals import (
    drawn_counts,
    drawn_pairs,
    drawn_rows,
    interval,
    mean_with_interval,
    ratio_with_interval,
)

MANY = 20_000  # draws, so that two independent sets of them have the same ends to within a few thousandths


def generator() -> np.random.Generator:
    return np.random.default_rng(3)


@pytest.fixture
def values() -> np.ndarray:
    return np.random.default_rng(0).gamma(2.0, size=40)


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_the_interval_of_a_mean_is_that_of_scipy(values, level):
    mean, low, high = mean_with_interval(values, generator(), resamples=MANY, level=level)
    theirs = bootstrap(
        (values,), np.mean, n_resamples=MANY, confidence_level=level, method="percentile", rng=generator()
    ).confidence_interval
    assert mean == values.mean()
    assert (low, high) == pytest.approx(tuple(theirs), abs=0.01)


def test_the_interval_of_a_ratio_of_means_is_that_of_scipy(values):
    under = 1 + values + np.random.default_rng(1).random(40)
    ratio, low, high = ratio_with_interval(values, under, generator(), resamples=MANY)
    theirs = bootstrap(
        (values, under),
        lambda over, below, axis: over.mean(axis) / below.mean(axis),
        paired=True,
        n_resamples=MANY,
        method="percentile",
        rng=generator(),
    ).confidence_interval
    assert ratio == pytest.approx(values.sum() / under.sum())
    assert (low, high) == pytest.approx(tuple(theirs), abs=0.005)


def test_counts_and_rows_are_the_same_kind_of_draw(values):
    by_rows = np.concatenate([values[rows].mean(1) for rows in drawn_rows(40, generator(), MANY)])
    by_counts = np.concatenate([some @ values / 40 for some in drawn_counts(40, generator(), MANY)])
    assert len(by_rows) == len(by_counts) == MANY
    assert interval(by_rows) == pytest.approx(interval(by_counts), abs=0.02)


def test_kinds_are_drawn_by_their_shares():
    drawn = np.concatenate(list(drawn_counts(10, generator(), 5000, shares=np.array([0.2, 0.8]))))
    assert (drawn.sum(1) == 10).all() and drawn[:, 0].mean() == pytest.approx(2, abs=0.05)


def test_many_images_are_drawn_a_few_draws_at_a_time_and_the_same(monkeypatch, values):
    whole = mean_with_interval(values, generator(), resamples=100)
    monkeypatch.setattr(intervals, "CHUNK", 7 * len(values))
    assert [len(some) for some in drawn_counts(len(values), generator(), 16)] == [7, 7, 2]
    assert mean_with_interval(values, generator(), resamples=100) == pytest.approx(whole, rel=1e-12)


def test_rows_and_columns_of_a_crossed_design_are_drawn_on_their_own():
    drawn = list(drawn_pairs((3, 5), generator(), 2000))
    assert {len(rows) for rows, _ in drawn} == {3} and {len(columns) for _, columns in drawn} == {5}
    first, other = (np.array([pair[side][0] for pair in drawn]) for side in (0, 1))
    assert abs(np.corrcoef(first, other)[0, 1]) < 0.07


def test_what_has_no_interval_has_none_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        alone = mean_with_interval(np.array([2.0, np.nan]), generator())
        nothing = mean_with_interval(np.array([np.nan]), generator())
        over_nothing = ratio_with_interval(np.ones(3), np.zeros(3), generator())
    assert alone[0] == 2 and np.isnan(alone[1:]).all()
    assert np.isnan(nothing).all() and np.isnan(over_nothing).all()


def test_draws_that_are_not_defined_are_left_out():
    assert interval(np.array([np.nan, 1.0, 1.0])) == (1.0, 1.0)
