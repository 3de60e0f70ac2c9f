"""Where GradientShap takes gradients: references by their weight, evenly along the way, with an honest error."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shapsight.attribution.positions import Samples, gauss, left, spread
from shapsight.errors import ExplainerError


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def of_references(samples, count):
    """The summed weight of each reference's samples."""
    return torch.zeros(count, dtype=torch.float64).index_add_(0, samples.reference, samples.weight)


@settings(deadline=None)
@given(count=st.integers(1, 120), references=st.integers(1, 50), seed=st.integers(0, 99))
def test_every_reference_is_used_equally_often_and_weighs_the_same(count, references, seed):
    samples = spread(count, references, generator(seed))
    used = samples.reference.bincount(minlength=references)
    assert len(samples) == count
    assert used.max() - used.min() <= 1
    weight = of_references(samples, references)
    torch.testing.assert_close(
        weight[used > 0], torch.full_like(weight[used > 0], 1 / min(count, references))
    )


@settings(deadline=None)
@given(count=st.integers(1, 120), references=st.integers(1, 50), seed=st.integers(0, 99))
def test_every_equal_part_of_a_path_holds_one_sample(count, references, seed):
    samples = spread(count, references, generator(seed))
    for reference in range(references):
        positions = samples.position[samples.reference == reference]
        assert (positions * len(positions)).floor().tolist() == list(range(len(positions)))


weights_of_references = st.lists(st.sampled_from([0.0, 0.01, 0.3, 1.0, 1.0, 5.0]), min_size=1, max_size=30)


@settings(deadline=None)
@given(
    count=st.integers(1, 120),
    weights=weights_of_references.filter(lambda w: sum(w) > 0),
    seed=st.integers(0, 99),
)
def test_references_get_samples_in_proportion_to_their_weight_and_keep_it(count, weights, seed):
    weights = torch.tensor(weights, dtype=torch.float64) / sum(weights)
    samples = spread(count, len(weights), generator(seed), weights)
    used = samples.reference.bincount(minlength=len(weights))
    share = count * weights
    assert len(samples) == count
    assert not used[weights == 0].any()
    assert ((used - share).abs() < 2).all()
    torch.testing.assert_close(samples.weight.sum().item(), 1.0)
    whole = share >= 1
    if 0 < share[~whole].sum() < 1:  # then the least of the others is drawn with them
        whole[share.where(whole, torch.inf).argmin()] = False
    torch.testing.assert_close(of_references(samples, len(weights))[whole], weights[whole])


@pytest.mark.parametrize("count", [1, 4, 30])
def test_a_reference_with_less_than_a_sample_is_drawn_as_often_as_it_weighs(count):
    weights = torch.tensor([0.62, 0.2, 0.1, 0.05, 0.03, 0.0], dtype=torch.float64)
    found = torch.stack([of_references(spread(count, 6, generator(s), weights), 6) for s in range(1000)])
    error = found.std(0) / 1000**0.5
    assert ((found.mean(0) - weights).abs() <= 4 * error + 1e-12).all()


def test_samples_of_a_segment_are_evenly_spaced_and_segments_are_not_tied():
    samples = spread(8, 1, generator())
    assert samples.ends == (4, 8)
    steps = samples.position.diff() * 8
    torch.testing.assert_close(steps[:3], torch.ones(3, dtype=torch.float64))
    assert abs(steps[3] - 1) > 1e-3


def test_positions_of_single_samples_are_spread_over_the_references():
    positions = spread(40, 40, generator()).position.sort().values
    assert (positions * 40).floor().tolist() == list(range(40))


def squares(samples: Samples, found):
    """Sums of squares of the fine and the coarse contrasts, and the variance of each value, written out."""
    sums = torch.zeros(2, len(samples.ends), *found.shape[1:], dtype=torch.float64)
    for kind in range(2):
        sums[kind].index_add_(0, samples.segment, samples.contrasts[kind].unsqueeze(1) * found)
    fine, coarse = sums.square().sum(1)
    common = (samples.contrasts[2].unsqueeze(1) * found).sum(0)
    return fine, coarse, left(fine.sum(), coarse.sum()) * (fine - common.square())


def integrand(kind, references, values=50, grid=1024):
    """Values at any reference and position: without memory, as a random walk, or smooth with a common drift."""
    steps = torch.randn(references, grid, values, generator=generator(7), dtype=torch.float64)
    if kind == "white":
        return steps
    if kind == "walk":
        return steps.cumsum(1) / grid**0.5
    position = (torch.arange(grid, dtype=torch.float64) + 0.5).view(-1, 1) / grid
    speed = 3 * torch.rand(values, generator=generator(8), dtype=torch.float64)
    return (speed * position + 6.28 * steps[:, :1]).sin() + 2 * position


def claimed_and_true(kind, count, references, weights=None):
    """The standard error that samples claim, the true one, and the mean error, over 50 seeds."""
    function = integrand(kind, references)
    shares = torch.ones(references, dtype=torch.float64) if weights is None else weights
    truth = torch.einsum("r,rv->v", shares / shares.sum(), function.mean(1))
    errors, variances = [], []
    for seed in range(50):
        samples = spread(count, references, generator(seed), weights)
        found = function[samples.reference, (samples.position * function.shape[1]).long()]
        errors.append((samples.weight.unsqueeze(1) * found).sum(0) - truth)
        variances.append(squares(samples, found)[2])
    errors = torch.stack(errors)
    return torch.stack(variances).mean().sqrt(), *(e.square().mean().sqrt() for e in (errors, errors.mean(0)))


@pytest.mark.parametrize("kind", ["white", "walk", "smooth"])
@pytest.mark.parametrize("count,references", [(200, 50), (100, 25), (110, 25), (175, 25), (80, 4), (96, 1)])
def test_with_four_samples_for_each_reference_the_standard_error_is_right(count, references, kind):
    claimed, true, bias = claimed_and_true(kind, count, references)
    assert 0.85 < claimed / true < 1.15
    assert bias < 1.5 * true / 50**0.5


@pytest.mark.parametrize("kind", ["white", "walk", "smooth"])
@pytest.mark.parametrize("count", [50, 100, 175])
def test_with_weights_the_standard_error_is_near_and_the_estimate_unbiased(count, kind):
    weights = (0.7 * torch.randn(25, generator=generator(9), dtype=torch.float64)).exp()
    claimed, true, bias = claimed_and_true(kind, count, 25, weights)
    assert 0.8 < claimed / true < 1.5
    assert bias < 1.5 * true / 50**0.5


@pytest.mark.parametrize("kind", ["white", "walk", "smooth"])
@pytest.mark.parametrize("count", [2, 15, 25, 40, 49, 50, 75])
def test_with_fewer_samples_the_standard_error_is_assumed(count, kind):
    claimed, true, bias = claimed_and_true(kind, count, 25)
    assert 0.6 < claimed / true < 2
    assert bias < 1.5 * true / 50**0.5


def test_gauss_points_are_exact_for_polynomials():
    samples = gauss(12, 4)
    for power in range(6):
        torch.testing.assert_close((samples.weight * samples.position**power).sum().item(), 1 / (power + 1))
    assert not samples.has_variance
    with pytest.raises(ExplainerError, match="no multiple of 5 references"):
        gauss(12, 5)
    weights = torch.tensor([1.0, 0.0, 2.0, 5.0])
    torch.testing.assert_close(of_references(gauss(12, 4, weights), 4), weights.double() / 8)
