"""Shares of the variance over a crossed design: closed forms, and the Shapley values of a game of two players."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from shapsight.diagnosis.crossed import scene_share_interval, variance_shares
from shapsight.errors import DataError

DESIGNS = st.tuples(st.integers(2, 6), st.integers(2, 6)).flatmap(
    lambda shape: arrays(float, shape, elements=st.integers(-50, 50).map(float))
)


@given(DESIGNS)
def test_the_shares_are_the_shapley_values_of_knowing_region_and_scene(design: np.ndarray):
    total = design.var()
    shares = variance_shares(design)
    if total == 0:
        assert np.isnan(shares.scene)
        return
    knows = {"": 0.0, "r": design.mean(1).var(), "s": design.mean(0).var(), "rs": total}
    region = (knows["r"] - knows[""] + knows["rs"] - knows["s"]) / 2
    scene = (knows["s"] - knows[""] + knows["rs"] - knows["r"]) / 2
    assert shares.region == pytest.approx(region / total, abs=1e-9)
    assert shares.scene == pytest.approx(scene / total, abs=1e-9)
    assert shares.variance == pytest.approx(total)


@given(DESIGNS)
def test_shares_sum_to_one_and_swap_with_the_players(design: np.ndarray):
    shares, other = variance_shares(design), variance_shares(design.T)
    if np.isnan(shares.scene):
        return
    assert shares.region + shares.scene == pytest.approx(1)
    assert shares.region_alone + shares.scene_alone + shares.together == pytest.approx(1)
    assert min(shares.region_alone, shares.scene_alone, shares.together) > -1e-12
    assert other.region == pytest.approx(shares.scene, abs=1e-9)


def test_what_adds_up_has_no_interaction():
    shares = variance_shares(np.add.outer([0.0, 1.0], [0.0, 2.0]))
    assert (shares.region, shares.scene, shares.together) == pytest.approx((0.2, 0.8, 0.0))


def test_a_product_of_centred_parts_is_interaction_alone_and_is_shared_evenly():
    shares = variance_shares(np.multiply.outer([-1.0, 1.0], [-3.0, 0.0, 3.0]))
    assert (shares.region, shares.scene, shares.together) == pytest.approx((0.5, 0.5, 1.0))


def test_variances_of_several_outputs_are_added():
    generator = np.random.default_rng(0)
    first, second = generator.normal(size=(5, 4)), 3 * generator.normal(size=(5, 4))
    both = variance_shares(np.stack([first, second], -1))
    parts = [variance_shares(design) for design in (first, second)]
    weights = np.array([part.variance for part in parts])
    assert both.variance == pytest.approx(weights.sum())
    assert both.scene == pytest.approx((weights * [part.scene for part in parts]).sum() / weights.sum())


def test_constant_predictions_have_no_shares():
    shares = variance_shares(np.full((3, 3), 0.7))
    assert shares.variance == pytest.approx(0)
    assert np.isnan([shares.region, shares.scene, shares.together]).all()
    assert np.isnan(scene_share_interval(np.full((3, 3), 0.7))).all()


def test_the_interval_holds_the_share_of_the_world_that_the_design_was_drawn_from():
    generator = np.random.default_rng(1)
    inside = 0
    for draw in range(100):
        regions, scenes = generator.normal(size=20), 0.5 * generator.normal(size=20)
        design = np.add.outer(regions, scenes) + 0.3 * generator.normal(size=(20, 20))
        low, high = scene_share_interval(design, resamples=200, seed=draw)
        inside += low <= (0.25 + 0.09 / 2) / (1 + 0.25 + 0.09) <= high
    assert inside >= 85


@pytest.mark.parametrize("design", [np.zeros((1, 4)), np.zeros(3), np.array([[0.0, np.nan], [1.0, 2.0]])])
def test_designs_that_cannot_be_shared_out_are_refused(design: np.ndarray):
    with pytest.raises(DataError):
        variance_shares(design)
