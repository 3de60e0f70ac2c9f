"""Models as users write them, each of which once ended in an error of torch, or in a wrong answer."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from deep_parts import assert_exact
from shapsight import DeepShap, GradientShap, PartitionShap
from shapsight.errors import ExplainerError, UnsupportedOperation

GENERATOR = torch.Generator().manual_seed(0)
X, B = (torch.randn(n, 3, 8, 8, generator=GENERATOR, dtype=torch.float64) for n in (3, 4))


class Model(nn.Module):
    """What `body` does with the model and the images, and three numbers of it."""

    def __init__(self, body):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.c = body, nn.Conv2d(3, 3, 1)
        self.double()

    def forward(self, images):
        return self.body(self, images).flatten(1)[:, :3]


def clipped(model, images):
    y = model.c(images)
    y[y < 0] = 0.0
    y[y > 0.5] = 0.5
    return y


MASKS = {
    "times": lambda m, x: x * (x > 0),
    "where": lambda m, x: torch.where(x > 0, x, 0.1 * x),
    "filled": lambda m, x: x.masked_fill(x < 0, 0.0),
    "written": clipped,
    "after a ReLU": lambda m, x: (lambda y: y * (y > 0.3))(m.c(x).relu()),
}


@pytest.mark.parametrize("body", MASKS.values(), ids=MASKS)
def test_masks_where_image_and_reference_are_equal(body):
    images, references = X.clone(), B.clone()
    images[:, :, :2] = references[:, :, :2] = 0.2
    assert_exact(Model(body), images, references)


def test_a_mask_gives_the_values_of_the_leaky_relu_that_it_is():
    images, references = X.clone(), B.clone()
    images[:, :, :2] = references[:, :, :2] = -0.2
    masked = assert_exact(Model(MASKS["where"]), images, references)
    leaky = assert_exact(Model(lambda m, x: F.leaky_relu(x, 0.1)), images, references)
    torch.testing.assert_close(masked.values, leaky.values)


@pytest.mark.parametrize(
    "body",
    [
        lambda m, x: m.c(x).relu().view(-1, 8, 8).exp().view(len(x), 3, 8, 8),
        lambda m, x: m.c(x).relu().view(len(x) * 3, 1, 8, 8).sigmoid().view(len(x), 3, 8, 8),
    ],
)
def test_views_that_fold_channels_into_the_batch(body):
    assert_exact(Model(body), X, B)


def scaled_attention(model, images):
    a = torch.einsum("bhid,bhjd->bhij", model.c(images), images)
    a *= 0.3
    return a.softmax(-1)


@pytest.mark.parametrize(
    "body",
    [scaled_attention, lambda m, x: x / x.abs().amax((2, 3), keepdim=True).clamp_(min=1e-5)],
    ids=["einsum", "amax"],
)
def test_results_that_are_views_may_be_overwritten(body):
    assert_exact(Model(body), X, B)


class ByDtype(nn.Module):
    """Scales whole numbers, as torchvision's conversions do."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(192, 2)

    def forward(self, images):
        return self.head((images / 255 if images.dtype == torch.uint8 else images).flatten(1))


@pytest.mark.parametrize("explainer", [DeepShap, GradientShap])
def test_a_model_that_scales_whole_numbers_is_refused_for_them(explainer):
    images = torch.randint(0, 256, (3, 3, 8, 8), dtype=torch.uint8)
    with pytest.raises(ExplainerError, match="scale by dtype"):
        explainer(ByDtype(), images)(images)
    explainer(ByDtype(), images.float() / 255)(images.float() / 255)


@pytest.mark.parametrize("explainer", [DeepShap, GradientShap])
def test_whole_numbers_are_fine_where_they_are_the_same(explainer):
    images = torch.randint(0, 256, (3, 3, 8, 8), dtype=torch.uint8)
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
    whole = explainer(model, images[:2])(images[2:])
    torch.testing.assert_close(whole.values, explainer(model, images[:2].float())(images[2:].float()).values)


def test_a_black_box_module_that_scales_whole_numbers_is_refused_for_them():
    images = torch.randint(0, 256, (1, 3, 8, 8), dtype=torch.uint8)
    with pytest.raises(ExplainerError, match="scale by dtype"):
        PartitionShap(ByDtype(), "mean", max_evals=9)(images)
    found = PartitionShap(ByDtype(), "mean", max_evals=9)(images.float() / 255)
    assert found.completeness_gap.abs().max() < 1e-5


def test_a_model_with_sparse_weights_is_asked_as_a_black_box():
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
    model.register_buffer("mask", torch.eye(3).to_sparse())
    assert PartitionShap(model, 0.0, max_evals=9)(X.float()).completeness_gap.abs().max() < 1e-5


class Swish(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x.sigmoid()

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * (x.sigmoid() * (1 + x * (1 - x.sigmoid())))


swish = Swish.apply


def test_a_function_under_another_name_is_refused_with_what_to_do():
    assert_exact(Model(lambda m, x: Swish.apply(m.c(x))), X, B)
    with pytest.raises(UnsupportedOperation, match=r"MyFunction\.apply"):
        DeepShap(Model(lambda m, x: swish(m.c(x))), B)(X)


@pytest.mark.parametrize("named", [True, False])
def test_a_layer_of_a_model_spread_over_devices(named):
    inner = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.Flatten(), nn.Linear(192, 2)).double()
    layer = "module.1" if named else inner[1]
    spread = DeepShap(nn.DataParallel(inner), B, layer=layer)(X)
    torch.testing.assert_close(spread.values, DeepShap(inner, B, layer="1")(X).values)


def test_an_image_that_is_its_only_reference_does_not_hide_where_the_batch_lies():
    def body(model, images):
        rows = images.flatten(2).permute(2, 0, 1).reshape(-1, 3)
        return F.gelu(rows @ model.c.weight[:, :, 0, 0]).reshape(64, -1, 3).permute(1, 2, 0)

    images = X.clone()
    images[0] = 0
    assert_exact(Model(body), images, 0 * B)
    with pytest.raises(ExplainerError, match="mixes the images"):
        DeepShap(Model(lambda m, x: x - x.mean(0)), 0 * B)(images)


@pytest.mark.parametrize(
    "body",
    [
        lambda m, x: (torch.fft.rfft2(x) / torch.fft.rfft2(x.exp())).real,
        lambda m, x: (lambda f: torch.fft.ifft2(f / (f.abs() + 1e-8)).real)(torch.fft.fft2(x)),
    ],
    ids=["by complex", "by real"],
)
def test_complex_quotients(body):
    assert_exact(Model(body), X, B)


def test_where_a_derivative_is_infinite_and_nothing_changes_nothing_is_given():
    explanation = assert_exact(Model(lambda m, x: m.c(x).relu().pow(1 / 3)), X, B)
    assert explanation.values.isfinite().all()


def test_overwriting_what_a_convolution_was_given_is_refused_with_what_to_do():
    def body(model, images):
        y = model.c(images)
        z = model.c(y)
        return z + y.relu_()

    with pytest.raises(UnsupportedOperation, match="not in place"):
        DeepShap(Model(body), B)(X)
