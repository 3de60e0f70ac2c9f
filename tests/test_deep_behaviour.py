"""What users of DeepShap meet around the numbers: models left as found, options, and errors that say what to do."""

import copy
import functools
import warnings

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from deep_parts import Overflow, Several, TwoInputs, assert_exact, block, pictures, small
from shapsight import DeepShap
from shapsight.attribution.deep import CompletenessWarning, HalfPrecisionWarning, register_rule
from shapsight.attribution.deep.rules import RULES
from shapsight.attribution.shared.layer import spread
from shapsight.errors import CompletenessError, ExplainerError, UnsupportedOperation

X, B = pictures(2), pictures(4, seed=1)


def test_a_model_in_half_precision_is_explained_in_float32_on_a_copy():
    model = small().half()
    wide = copy.deepcopy(model).float()
    with pytest.warns(HalfPrecisionWarning, match="float16"):
        explanation = DeepShap(model, B)(X)
    assert model.head.weight.dtype == torch.float16
    torch.testing.assert_close(explanation.values, DeepShap(wide, B)(X).values)


def test_an_unsupported_call_names_function_and_module():
    class Angle(nn.Module):
        def forward(self, x):
            return torch.atan2(x, x.flip(1))

    with pytest.raises(UnsupportedOperation, match=r"atan2, called in c\.1 \(Angle\)"):
        DeepShap(small(c=nn.Sequential(nn.Conv2d(3, 3, 1), Angle())), B)(X)


def test_an_unsupported_call_can_go_on_with_its_gradient_and_says_so():
    model = small(lambda m, x: torch.atan2(m.c(x), x.flip(1)), c=block())
    with pytest.warns(CompletenessWarning, match="could not follow torch's atan2"):
        DeepShap(model, B, on_unsupported="gradient")(X)
    with pytest.raises(CompletenessError):
        DeepShap(model, B, on_unsupported="gradient")(X, on_gap="raise")


def test_a_rule_can_be_registered_for_an_unsupported_call():
    model = small(lambda m, x: torch.special.i0(m.c(x)), c=block())
    with pytest.raises(UnsupportedOperation, match="i0"):
        DeepShap(model, B)(X)
    try:
        register_rule(torch.special.i0)
        explanation = DeepShap(model, B)(X, on_gap="raise")
    finally:
        RULES.pop("special_i0", None)
    assert explanation.completeness_gap.abs().max() < 1e-12


def test_scripted_modules_are_refused_also_inside_others():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(block().double(), X)
    with pytest.raises(ExplainerError, match=r"c \(TopLevelTracedModule\) is a torch.jit module"):
        DeepShap(small(c=traced), B)(X)


def test_a_scripted_function_is_noticed_by_what_comes_out_of_it():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gate = torch.jit.trace(lambda x: x * torch.sigmoid(x), X)
    with pytest.raises(UnsupportedOperation, match="cannot see it"):
        DeepShap(small(lambda m, x: gate(m.c(x)) + 1, c=block()), B)(X)


def test_quantised_modules_are_refused():
    class Linear(nn.Linear):
        pass

    Linear.__module__ = "torch.ao.nn.quantized.modules.linear"
    with pytest.raises(ExplainerError, match="quantised"):
        DeepShap(nn.Sequential(nn.Flatten(), Linear(192, 2)).double(), B)(X)


def test_modules_without_weights_yet_are_refused():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = nn.Sequential(nn.Flatten(), nn.LazyLinear(2))
    with pytest.raises(ExplainerError, match="no weights yet"):
        DeepShap(model, B)(X)


def test_compiled_models_are_explained_as_the_python_they_came_from():
    model = small()
    expected = DeepShap(model, B)(X).values
    compiled = torch.compile(model, backend="eager")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiled(X)
        torch.testing.assert_close(DeepShap(compiled, B)(X).values, expected)


def test_inference_mode_inside_the_model_is_refused_and_around_the_explainer_is_not():
    model = small()
    with torch.inference_mode():
        values = DeepShap(model, B)(X).values
    torch.testing.assert_close(values, DeepShap(model, B)(X).values)
    with pytest.raises(ExplainerError, match="inference_mode"):
        DeepShap(small(torch.inference_mode()(lambda m, x: F.gelu(x)), c=block()), B)(X)


@pytest.mark.filterwarnings("ignore::shapsight.attribution.deep.HalfPrecisionWarning")
@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_models_and_images_made_in_inference_mode_are_explained(dtype):
    model = small().to(dtype)
    expected = DeepShap(model, B)(X).values
    with torch.inference_mode():
        made = copy.deepcopy(model)
        assert made.head.weight.is_inference()
        torch.testing.assert_close(DeepShap(made, B * 1)(X * 1).values, expected)
    assert made.head.weight.is_inference()


def test_what_a_model_raises_of_itself_comes_through_with_a_note_of_what_it_was_given():
    with pytest.raises(RuntimeError, match="expected input") as caught:
        DeepShap(small(), B[:, :1])(X[:, :1])
    assert "(1, 1, 8, 8) in torch.float64" in caught.value.__notes__[0]


def test_a_part_in_float64_of_a_model_in_float32_keeps_its_precision():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.middle, self.last = (
                nn.Conv2d(3, 4, 3),
                nn.BatchNorm2d(4).double(),
                nn.Linear(4, 2),
            )

        def forward(self, x):
            return self.last(F.gelu(self.middle(self.first(x).double())).mean((2, 3)).float())

    model = Mixed().eval()
    explanation = DeepShap(model, B.float())(X.float(), on_gap="raise")
    torch.testing.assert_close(explanation.predictions, model(X.float()).detach())


def test_several_inputs_share_the_change_between_them():
    model, numbers = TwoInputs().double(), torch.randn(6, 5).double()
    parts = DeepShap(model, (B, numbers[:4]))((X, numbers[4:]))
    assert [tuple(part.values.shape) for part in parts] == [(2, 4, 3, 8, 8), (2, 4, 1, 1, 5)]
    total = sum(part.values.sum((2, 3, 4)) for part in parts)
    torch.testing.assert_close(total, parts[0].predictions - parts[0].base_values)


def test_a_part_of_the_result_is_picked():
    for kind, part in (("dict", "scores"), ("tuple", 1)):
        model = Several(kind).double()
        with pytest.raises(ExplainerError, match="output="):
            DeepShap(model, B)(X)
        assert DeepShap(model, B, output=part)(X).values.shape[1] == 4
    with pytest.raises(ExplainerError, match="'scores', 'other'"):
        DeepShap(Several("dict").double(), B, output="score")(X)
    with pytest.raises(ExplainerError, match="loss"):
        DeepShap(Several("loss").double(), B)(X)
    assert DeepShap(Several("one").double(), B)(X).values.shape == (2, 1, 3, 8, 8)


class Shaped(nn.Module):
    """Scores, brought to some shape at the very end."""

    def __init__(self, outputs, shape):
        super().__init__()
        self.c, self.head, self.shape = nn.Conv2d(3, 4, 3), nn.Linear(4, outputs), shape

    def forward(self, x):
        return self.shape(self.head(F.gelu(self.c(x)).mean((2, 3))))


@pytest.mark.parametrize("outputs", [1, 5])
@pytest.mark.parametrize("images", [X, X[:1]])
def test_a_model_that_squeezes_its_scores_may_take_a_batch_of_one_away(outputs, images):
    plain, squeezed = Shaped(outputs, lambda y: y).double(), Shaped(outputs, lambda y: y.squeeze()).double()
    squeezed.load_state_dict(plain.state_dict())
    for references in (B, B[:1]):
        expected, found = (DeepShap(model, references)(images) for model in (plain, squeezed))
        torch.testing.assert_close(found.values, expected.values)
        torch.testing.assert_close(found.predictions, expected.predictions)


@pytest.mark.parametrize("shape", [torch.t, torch.flatten, lambda y: y.sum(0, keepdim=True)])
def test_a_model_without_one_row_for_each_image_is_refused(shape):
    with pytest.raises(ExplainerError, match=r"rows for 2 images"):
        DeepShap(Shaped(5, shape).double(), B)(X)


@pytest.mark.parametrize("by_name", [True, False])
def test_a_layers_input_is_explained_and_drawn_over_the_image(by_name):
    model = torchvision.models.resnet18(num_classes=2).double()
    x, b = pictures(1, size=48), pictures(2, size=48, seed=1)
    explanation = DeepShap(model, b, layer="layer3" if by_name else model.layer3)(x, on_gap="raise")
    assert explanation.values.shape == (1, 2, 1, 48, 48)
    change = explanation.predictions - explanation.base_values
    torch.testing.assert_close(explanation.values.sum((2, 3, 4)), change)


def test_a_layer_that_something_passes_by_says_so():
    model = torchvision.models.resnet18(num_classes=2).double()
    with pytest.warns(CompletenessWarning, match=r"pass layer layer1\.0\.conv2 by"):
        DeepShap(model, pictures(2, 32, 1), layer="layer1.0.conv2")(pictures(1, 32))


def test_a_prediction_that_does_not_change_needs_no_warning():
    """What is left is rounding of large predictions."""

    class Large(nn.Module):
        def forward(self, images):
            return 1e6 + 1e-3 * images.square().mean((1, 2, 3))

    with warnings.catch_warnings():
        warnings.simplefilter("error", CompletenessWarning)
        explanation = DeepShap(Large(), pictures(4, 8, 1).float())(pictures(1, 8).float())
    assert 0 < explanation.completeness_gap.abs().max() < 0.1


def test_sparse_tensors_are_refused_with_what_to_do():
    model, images = nn.Sequential(nn.Flatten(), nn.Linear(192, 2)), pictures(2, 8).float()
    for references, explained in ((images.to_sparse(), images), (images, images.to_sparse())):
        with pytest.raises(ExplainerError, match=r"sparse tensors.*\.to_dense\(\)"):
            DeepShap(model, references)(explained)
    model.register_buffer("mask", torch.eye(3).to_sparse())
    with pytest.raises(ExplainerError, match=r"sparse weights.*\.to_dense\(\)"):
        DeepShap(model, images)


class SparseActivations(nn.Module):
    def forward(self, images):
        return images.relu().flatten(1).to_sparse().to_dense()[:, :2]


class SparseConstant(nn.Module):
    def __init__(self, multiply):
        super().__init__()
        self.multiply = multiply

    def forward(self, images):
        return self.multiply(torch.eye(192, dtype=images.dtype).to_sparse(), images.relu().flatten(1).T).T[
            :, :2
        ]


@pytest.mark.parametrize("on_unsupported", ["raise", "gradient"])
def test_activations_that_become_sparse_are_refused_with_the_place(on_unsupported):
    explainer = DeepShap(SparseActivations(), pictures(3, 8, 1), on_unsupported=on_unsupported)
    with pytest.raises(UnsupportedOperation, match="SparseActivations"):
        explainer(pictures(2, 8))


@pytest.mark.parametrize(
    "multiply", [torch.sparse.mm, torch.mm, torch.matmul], ids=["sparse", "mm", "matmul"]
)
def test_a_sparse_constant_is_linear(multiply):
    explanation = DeepShap(SparseConstant(multiply), pictures(3, 8, 1))(pictures(2, 8), on_gap="raise")
    assert explanation.completeness_gap.abs().max() < 1e-9


def test_a_backward_hook_on_all_modules_is_named():
    handle = torch.nn.modules.module.register_module_full_backward_hook(lambda *_: None)
    try:
        with pytest.raises(ExplainerError, match=r"for all modules .*\.remove\(\)"):
            DeepShap(nn.Sequential(nn.Flatten(), nn.Linear(192, 2)), pictures(2, 8).float())(
                pictures(1, 8).float()
            )
    finally:
        handle.remove()


def test_layers_that_cannot_be_explained_are_refused():
    model = torchvision.models.resnet18(num_classes=2).double()
    with pytest.raises(ExplainerError, match="no submodule 'layer9'"):
        DeepShap(model, B, layer="layer9")
    with pytest.raises(ExplainerError, match="runs 2 times"):
        DeepShap(model, pictures(2, 32, 1), layer="layer1.0.relu")(pictures(1, 32))


@pytest.mark.parametrize("grid", [(7, 7), (3, 5), (40, 2), (1, 1)])
def test_spreading_a_grid_over_the_image_keeps_the_sum(grid):
    values = torch.randn(3, 1, *grid, dtype=torch.float64)
    torch.testing.assert_close(spread(values, (30, 22)).sum((1, 2, 3)), values.sum((1, 2, 3)))


def test_tolerance_stops_adding_references_and_says_how_many_were_used():
    model, many = small(), pictures(64, seed=2)
    loose, strict = (DeepShap(model, many)(X, tolerance=share) for share in (10.0, 1e-9))
    assert (loose.settings["references"], strict.settings["references"]) == (16, 64)
    assert loose.completeness_gap.abs().max() < 1e-12
    torch.testing.assert_close(loose.values, DeepShap(model, many[:16])(X).values)


def test_progress_counts_every_backward_pass():
    steps = []
    DeepShap(small(), pictures(20, seed=2))(X, progress=lambda done, total: steps.append((done, total)))
    assert steps[-1] == (2 * 3 * 20, 2 * 3 * 20)
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)


def test_progress_draws_a_bar(capsys):
    DeepShap(small(), B)(X, progress=True)
    said = capsys.readouterr()
    assert "Explaining" in said.err and not said.out


def test_a_prediction_that_is_not_finite_names_the_image_and_the_first_module():
    model = nn.Sequential(Overflow(), nn.Flatten(), nn.Linear(192, 2)).double()
    images = torch.stack([X[0], X[1] + 50])
    with pytest.raises(ExplainerError, match=r"image 1 is NaN or infinite.*0 \(Overflow\)"):
        DeepShap(model, B / 10)(images)
    with pytest.raises(ExplainerError, match=r"reference 2 is NaN or infinite.*0 \(Overflow\)"):
        DeepShap(model, torch.cat([B[:2] / 10, images[1:], B[:1] - 90]))(X[:1] / 10)


def test_arguments_that_do_not_fit_are_refused():
    model = small()
    for make, words in (
        (lambda: DeepShap(model, B[:0]), "at least one image"),
        (lambda: DeepShap(model, B)(X[..., :4]), r"\(2, 3, 8, 4\) and references \(4, 3, 8, 8\)"),
        (lambda: DeepShap(model, B)(X[:0]), "no images"),
        (lambda: DeepShap(model, B)(X.index_fill(0, torch.tensor(1), float("nan"))), "image 1 holds NaN"),
        (lambda: DeepShap(model, B / 0), "reference 0 holds NaN"),
        (lambda: DeepShap(model, B)(X, outputs=7), "output 7 is out of range"),
        (lambda: DeepShap(model, B, weights=[1, 2]), "4 finite numbers"),
        (lambda: DeepShap(model, B, weights=[1, 2, -1, 1]), "none below 0"),
        (lambda: DeepShap(model, B)(X, tolerance=0), "tolerance"),
        (lambda: DeepShap(model, B)(X, on_gap="shout"), "shout"),
        (lambda: DeepShap(model, "black"), "got str"),
        (lambda: DeepShap(F.relu, B), "nn.Module"),
        (lambda: DeepShap(small(lambda m, x: torch.zeros_like(x)), B)(X), "does not depend on its input"),
    ):
        with pytest.raises(ExplainerError, match=words):
            make()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.uint8])
def test_references_and_images_are_converted_to_the_models_precision(dtype):
    model = small().float()
    references, images = (B * 10).abs().to(dtype), (X * 10).abs().to(dtype)
    expected = DeepShap(model, references.float())(images.float())
    for given in (
        DeepShap(model, references)(images),
        DeepShap(model, references)(images.float()),
        DeepShap(model, references.float())(images),
    ):
        assert given.values.dtype == torch.float32
        torch.testing.assert_close(given.values, expected.values, rtol=0, atol=0)


def test_references_and_images_are_moved_to_the_models_device_and_values_to_the_images(monkeypatch):
    """There is one device here: what is watched is that every tensor is sent where the weights say."""
    moves, to = [], torch.Tensor.to

    def watched(tensor, *args, **kwargs):
        if args and isinstance(args[0], torch.device):
            moves.append((tuple(tensor.shape), args))
        return to(tensor, *args, **kwargs)

    model = small().float()
    monkeypatch.setattr(torch.Tensor, "to", watched)
    explanation = DeepShap(model, B)(X)
    for given in (B, X):
        assert (tuple(given.shape), (model.head.weight.device, torch.float32)) in moves
    assert moves[-1][1] == (X.device,)
    assert {explanation.values.device, explanation.predictions.device} == {X.device}


def test_a_model_or_references_without_values_are_refused():
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 2)).double()
    for make in (lambda: DeepShap(model, B.to("meta")), lambda: DeepShap(model.to("meta"), B)):
        with pytest.raises(ExplainerError, match="'meta'"):
            make()


def test_images_are_brought_to_the_models_precision_and_come_back_on_their_device():
    model = small().float()
    explanation = DeepShap(model, B.float())((X * 10).to(torch.uint8))
    assert explanation.values.dtype == torch.float32
    assert DeepShap(model, B)(X).values.device == X.device


def test_std_errors_of_a_single_reference_are_infinite():
    assert DeepShap(small(), B[:1])(X).std_errors.isinf().all()


class KeepsConstants(nn.Module):
    """Adds constants that are made for a shape when it is first seen, and kept outside what a module holds."""

    def __init__(self, size):
        super().__init__()
        self.look, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 2)
        self.kept = functools.lru_cache(maxsize=size)(self.made)

    def made(self, shape, like):
        steps = torch.linspace(0, 1, shape[-1], dtype=like)
        return steps.expand(shape).cumsum(2) / (1e-6 + steps.expand(shape).sum(2, keepdim=True))

    def forward(self, images):
        seen = self.look(images)
        return self.head(F.gelu(seen + self.kept(seen.shape, seen.dtype)).mean((2, 3)))


@pytest.mark.parametrize("size", [None, 1])
def test_constants_that_are_kept_by_shape_are_no_control_flow(size):
    model = KeepsConstants(size).double()
    references = pictures(20, seed=4)
    for ran_before in (False, True):  # afterwards some shapes are kept and others not
        explanation = assert_exact(model, pictures(5, seed=3), references[: 20 if ran_before else 3])
        assert explanation.completeness_gap.abs().max() < 1e-12


def test_masks_kept_in_a_global_cache_change_no_value():
    cache = {}

    def forward(m, x):
        if x.shape not in cache:
            cache[x.shape] = torch.ones_like(x).tril().to(x)
        return F.gelu(m.c(x)) * cache[x.shape]

    expected = DeepShap(small(lambda m, x: F.gelu(m.c(x)) * torch.ones_like(x).tril(), c=block()), B)
    model = small(forward, c=block())
    model.load_state_dict(expected.model.state_dict())
    torch.testing.assert_close(DeepShap(model, B)(X).values, expected(X).values)


def test_only_some_results_of_a_call_may_depend_on_the_input():
    def forward(m, x):
        constant, spread = torch.broadcast_tensors(torch.linspace(0, 1, 8).to(x), m.c(x))
        return F.gelu(spread * constant.cos()) + constant.exp()

    assert_exact(small(forward, c=block()), X, B)


@pytest.mark.parametrize("name", ["FloatFunctional", "FXFloatFunctional"])
def test_float_modules_that_torch_keeps_among_the_quantised_are_explained(name):
    model = small(
        lambda m, x: m.f.add(F.gelu(m.c(x)), x), c=block(), f=getattr(torch.ao.nn.quantized, name)()
    )
    assert_exact(model, X, B)


@pytest.mark.parametrize("name", ["resnet18", "shufflenet_v2_x0_5"])
def test_networks_made_to_be_quantised_are_explained_while_they_are_not(name):
    model = getattr(torchvision.models.quantization, name)(weights=None, quantize=False, num_classes=3)
    assert_exact(model.double().eval(), pictures(1, 64), pictures(2, 64, seed=1))


@pytest.mark.parametrize(
    ("forward", "said"),
    [
        (
            lambda x, parts: torch.cat([F.gelu(x)] * parts, 1).mean((1, 2, 3)),
            "cat of 1 tensors in this run and cat of 2",
        ),
        (
            lambda x, parts: F.gelu(x.chunk(parts, 1)[0]).mean((1, 2, 3)),
            "chunk gives 1 tensors in this run and 2",
        ),
    ],
)
def test_the_same_call_with_other_tensors_is_told_by_their_number(forward, said):
    class Model(nn.Module):
        def forward(self, x):
            return forward(x, 1 + (x > 0).nonzero().shape[0] // x.numel())

    with pytest.raises(ExplainerError, match=said):
        DeepShap(Model(), -B.abs())(X.abs())


def test_values_of_a_layer_that_cannot_be_drawn_may_keep_their_shape():
    model = nn.Sequential(nn.Conv3d(1, 2, 3), nn.ReLU(), nn.Conv3d(2, 2, 3), nn.Flatten(), nn.LazyLinear(2))
    volumes, references = torch.randn(2, 1, 6, 7, 8), torch.randn(3, 1, 6, 7, 8)
    with warnings.catch_warnings(action="ignore"):
        model(volumes)
    with pytest.raises(ExplainerError, match="spread_layer=False"):
        DeepShap(model, references, layer="2")(volumes)
    values = DeepShap(model, references, layer="2", spread_layer=False)(volumes).values
    assert values.shape == (2, 2, 2, 4, 5, 6)
    assert DeepShap(model, references)(volumes).values.shape == (2, 2, 1, 6, 7, 8)
