"""Asking any model: what it gets, what it may return, and what is said when it misbehaves."""

import numpy as np
import pytest
import torch
from torch import nn

from shapsight.attribution.shared.predictor import Predictor, UnusualImageWarning, as_images, has_bfloat16
from shapsight.errors import ExplainerError


def means(images):
    return images.mean((1, 2))


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(), nn.AdaptiveAvgPool2d(1)
        )

    def forward(self, images):
        return self.layers(images).flatten(1)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64, np.float16])
def test_a_function_gets_its_images_back_as_they_were(dtype):
    images = (np.random.default_rng(0).random((3, 5, 7, 3)) * 200).astype(dtype)
    seen = []
    predictor = Predictor(lambda batch: seen.append(batch) or means(batch.astype(np.float64)))
    predictor(as_images(images, predictor))
    assert seen[0].dtype == dtype
    assert seen[0].flags.c_contiguous
    np.testing.assert_array_equal(seen[0], images)
    predictor(as_images(torch.from_numpy(images).permute(0, 3, 1, 2), predictor))
    np.testing.assert_array_equal(seen[1], images)


class Foreign:
    """A tensor of another library, which numpy reads by its protocol."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array.astype(dtype or self.array.dtype)


@pytest.mark.parametrize(
    "returned",
    [
        torch.from_numpy,
        np.asarray,
        np.ndarray.tolist,
        Foreign,
        lambda rows: list(map(tuple, rows)),
        lambda rows: list(map(Foreign, rows)),
    ],
    ids="torch numpy list foreign tuples foreign_rows".split(),
)
def test_whatever_numpy_reads_may_be_returned(returned):
    images = torch.rand(4, 3, 6, 5, dtype=torch.float64)
    rows = Predictor(lambda batch: returned(means(batch)))(images)
    torch.testing.assert_close(rows.double(), images.mean((2, 3)))


def test_single_numbers_are_one_output_and_gradients_are_dropped():
    weight = torch.ones(3, requires_grad=True)
    images = torch.rand(4, 3, 6, 5)
    rows = Predictor(lambda batch: torch.from_numpy(means(batch)) @ weight)(images)
    assert rows.shape == (4, 1)
    assert not rows.requires_grad
    assert Predictor(lambda batch: batch.sum((1, 2, 3)) > 0)(images).dtype == torch.float32


@pytest.mark.parametrize("is_scripted", [False, True])
@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_a_module_is_run_in_eval_mode_and_left_as_it_was_found(is_scripted):
    model = Network().train()
    model = torch.jit.script(model) if is_scripted else model
    images = torch.rand(5, 3, 8, 8)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    rows = Predictor(model)(images)
    assert [module.training for module in model.modules()] == [True] * len(list(model.modules()))
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    torch.testing.assert_close(rows, model.eval()(images).detach())


def test_a_module_keeps_its_own_precision_and_the_images_stay_untouched():
    images = torch.rand(5, 3, 8, 8)
    assert Predictor(Network().double())(images).dtype == torch.float64
    assert Predictor(Network().bfloat16())(images).dtype == torch.float32
    bytes_in = (images * 255).byte()
    model = Network()
    torch.testing.assert_close(Predictor(model)(bytes_in), Predictor(model)(bytes_in.float()))
    before = images.clone()
    Predictor(nn.Sequential(nn.ReLU6(inplace=True), nn.Flatten()))(images.sub_(0.5))
    assert torch.equal(images, before - 0.5)


def test_a_module_that_minds_the_strides_is_given_others():
    class Viewing(nn.Module):
        def forward(self, images):
            return images.view(len(images), -1)

    images = torch.rand(2, 3, 4, 4)
    predictor = Predictor(Viewing())
    assert torch.equal(predictor(images), images.flatten(1))
    assert torch.equal(predictor(images), images.flatten(1))


@pytest.mark.parametrize(
    ("predict", "message"),
    [
        (lambda images: means(images)[:-1], "returns 3 rows for 4 images"),
        (lambda images: means(images).T, "returns 3 rows for 4 images"),
        (lambda images: images.mean(), "single number"),
        (lambda images: images, r"shape \(4, 6, 5, 3\)"),
        (lambda images: means(images) * np.array([1, np.nan, 1]), r"NaN.*batch 1 \(4 of 4"),
        (lambda images: np.where(images.max() > 0, np.inf, 0) + means(images), "infinite"),
        (
            lambda images: 1 / 0,
            r"fails on batch 1 \(\(4, 3, 6, 5\), torch.float32\): ZeroDivisionError: division by zero",
        ),
        (lambda images: np.subtract(images, 0.5, out=images).mean((1, 2)), "changes the images.*copy"),
        (lambda images: {"logits": images}, "a dict with 'logits'; say with output="),
        (lambda images: ["a"] * 4, "an array of numbers"),
        (lambda images: [[1.0], [2.0, 3.0], [], []], "numpy cannot read"),
        (nn.Conv2d(1, 2, 3), "expected input.*to have 1 channels"),
        (nn.Conv2d(3, 2, 3), r"shape \(4, 2, 4, 3\)"),
    ],
)
def test_a_model_that_misbehaves_gets_a_clear_error(predict, message):
    with pytest.raises(ExplainerError, match=message):
        Predictor(predict)(torch.rand(4, 3, 6, 5))


def test_the_error_says_which_batch_failed():
    calls = []

    def third(images):
        calls.append(len(images))
        if len(calls) == 3:
            raise ValueError("out of order")
        return means(images)

    predictor = Predictor(third)
    predictor(torch.rand(2, 3, 4, 4))
    predictor(torch.rand(2, 3, 4, 4))
    with pytest.raises(ExplainerError, match=r"fails on batch 3 .*ValueError: out of order"):
        predictor(torch.rand(2, 3, 4, 4))
    with pytest.raises(ExplainerError, match="not str"):
        Predictor("resnet50")


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.rand(4, 4), r"\(4, 4\)"),
        (torch.rand(0, 3, 4, 4), r"\(0, 3, 4, 4\)"),
        (np.zeros((4, 4)), "also where there is one channel"),
        (np.zeros((2, 3, 32, 32)), "looks like"),
        ([np.zeros((4, 4, 3)), np.zeros((5, 4, 3))], "one array"),
        ("cat.jpg", "must be numbers"),
        (np.zeros((4, 4, 3), dtype=bool), "bool"),
        (np.zeros((4, 4, 3), dtype=np.uint32), "uint32"),
        (np.full((4, 4, 3), np.nan), "image 0 holds NaN"),
        (np.full((4, 4, 3), 1e5), "goes from 100000 to 100000.*beyond ±65535"),
    ],
)
def test_what_is_no_image_is_refused(images, message):
    with pytest.raises(ExplainerError, match=message):
        as_images(images, Predictor(means))


def test_images_in_every_usual_form_are_read_alike():
    array = np.random.default_rng(0).random((2, 6, 5, 3))
    predictor = Predictor(means)
    expected = torch.from_numpy(array).permute(0, 3, 1, 2)
    for form in (array, list(array), array.astype(">f8"), expected, expected.requires_grad_()):
        assert torch.equal(as_images(form, predictor), expected)
    assert torch.equal(as_images(array[0], predictor), expected[:1])
    assert torch.equal(as_images(expected[0], predictor), expected[:1])


def test_an_image_divided_by_255_twice_is_pointed_out():
    with pytest.warns(UnusualImageWarning, match="twice"):
        as_images(torch.rand(1, 3, 4, 4) / 255, Predictor(means))
    as_images(torch.zeros(1, 3, 4, 4), Predictor(means))


def test_bfloat16_is_near_the_full_precision_or_refused_where_it_is_only_emulated():
    model, images = Network(), torch.rand(5, 3, 8, 8)
    if not has_bfloat16(torch.device("cpu")):
        with pytest.raises(ExplainerError, match="emulation"):
            Predictor(model, precision="bfloat16")
        return
    rows, full = Predictor(model, precision="bfloat16")(images), Predictor(model)(images)
    assert rows.dtype == torch.float32
    assert 0 < (rows - full).abs().max() < 0.02
    with pytest.raises(ExplainerError, match="for torch modules"):
        Predictor(means, precision="bfloat16")
    with pytest.raises(ExplainerError, match="neither None nor 'bfloat16'"):
        Predictor(model, precision="float8")
