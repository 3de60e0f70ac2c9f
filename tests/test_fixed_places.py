"""Signs of a scene without a region: attribution that stays, and attribution on what never varies."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shapsight.diagnosis.cell_shares import cell_shares
from shapsight.diagnosis.fixed_places import same_place, still_parts, target_groups


def spots(columns: np.ndarray, size: int = 32) -> np.ndarray:
    """Heatmaps (images, size, size) with one bright column each."""
    heatmaps = np.zeros((len(columns), size, size))
    heatmaps[np.arange(len(columns)), :, columns] = 1.0
    return heatmaps


@given(st.integers(1, 40), st.integers(1, 20))
def test_cells_share_all_of_the_attribution(side, cells):
    heatmaps = np.random.default_rng(side).standard_normal((2, side, side + 3))
    shares = cell_shares(heatmaps, cells)
    assert shares.shape == (2, min(side, cells), min(side + 3, cells))
    np.testing.assert_allclose(shares.sum((1, 2)), 1)


def test_cells_are_sums_of_their_pixels_and_unknown_without_attribution():
    heatmap = np.arange(16.0).reshape(1, 4, 4)
    expected = np.array([[10, 18], [42, 50]]) / 120
    np.testing.assert_allclose(cell_shares(-heatmap, 2)[0], expected)
    assert np.isnan(cell_shares(np.zeros((1, 4, 4)), 2)).all()


@given(st.lists(st.floats(-1, 1), min_size=3, max_size=40, unique=True))
def test_groups_of_targets_are_in_order_and_of_equal_size(values):
    target = np.array(values)
    groups = target_groups(target)
    sizes = np.bincount(groups, minlength=3)
    assert sizes.max() - sizes.min() <= 1
    assert (np.diff(groups[np.argsort(target)]) >= 0).all()


def test_a_target_that_never_varies_makes_no_groups():
    assert (target_groups(np.ones(8)) == -1).all()
    overlap, shuffled = same_place(np.ones((8, 4, 4)), target_groups(np.ones(8)))
    assert np.isnan(overlap)
    assert np.isnan(shuffled).all()


def test_attribution_that_never_moves_overlaps_fully_and_one_that_follows_the_target_not_at_all():
    target = np.linspace(-1, 1, 30)
    fixed, shuffled = same_place(spots(np.full(30, 7)), target_groups(target))
    assert fixed == pytest.approx(1)
    assert shuffled == pytest.approx(1)
    follows = spots(np.digitize(target, [-0.34, 0.34]) * 12)
    moving, shuffled = same_place(follows, target_groups(target))
    assert moving == pytest.approx(0)
    assert shuffled.min() > 0.3


def test_the_overlap_of_a_half_common_attribution_is_one_half():
    target = np.linspace(-1, 1, 30)
    moving = spots(np.digitize(target, [-0.34, 0.34]) * 12) + spots(np.full(30, 6))
    overlap, _ = same_place(moving, target_groups(target))
    assert overlap == pytest.approx(0.5)


def test_shuffled_targets_overlap_as_independent_ones_do():
    generator = np.random.default_rng(0)
    ranks = []
    for draw in range(60):
        heatmaps = generator.random((24, 16, 16)) ** 8
        overlap, shuffled = same_place(heatmaps, target_groups(generator.random(24)), draws=99, seed=draw)
        ranks.append((shuffled < overlap).mean())
    assert 0.35 < np.mean(ranks) < 0.65
    assert (np.array(ranks) < 0.05).mean() < 0.15


def test_groups_of_fewer_than_three_images_are_left_out():
    groups = np.array([0, 0, 0, 1, 1])
    assert np.isnan(same_place(np.ones((5, 4, 4)), groups)[0])
    assert same_place(np.ones((6, 4, 4)), np.array([0, 0, 0, 1, 1, 1]))[0] == pytest.approx(1)


def test_still_parts_are_those_that_do_not_vary():
    images = np.random.default_rng(0).integers(0, 256, (20, 3, 12, 12), dtype=np.uint8)
    images[:, :, :3] = 90  # the car's own bonnet
    still, variation = still_parts(images)
    assert still[:3].all()
    assert not still[3:].any()
    assert variation == 0
    _, least = still_parts(images[:, :, 3:])
    assert least > 0.2  # noise has a standard deviation of 0.29
