"""DeepShap against what is known otherwise: closed forms, brute force over coalitions, shap, and the laws of SHAP."""

import itertools
import math
import warnings

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from shapsight import DeepShap


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def explain(function, images, references, **options):
    model = function if isinstance(function, nn.Module) else Function(function)
    return DeepShap(model, references, **options)(images)


def pictures(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_linear_model_gives_weight_times_difference_from_the_mean_reference():
    x, b, w = pictures(2, 3, 4, 4), pictures(5, 3, 4, 4, seed=1), pictures(3, 4, 4, seed=2)
    values = explain(lambda images: (images * w).sum((1, 2, 3)) + 7, x, b).values[:, 0]
    torch.testing.assert_close(values, w * (x - b.mean(0)))


def test_a_product_of_two_pixels_is_shared_as_the_shapley_value_of_two_players():
    x, b = torch.tensor([[[[3.0, 5.0]]]]), torch.tensor([[[[1.0, 2.0]]]])
    values = explain(lambda images: images[..., 0].flatten(1) * images[..., 1].flatten(1), x, b).values
    # half of adding player 1 first and half of adding it last
    first = 0.5 * ((3 * 2 - 1 * 2) + (3 * 5 - 1 * 5))
    torch.testing.assert_close(values.flatten(), torch.tensor([first, 13.0 - first]))


def shapley_by_brute_force(function, x, references):
    """Over all coalitions of pixels: those in it from x, the others from a reference; mean over the references."""
    players = x.numel()
    worth = {}
    for coalition in itertools.product([False, True], repeat=players):
        mask = torch.tensor(coalition).reshape(x.shape)
        worth[coalition] = function(torch.where(mask, x, references)).mean()
    values = torch.zeros(players, dtype=x.dtype)
    for coalition, value in worth.items():
        for player in range(players):
            if coalition[player]:
                continue
            joined = (*coalition[:player], True, *coalition[player + 1 :])
            size = sum(coalition)
            weight = math.factorial(size) * math.factorial(players - size - 1) / math.factorial(players)
            values[player] += weight * (worth[joined] - value)
    return values.reshape(x.shape)


def of_two_players(images):
    a, b, c, d, e, f = images.flatten(1).unbind(1)
    return a.relu() * b.sigmoid() + (c.exp() * 0.3) * d.tanh() + F.gelu(e) - f.square()


def test_values_are_shapley_values_where_no_step_has_more_than_two_players():
    x, b = pictures(1, 1, 2, 3), pictures(4, 1, 2, 3, seed=1)
    expected = shapley_by_brute_force(of_two_players, x[0], b)
    torch.testing.assert_close(explain(of_two_players, x, b).values[0, 0], expected)


def test_a_sum_of_functions_of_single_pixels_gets_its_shapley_values():
    def function(images):
        return (F.hardswish(images) + images.abs().sqrt() + images.clamp(-0.5, 0.5)).sum((1, 2, 3))

    x, b = pictures(1, 1, 2, 4), pictures(3, 1, 2, 4, seed=1)
    expected = shapley_by_brute_force(function, x[0], b)
    torch.testing.assert_close(explain(function, x, b).values[0, 0], expected)


def sequential_cnn():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3), nn.Tanh(),
        nn.Flatten(), nn.Linear(6 * 4 * 4, 10), nn.ReLU(), nn.Linear(10, 2),
    )  # fmt: skip


def test_values_agree_with_shap_on_a_sequential_cnn():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import shap

        model, x, b = sequential_cnn(), pictures(2, 1, 14, 14).float(), pictures(5, 1, 14, 14, seed=1).float()
        theirs = torch.as_tensor(shap.DeepExplainer(model, b).shap_values(x)).movedim(-1, 1)
    ours = explain(model, x, b).values
    torch.testing.assert_close(ours, theirs.to(ours), rtol=1e-5, atol=1e-5)


def test_relu_followed_by_overlapping_max_pooling_is_exact():
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1), nn.Flatten(), nn.Linear(4 * 9, 2)
    )
    x, b = pictures(2, 3, 8, 8), pictures(4, 3, 8, 8, seed=1)
    explanation = explain(model.double(), x, b)
    change = model(x) - model(b).mean(0)
    torch.testing.assert_close(explanation.values.sum((2, 3, 4)), change.detach(), rtol=1e-12, atol=1e-12)


def test_a_share_goes_to_the_winner_of_each_side_of_a_max_pooling():
    x, b = torch.tensor([[[[1.0, 4.0]]]]), torch.tensor([[[[2.0, 1.0]]]])
    values = explain(lambda images: images.amax(3).flatten(1), x, b).values.flatten()
    # y goes from 2 to 4, and the highest of both is 4: the second pixel, which wins for x, gets all of it
    torch.testing.assert_close(values, torch.tensor([0.0, 2.0]))


@pytest.mark.parametrize(
    "by_hand",
    [
        lambda x: x * (x > 0),
        lambda x: (x > 0).to(x.dtype) * x,
        lambda x: torch.where(x > 0, x, 0.0),
        lambda x: x.masked_fill(x < 0, 0.0),
        lambda x: torch.maximum(x, torch.zeros_like(x)),
        lambda x: x.clamp_min(0),
    ],
)
def test_a_relu_by_hand_gets_what_a_relu_gets(by_hand):
    x, b = pictures(2, 3, 4, 4), pictures(3, 3, 4, 4, seed=1)
    expected = explain(lambda images: F.relu(images).mean((2, 3)), x, b).values
    values = explain(lambda images: by_hand(images).mean((2, 3)), x, b).values
    torch.testing.assert_close(values, expected, rtol=1e-9, atol=1e-9)


def by_hand(x, dims, is_centred=True):
    centred = x - x.mean(dims, keepdim=True) if is_centred else x
    return centred, centred.square().mean(dims, keepdim=True) + 1e-5


NORMS_BY_HAND = {
    "layer norm, a quotient": (
        lambda x: F.layer_norm(x, x.shape[1:]),
        lambda x: (lambda c, v: c / v.sqrt())(*by_hand(x, (1, 2, 3))),
    ),
    "layer norm, by a standard deviation that is expanded": (
        lambda x: F.layer_norm(x, x.shape[1:]),
        lambda x: by_hand(x, (1, 2, 3))[0] / (x.var((1, 2, 3), False, True) + 1e-5).sqrt().expand(x.shape),
    ),
    "layer norm, a product with an inverse root": (
        lambda x: F.layer_norm(x, x.shape[1:]),
        lambda x: (lambda c, v: c * v.rsqrt())(*by_hand(x, (1, 2, 3))),
    ),
    "instance norm, a product with an inverse": (
        F.instance_norm,
        lambda x: (lambda c, v: c * (1 / v.sqrt()))(*by_hand(x, (2, 3))),
    ),
    "instance norm, a product with a power": (
        F.instance_norm,
        lambda x: (lambda c, v: c * v**-0.5)(*by_hand(x, (2, 3))),
    ),
    "RMS norm, a quotient": (
        lambda x: F.rms_norm(x, x.shape[1:], eps=1e-5),
        lambda x: (lambda c, v: c / v**0.5)(*by_hand(x, (1, 2, 3), False)),
    ),
    "RMS norm, by the vector's length": (
        lambda x: F.rms_norm(x, x.shape[1:], eps=1e-30),
        lambda x: (
            x.shape[1:].numel() ** 0.5 * (x.flatten(1) / (x.flatten(1).norm(dim=1, keepdim=True) + 1e-30))
        ),
    ),
}


@pytest.mark.parametrize("name", NORMS_BY_HAND)
def test_a_norm_by_hand_gets_what_torchs_norm_gets(name):
    x, b, w = pictures(2, 3, 4, 4), pictures(3, 3, 4, 4, seed=1), pictures(2, 48, seed=2)
    b[1] = 0.5
    expected, values = (
        explain(lambda images, norm=norm: norm(images * (1 + images.square())).flatten(1) @ w.T, x, b).values
        for norm in NORMS_BY_HAND[name]
    )
    torch.testing.assert_close(values, expected, rtol=1e-9, atol=1e-9)


class ManyNorms(nn.Module):
    def __init__(self, norm):
        super().__init__()
        torch.manual_seed(0)
        self.norm, self.head = norm, nn.Linear(6, 1)
        self.layers = nn.ModuleList(nn.Conv2d(6, 6, 3, padding=1) for _ in range(20))
        for layer in self.layers:
            nn.init.normal_(layer.weight, std=(2 / 54) ** 0.5)

    def forward(self, x):
        for layer in self.layers:
            x = F.silu(self.norm(layer(x)))
        return self.head(x.mean((2, 3)))


@pytest.mark.parametrize(
    "norm",
    [
        lambda x: x * (x.square().mean((2, 3), keepdim=True) + 1e-5).rsqrt(),
        lambda x: x / (x.var((2, 3), False, True) + 1e-5).sqrt(),
        F.instance_norm,
    ],
)
def test_shares_do_not_grow_from_norm_to_norm_where_a_reference_is_flat(norm):
    x = F.interpolate(pictures(1, 6, 4, 4), size=(16, 16), mode="bilinear")
    flat = torch.tensor([0.0, 0.5]).double().view(2, 1, 1, 1).expand(2, 6, 16, 16)
    explanation = explain(ManyNorms(norm).double(), x, flat)
    change = abs(explanation.predictions - explanation.base_values).item()
    assert explanation.completeness_gap.abs().item() < 1e-12 * change
    assert explanation.values.abs().sum().item() < 1e4 * change


def test_vectors_of_no_length_are_divided_by_next_to_nothing_all_the_same():
    x, b = pictures(1, 3, 4, 4).float(), pictures(2, 3, 4, 4, seed=1).float()
    x[..., :2, :], b[..., :2, :] = 0, 0
    values = explain(lambda i: (i / (i.norm(dim=1, keepdim=True) + 1e-30)).mean((2, 3)), x, b).values
    assert values.isfinite().all()
    assert (values[..., :2, :] == 0).all()


def small_network(seed):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.GELU(), nn.MaxPool2d(3, 1, 1), nn.GroupNorm(2, 4), nn.SiLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 2),
    ).double()  # fmt: skip


seeds = st.integers(0, 10_000)


@settings(max_examples=10, deadline=None)
@given(seeds)
def test_the_gap_is_rounding_only(seed):
    x, b = pictures(1, 2, 5, 5, seed=seed), pictures(3, 2, 5, 5, seed=seed + 1)
    explanation = explain(small_network(seed), x, b)
    assert explanation.completeness_gap.abs().max() < 1e-9 * explanation.values.abs().sum()


@settings(max_examples=10, deadline=None)
@given(seeds, st.integers(0, 4), st.integers(0, 4))
def test_a_pixel_that_the_model_does_not_read_gets_nothing(seed, row, column):
    model, mask = small_network(seed), torch.ones(5, 5, dtype=torch.float64)
    mask[row, column] = 0
    x, b = pictures(1, 2, 5, 5, seed=seed), pictures(3, 2, 5, 5, seed=seed + 1)
    values = explain(lambda images: model(images * mask), x, b).values
    assert (values[..., row, column] == 0).all()


@settings(max_examples=10, deadline=None)
@given(seeds)
def test_channels_that_the_model_cannot_tell_apart_get_the_same(seed):
    model = small_network(seed)
    x, b = pictures(1, 2, 5, 5, seed=seed), pictures(3, 2, 5, 5, seed=seed + 1)
    x[:, 1], b[:, 1] = x[:, 0], b[:, 0]
    values = explain(lambda images: model(images + images.flip(1)), x, b).values
    torch.testing.assert_close(values[:, :, 0], values[:, :, 1])


@settings(max_examples=10, deadline=None)
@given(seeds)
def test_a_reference_explained_by_itself_gets_nothing(seed):
    x = pictures(1, 2, 5, 5, seed=seed)
    assert (explain(small_network(seed), x, x).values == 0).all()


@settings(max_examples=5, deadline=None)
@given(seeds)
def test_order_and_chunking_of_the_references_do_not_matter(seed):
    model, x, b = small_network(seed), pictures(1, 2, 5, 5, seed=seed), pictures(19, 2, 5, 5, seed=seed + 1)
    together, reversed_order = explain(model, x, b), explain(model, x, b.flip(0))
    one_by_one = torch.stack([explain(model, x, b[i : i + 1]).values for i in range(len(b))])
    torch.testing.assert_close(together.values, reversed_order.values)
    torch.testing.assert_close(together.values, one_by_one.mean(0))
    torch.testing.assert_close(together.std_errors, reversed_order.std_errors)
    torch.testing.assert_close(together.std_errors, one_by_one.std(0) / len(b) ** 0.5)


def test_a_weighted_reference_counts_as_often_as_its_weight_says():
    model, x, b = small_network(0), pictures(2, 2, 5, 5), pictures(3, 2, 5, 5, seed=1)
    weighted = explain(model, x, b, weights=[1, 2, 3])
    repeated = explain(model, x, b.repeat_interleave(torch.tensor([1, 2, 3]), 0))
    torch.testing.assert_close(weighted.values, repeated.values)
    torch.testing.assert_close(weighted.base_values, repeated.base_values)


def test_values_are_the_same_in_chunks_of_any_memory_layout():
    model, x, b = small_network(0), pictures(2, 2, 5, 5), pictures(3, 2, 5, 5, seed=1)
    strided = explain(
        model, x.to(memory_format=torch.channels_last), b.transpose(2, 3).contiguous().transpose(2, 3)
    )
    torch.testing.assert_close(strided.values, explain(model, x, b).values)
