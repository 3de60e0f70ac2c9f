"""Where GradientShap takes gradients: every reference equally often, evenly along the way, with an honest error."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shapsight.attribution.positions import BLOCK, gauss, spread
from shapsight.errors import ExplainerError


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@given(count=st.integers(1, 120), references=st.integers(1, 50), seed=st.integers(0, 99))
def test_every_reference_is_used_equally_often_and_weighs_the_same(count, references, seed):
    samples = spread(count, references, generator(seed))
    used = samples.reference.bincount(minlength=references)
    assert len(samples) == count
    assert used.max() - used.min() <= 1
    weight = torch.zeros(references, dtype=torch.float64).index_add_(0, samples.reference, samples.weight)
    torch.testing.assert_close(
        weight[used > 0], torch.full_like(weight[used > 0], 1 / min(count, references))
    )


@given(count=st.integers(1, 120), references=st.integers(1, 50), seed=st.integers(0, 99))
def test_every_equal_part_of_a_path_holds_one_sample(count, references, seed):
    samples = spread(count, references, generator(seed))
    for reference in range(references):
        positions = samples.position[samples.reference == reference]
        assert (positions * len(positions)).floor().tolist() == list(range(len(positions)))


def test_samples_of_a_block_are_evenly_spaced_and_blocks_are_not_tied():
    positions = spread(2 * BLOCK, 1, generator()).position
    steps = positions.diff() * 2 * BLOCK
    torch.testing.assert_close(steps[: BLOCK - 1], torch.ones(BLOCK - 1, dtype=torch.float64))
    assert abs(steps[BLOCK - 1] - 1) > 1e-3


def test_positions_of_single_samples_are_spread_over_the_references():
    positions = spread(40, 40, generator()).position.sort().values
    assert (positions * 40).floor().tolist() == list(range(40))


@pytest.mark.parametrize(
    "count,references", [(40, 10), (40, 1), (200, 2), (10, 40), (10, 10), (15, 10), (19, 10)]
)
@pytest.mark.parametrize("kind", ["rough", "smooth"])
def test_the_standard_error_is_not_too_small_and_the_estimate_unbiased(count, references, kind):
    """Against the exact mean of a function of reference and position, over many seeds."""
    phases = torch.rand(references, 200, generator=generator(7), dtype=torch.float64) * 6.28
    low, high = (100, 1000) if kind == "rough" else (0, 3)
    speed = low + (high - low) * torch.rand(200, generator=generator(8), dtype=torch.float64)
    fine = (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000

    def function(reference, position):
        return (speed * position.unsqueeze(-1) + phases[reference]).sin() + 2 * position.unsqueeze(-1)

    truth = torch.stack(
        [function(torch.tensor(r).expand(4000), fine).mean(0) for r in range(references)]
    ).mean(0)
    errors, variances = [], []
    for seed in range(150):
        samples = spread(count, references, generator(seed))
        found = function(samples.reference, samples.position)
        before = torch.cat([found[:1], found[:-1]])
        errors.append((samples.weight.unsqueeze(1) * found).sum(0) - truth)
        variances.append((samples.link.unsqueeze(1) * (found - before).square()).sum(0))
    errors, claimed = torch.stack(errors), torch.stack(variances).mean().sqrt()
    true = errors.square().mean().sqrt()
    assert true < 1.1 * claimed
    assert errors.mean(0).square().mean().sqrt() < 1.5 * true / 150**0.5
    if kind == "rough" and count > references:
        assert claimed < 2.5 * true


def test_gauss_points_are_exact_for_polynomials():
    samples = gauss(12, 4)
    for power in range(6):
        torch.testing.assert_close((samples.weight * samples.position**power).sum().item(), 1 / (power + 1))
    assert not samples.has_variance
    with pytest.raises(ExplainerError, match="no multiple of 5 references"):
        gauss(12, 5)
