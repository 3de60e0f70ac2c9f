"""GradientShap against closed forms, dense quadrature and shap; and what its users meet around the numbers."""

import copy
import math
import warnings

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from deep_parts import Overflow, Restless, Several, TwoInputs, assert_left_as_found
from shapsight import GradientShap, TopK
from shapsight.attribution.deep import CompletenessWarning, HalfPrecisionWarning
from shapsight.attribution.shared.predictor import has_bfloat16
from shapsight.errors import CompletenessError, ExplainerError


def pictures(count, size=8, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, size, size, generator=generator, dtype=dtype)


X, B = pictures(2), pictures(4, seed=1)


@pytest.fixture(scope="module")
def their_explainer():
    """shap's explainer; its import warns of what matplotlib will deprecate."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import shap
    return shap.GradientExplainer


class PerPixel(nn.Module):
    """The sum over pixels of a function of each, times fixed weights: its SHAP values are known."""

    def __init__(self, function, outputs=2):
        super().__init__()
        self.function = function
        self.register_buffer("weight", pictures(outputs, seed=5))

    def forward(self, x):
        return torch.einsum("nchw,ochw->no", self.function(x), self.weight)


class Power(nn.Module):
    """The cube of a weighted sum."""

    def __init__(self):
        super().__init__()
        self.register_buffer("weight", pictures(1, seed=5)[0] / 8)

    def forward(self, x):
        return (x * self.weight).sum((1, 2, 3)) ** 3


def network(activation=nn.ReLU, seed=0, dtype=torch.float64, width=8):
    torch.manual_seed(seed)
    layers = [
        nn.Conv2d(3, width, 3, padding=1),
        activation(),
        nn.MaxPool2d(2),
        nn.Conv2d(width, width, 3),
        activation(),
    ]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 3)).to(dtype)


def dense(model, references, images, points=64):
    """Expected gradients written out: many Gauss-Legendre points for each reference, one image at a time."""
    position, weight = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(points))
    values = []
    for image in images:
        total = 0.0
        for reference in references:
            way = (position.add(1).div(2)).view(-1, 1, 1, 1) * (image - reference) + reference
            way.requires_grad_()
            columns = model(way)
            gradients = [torch.autograd.grad(c.sum(), way, retain_graph=True)[0] for c in columns.unbind(1)]
            mean = torch.stack([(g * weight.view(-1, 1, 1, 1)).sum(0) / 2 for g in gradients])
            total = total + (image - reference) * mean / len(references)
        values.append(total)
    return torch.stack(values)


@pytest.mark.parametrize("samples", [3, 4, 7, 40])
def test_a_linear_models_values_are_known_from_any_samples(samples):
    model = PerPixel(lambda x: x)
    explanation = GradientShap(model, B[:1], samples)(X, on_gap="raise")
    torch.testing.assert_close(explanation.values, (X - B[:1]).unsqueeze(1) * model.weight)
    assert explanation.completeness_gap.abs().max() < 1e-12
    assert explanation.std_errors.max() < 1e-12


def test_integrated_gradients_of_polynomials_are_exact():
    square = PerPixel(lambda x: x**4)
    explanation = GradientShap(square, B[:1], samples=2, positions="gauss")(X, on_gap="raise")
    torch.testing.assert_close(explanation.values, (X**4 - B[:1] ** 4).unsqueeze(1) * square.weight)
    cube = Power().double()
    weighted = [(images * cube.weight).sum((1, 2, 3)) for images in (X, B[:1])]
    expected = (
        (X - B[:1])
        * cube.weight
        * ((weighted[0] ** 3 - weighted[1] ** 3) / (weighted[0] - weighted[1])).view(-1, 1, 1, 1)
    )
    explanation = GradientShap(cube, B[:1], samples=2, positions="gauss")(X, on_gap="raise")
    torch.testing.assert_close(explanation.values[:, 0], expected)
    assert explanation.std_errors is None


def test_gauss_points_over_several_references_are_dense_quadrature():
    model = network(nn.Tanh)
    for module in model:
        if isinstance(module, nn.MaxPool2d):
            model = nn.Sequential(*[m if m is not module else nn.AvgPool2d(2) for m in model])
    explanation = GradientShap(model, B, samples=4 * 12, positions="gauss")(X, on_gap="raise")
    torch.testing.assert_close(explanation.values, dense(model, B, X), atol=1e-9, rtol=1e-6)


@pytest.mark.parametrize("samples", [40, 50])
@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh])
def test_estimates_are_unbiased_and_their_standard_errors_right(activation, samples):
    """Of each value, and in the median over values, over 50 seeds."""
    model, references, x = network(activation), pictures(10, seed=1), X[:1]
    truth = dense(model, references, x, points=400)
    runs = [
        GradientShap(model, references, samples, seed=seed, batch_size=80)(x, on_gap="ignore")
        for seed in range(50)
    ]
    errors = torch.stack([run.values - truth for run in runs])
    claimed = torch.stack([run.std_errors for run in runs]).square().mean(0).sqrt()
    true = errors.square().mean(0).sqrt()
    assert errors.mean(0).square().mean() < 2 * true.square().mean() / 50
    assert 0.9 < (claimed.square().mean() / true.square().mean()).sqrt() < 1.15
    assert 0.9 < (claimed / true).median() < 1.15


UNEQUAL = torch.tensor([2.0, 0.5, 0.0, 1.0])


def test_with_weights_the_mean_over_references_is_weighted():
    """The square's values are known for each reference."""
    model = PerPixel(lambda x: x**2)
    each = (X.unsqueeze(1) ** 2 - B**2).unsqueeze(2) * model.weight
    expected = torch.einsum("r,nrochw->nochw", UNEQUAL.double() / 3.5, each)
    exact = GradientShap(model, B, 8, weights=UNEQUAL, positions="gauss")(X, on_gap="raise")
    torch.testing.assert_close(exact.values, expected)
    torch.testing.assert_close(exact.base_values[0], UNEQUAL.double() @ model(B) / 3.5)
    drawn = [
        GradientShap(model, B, 28, weights=UNEQUAL.tolist(), seed=s)(X, on_gap="ignore") for s in range(50)
    ]
    errors = torch.stack([run.values - expected for run in drawn])
    claimed, true = torch.stack([run.std_errors for run in drawn]).square().mean(), errors.square().mean()
    assert errors.mean(0).square().mean() < 1.5 * true / 50
    assert 0.9 < (claimed / true).sqrt() < 1.5
    torch.testing.assert_close(drawn[0].base_values, exact.base_values)


@pytest.mark.parametrize("positions", ["gauss", "spread"])
def test_weights_are_repeated_references(positions):
    model = network(nn.Tanh)
    repeated = B[[0, 0, 0, 0, 1, 3, 3]]
    weighted = GradientShap(model, B, 4 * 84, weights=UNEQUAL, positions=positions)(X, on_gap="ignore")
    plain = GradientShap(model, repeated, 7 * 84, positions=positions)(X, on_gap="ignore")
    torch.testing.assert_close(weighted.base_values, plain.base_values)
    if positions == "gauss":
        torch.testing.assert_close(weighted.values, plain.values)
    else:
        z = (weighted.values - plain.values) / torch.hypot(weighted.std_errors, plain.std_errors)
        assert 0.2 < z.square().mean() < 2


def test_equal_weights_are_none():
    model = network()
    plain, equal = (GradientShap(model, B, 18, weights=w)(X, on_gap="ignore") for w in (None, [3] * 4))
    torch.testing.assert_close(plain.values, equal.values)
    torch.testing.assert_close(plain.std_errors, equal.std_errors)


def test_the_gap_shrinks_as_one_over_the_root_of_the_samples_or_better():
    model, references = network(), pictures(10, seed=1)

    def gap(samples):
        gaps = [
            GradientShap(model, references, samples, seed=seed)(X, on_gap="ignore").completeness_gap
            for seed in range(12)
        ]
        return torch.stack(gaps).square().mean().sqrt()

    assert gap(1280) < gap(20) / math.sqrt(1280 / 20)


def test_values_agree_with_shap_within_the_joint_standard_error(their_explainer):
    model, references, x = (
        network(dtype=torch.float32),
        pictures(20, seed=1, dtype=torch.float32),
        X[:1].float(),
    )
    ours = GradientShap(model, references, 5000, batch_size=500)(x)
    values, variances = their_explainer(model, references).shap_values(
        x, nsamples=5000, rseed=0, return_variances=True
    )
    theirs = torch.as_tensor(values).movedim(-1, 1)
    their_errors = (
        torch.stack([torch.as_tensor(v) for v in variances], 1) / math.sqrt(5000)
    ).sqrt()  # it divides by √n
    z = (ours.values - theirs) / (ours.std_errors.square() + their_errors.square()).sqrt()
    assert z.square().mean() < 1.1
    assert z.abs().max() < 5


def test_at_200_samples_the_error_is_at_most_half_of_shaps(their_explainer):
    model, references, x = (
        network(dtype=torch.float32),
        pictures(25, seed=1, dtype=torch.float32),
        X[:1].float(),
    )
    truth = GradientShap(model, references, 20_000, batch_size=1000, seed=99)(x).values.double()
    explainer = their_explainer(model, references)
    theirs = [
        torch.as_tensor(explainer.shap_values(x, nsamples=200, rseed=seed)).movedim(-1, 1)
        for seed in range(5)
    ]
    ours = [GradientShap(model, references, 200, seed=seed)(x, on_gap="ignore").values for seed in range(5)]
    error = [
        torch.stack([(v - truth).square().mean() for v in values]).mean().sqrt() for values in (ours, theirs)
    ]
    assert error[0] < 0.5 * error[1]


def test_smoothing_takes_the_mean_over_noisy_images():
    """For the square, a pixel's value rises by the variance of the noise."""
    model = PerPixel(lambda x: x**2, outputs=1)
    expected = (X[:1] ** 2 + 0.25 - B[:1] ** 2).unsqueeze(1) * model.weight
    runs = [
        GradientShap(model, B[:1], 400, smoothing=0.5, batch_size=400, seed=seed)(X[:1], on_gap="ignore")
        for seed in range(10)
    ]
    true = torch.stack([run.values - expected for run in runs]).square().mean()
    claimed = torch.stack([run.std_errors for run in runs]).square().mean()
    assert 0.9 < (claimed / true).sqrt() < 1.15


def test_batches_and_other_images_change_nothing():
    model = network()
    both = GradientShap(model, B, 30, smoothing=0.1)(X, on_gap="ignore")
    alone = GradientShap(model, B, 30, smoothing=0.1, batch_size=1)(X[:1], on_gap="ignore")
    torch.testing.assert_close(both.values[:1], alone.values)
    torch.testing.assert_close(both.std_errors[:1], alone.std_errors)
    again = GradientShap(model, B, 30, smoothing=0.1, seed=1)(X[:1], on_gap="ignore")
    assert (again.values - alone.values).abs().max() > 1e-6


class Counting(nn.Module):
    def __init__(self, model, most=10_000):
        super().__init__()
        self.model, self.seen, self.most = model, [], most

    def forward(self, x):
        if len(x) > self.most:
            raise torch.OutOfMemoryError("allocate memory")
        self.seen.append(len(x))
        return self.model(x)


def test_all_outputs_come_from_one_forward_pass():
    model = Counting(network())
    GradientShap(model, B, 20)(X, outputs=0, on_gap="ignore")
    one = len(model.seen)
    GradientShap(model, B, 20)(X, outputs=[0, 1, 2, 1], on_gap="ignore")
    assert len(model.seen) == 2 * one


def test_batches_are_halved_when_memory_runs_out():
    values = GradientShap(network(), B, 20, batch_size=8)(X, on_gap="ignore").values
    model = Counting(network(), most=3)
    with pytest.raises(torch.OutOfMemoryError):
        GradientShap(Counting(network(), most=0), B, 20)(X)
    explainer = GradientShap(model, B[:3], 20, batch_size=3)
    explainer.batch_size = 8
    model.most = 8
    plain = explainer(X, on_gap="ignore").values
    assert plain.shape == values.shape
    model.seen.clear()
    calls = []

    def limited(x):
        if torch.is_grad_enabled() and len(x) > 3:
            raise torch.OutOfMemoryError("allocate memory")
        calls.append(len(x))
        return network()(x)

    model.model.forward = limited
    torch.testing.assert_close(explainer(X, on_gap="ignore").values, plain)
    assert 2 in calls


def test_in_place_activations_and_residuals_need_no_edit():
    model = torchvision.models.resnet18(num_classes=2).double()
    edited = copy.deepcopy(model)
    for module in edited.modules():
        if hasattr(module, "inplace"):
            module.inplace = False
    x, b = pictures(1, 32), pictures(3, 32, seed=1)
    torch.testing.assert_close(*(GradientShap(m, b, 12)(x, on_gap="ignore").values for m in (model, edited)))


def test_the_model_is_left_as_it_was_found():
    model = Restless().double().train()
    assert_left_as_found(model, lambda: GradientShap(model, B, 10)(X, on_gap="ignore"))
    assert model.seen == 0


@pytest.mark.parametrize("error", [RuntimeError("out of order"), KeyboardInterrupt()])
def test_the_model_is_left_as_it_was_found_after_an_exception(error):
    model = Restless(raises=error).double().train()

    def run():
        with pytest.raises(type(error)):
            GradientShap(model, B, 10)(X)

    assert_left_as_found(model, run)


def test_scripted_and_compiled_models_give_the_same_values():
    model = network()
    expected = GradientShap(model, B, 20)(X, on_gap="ignore").values
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted = torch.jit.trace(model, X).train()
        compiled = torch.compile(model, backend="eager")
        compiled(X)
        for other in (scripted, nn.Sequential(scripted), compiled):
            torch.testing.assert_close(GradientShap(other, B, 20)(X, on_gap="ignore").values, expected)
    assert scripted.training


def test_a_model_in_half_precision_is_explained_in_float32_on_a_copy():
    model = network().half()
    with pytest.warns(HalfPrecisionWarning, match="float16"):
        explanation = GradientShap(model, B, 20)(X, on_gap="ignore")
    assert model[0].weight.dtype == torch.float16
    wide = GradientShap(copy.deepcopy(model).float(), B, 20)(X, on_gap="ignore")
    torch.testing.assert_close(explanation.values, wide.values)


def test_bfloat16_is_near_the_full_precision_or_refused_where_it_is_only_emulated():
    model = network(dtype=torch.float32)
    if not has_bfloat16(torch.device("cpu")):
        with pytest.raises(ExplainerError, match="emulation"):
            GradientShap(model, B, precision="bfloat16")
        return
    full, rough = (GradientShap(model, B, 20, precision=p)(X, on_gap="ignore") for p in (None, "bfloat16"))
    assert 0 < (rough.values - full.values).norm() < 0.1 * full.values.norm()
    torch.testing.assert_close(rough.predictions, full.predictions)
    assert rough.values.dtype == torch.float32


def test_autocast_and_inference_mode_around_the_explainer_change_nothing():
    model = network(dtype=torch.float32)
    expected = GradientShap(model, B, 20)(X, on_gap="ignore").values
    with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
        found = GradientShap(model, B, 20)(X, on_gap="ignore").values
    torch.testing.assert_close(found, expected)


def test_outputs_are_chosen_by_name_number_rank_and_part():
    model = network()
    explainer = GradientShap(model, B, 20, output_names=("a", "b", "c"))
    every = explainer(X, on_gap="ignore")
    assert every.values.shape == (2, 3, 3, 8, 8)
    torch.testing.assert_close(explainer(X, "b", on_gap="ignore").values, every.values[:, 1:2])
    top = explainer(X, TopK(1), on_gap="ignore")
    assert top.output_index.flatten().tolist() == model(X).argmax(1).tolist()
    torch.testing.assert_close(top.values[:, 0], every.values[torch.arange(2), top.output_index[:, 0]])
    own = explainer(X, torch.tensor([2, 0]), on_gap="ignore")
    torch.testing.assert_close(own.predictions, model(X)[[0, 1], [2, 0]].unsqueeze(1).detach())
    assert GradientShap(Several("one").double(), B, 8)(X, on_gap="ignore").values.shape[1] == 1
    assert GradientShap(Several("tuple").double(), B, 8, output=1)(X, on_gap="ignore").values.shape[1] == 4


def test_several_inputs_share_the_change_between_them():
    model, numbers = TwoInputs().double(), torch.randn(6, 5).double()
    parts = GradientShap(model, (B, numbers[:4]), samples=80, positions="gauss")(
        (X, numbers[4:]), on_gap="raise"
    )
    assert [tuple(part.values.shape) for part in parts] == [(2, 4, 3, 8, 8), (2, 4, 1, 1, 5)]
    total = sum(part.values.sum((2, 3, 4)) for part in parts)
    torch.testing.assert_close(total, parts[0].predictions - parts[0].base_values, atol=1e-9, rtol=1e-6)


def test_a_layers_input_is_explained_as_the_image_of_what_follows_it():
    model = network()
    whole = GradientShap(model, B, 40, layer="1")(X, on_gap="ignore")
    head, tail = model[:1], model[1:]
    features = GradientShap(tail, head(B).detach(), 40)(head(X).detach(), on_gap="ignore")
    torch.testing.assert_close(whole.values, features.values.sum(2, keepdim=True))
    torch.testing.assert_close(whole.completeness_gap, features.completeness_gap)


def test_a_layer_that_something_passes_by_says_so():
    model = torchvision.models.resnet18(num_classes=2).double()
    with pytest.warns(CompletenessWarning, match=r"pass layer layer1\.0\.conv2 by"):
        GradientShap(model, pictures(2, 32, 1), 200, layer="layer1.0.conv2")(pictures(1, 32))
    with pytest.raises(ExplainerError, match="runs 2 times"):
        GradientShap(model, pictures(2, 32, 1), 4, layer="layer1.0.relu")(pictures(1, 32))


class Jump(nn.Module):
    def forward(self, x):
        return (x.sum((1, 2, 3), keepdim=True) > 0).double() * 50 + x[:, :1, :1, :1]


def test_what_sampling_does_not_explain_is_warned_of():
    model = nn.Sequential(Jump(), nn.Flatten())
    images = torch.stack([X[0].abs(), -X[1].abs()])
    with pytest.warns(CompletenessWarning, match="more than sampling explains"):
        GradientShap(model, images[1:], 40)(images[:1])
    with pytest.raises(CompletenessError, match="more than sampling explains"):
        GradientShap(model, images[1:], 40)(images[:1], on_gap="raise")


def test_a_gap_that_more_samples_would_close_says_how_many():
    model = PerPixel(lambda x: (3 * x).cos(), outputs=1)
    with pytest.warns(CompletenessWarning, match=r"within its sampling error: try samples=\d+"):
        GradientShap(model, B, 4)(X)


def test_where_numbers_break_is_named():
    model = nn.Sequential(Overflow(), nn.Flatten(), nn.Linear(192, 2)).double()
    images = torch.stack([X[0], X[1] + 50])
    with pytest.raises(ExplainerError, match=r"image 1 is NaN or infinite.*0 \(Overflow\)"):
        GradientShap(model, B / 10)(images)
    with pytest.raises(ExplainerError, match=r"reference 0 is NaN or infinite.*0 \(Overflow\)"):
        GradientShap(model, images[1:])(X[:1] / 10)
    hollow = PerPixel(lambda x: (x.square() - 0.01).sqrt())
    ones = torch.ones_like(X[:1])
    with pytest.raises(
        ExplainerError, match=r"image 0, \d+% of the way from reference 0, is NaN or infinite"
    ):
        GradientShap(hollow, -ones, 40)(ones)
    root, ones[..., 0] = PerPixel(lambda x: x.abs().sqrt()), 0
    with pytest.raises(ExplainerError, match="gradient of the prediction for image 0"):
        GradientShap(root, -ones, 40)(ones)


def test_progress_counts_every_backward_pass():
    steps = []
    GradientShap(network(), B, 20)(
        X, on_gap="ignore", progress=lambda done, total: steps.append((done, total))
    )
    assert steps[-1] == (2 * 3 * 20, 2 * 3 * 20)
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)


class Mixing(nn.Module):
    def forward(self, x):
        return (x - x.mean(0)).abs().flatten(1)[:, :2]


def test_arguments_that_do_not_fit_are_refused():
    model = network()
    for make, words in (
        (lambda: GradientShap(model, B[:0]), "at least one image"),
        (lambda: GradientShap(model, B)(X[..., :4]), r"\(2, 3, 8, 4\) and references \(4, 3, 8, 8\)"),
        (lambda: GradientShap(model, B)(X[:0]), "no images"),
        (lambda: GradientShap(model, B / 0), "reference 0 holds NaN"),
        (lambda: GradientShap(model, B, 0), "samples=0"),
        (lambda: GradientShap(model, B, batch_size=0), "batch_size=0"),
        (lambda: GradientShap(model, B, smoothing=-1), "smoothing=-1"),
        (lambda: GradientShap(model, B, positions="random"), "'random' is neither"),
        (lambda: GradientShap(model, B, weights=[1, 2]), "weights must be 4 finite numbers"),
        (lambda: GradientShap(model, B, weights=[0, 0, 0, 0]), "not all 0"),
        (lambda: GradientShap(model, B, 10, positions="gauss"), "no multiple of 4 references"),
        (lambda: GradientShap(model, B, layer="9"), "no submodule '9'"),
        (lambda: GradientShap(model, B)(X, outputs=7), "output 7 is out of range"),
        (lambda: GradientShap(model, B)(X, on_gap="shout"), "shout"),
        (lambda: GradientShap(torch.relu, B), "nn.Module"),
        (lambda: GradientShap(Mixing(), B)(X), "mixes the images"),
        (lambda: GradientShap(PerPixel(lambda x: x.detach()), B)(X), "does not depend on its input"),
    ):
        with pytest.raises(ExplainerError, match=words):
            make()
