"""Unusual images, trees, maskers and numbers, each of which once ended in an error of torch or in a wrong answer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from shapsight import GradientShap, PartitionShap, TopK, maskers, trees
from shapsight.attribution.deep import CompletenessWarning
from shapsight.attribution.maskers import Masker
from shapsight.errors import ExplainerError


def mean(images):
    return images.reshape(len(images), -1).mean(1)


IMAGE = torch.rand(1, 3, 7, 5, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", [(1, 209, 224), (3, 209, 224), (1, 64, 1024)])
def test_a_region_tree_of_one_flat_area(size):
    root = trees.regions(torch.ones(size))
    assert root.size == size[1] * size[2]
    assert len(root.layout.merges.pairs) == root.size - 1


def test_a_region_tree_of_a_picture_on_white():
    image = torch.ones(3, 320, 300)
    image[:, 100:140, 90:150] = torch.rand(3, 40, 60, generator=torch.Generator().manual_seed(0))
    assert len(trees.regions(image).layout.merges.pairs) == 320 * 300 - 1


def test_a_region_tree_needs_finite_numbers():
    with pytest.raises(ExplainerError, match="finite"):
        trees.regions(torch.full((3, 4, 4), torch.inf))


@pytest.mark.parametrize("contexts", ["auto", "both", 0])
@pytest.mark.parametrize(
    "image", [torch.zeros(1, 32, 32), torch.full((3, 32, 32), 0.5)], ids=["black", "grey"]
)
def test_a_tolerance_alone_ends_where_there_is_nothing_to_share(image, contexts):
    explanation = PartitionShap(mean, "mean", max_evals=None, tolerance=0.01, contexts=contexts)(image)
    assert explanation.settings["evaluations"][0] < 50


def test_a_tree_of_another_shape_is_refused():
    with pytest.raises(ExplainerError, match="does not hold every pixel"):
        PartitionShap(mean, "mean", lambda image: trees.axis(image.transpose(1, 2)), 9)(IMAGE)
    with pytest.raises(ExplainerError, match="must return a Node"):
        PartitionShap(mean, "mean", lambda image: None, 9)(IMAGE)


class Doubtful:
    """A tree whose halves hold fewer pixels than they say."""

    def __init__(self, root):
        self.root, self.index, self.size = root, root.index, root.size

    def halves(self):
        first, second = self.root.halves()
        wrong = Doubtful(first)
        wrong.size = first.size * 3
        wrong.halves = lambda: None
        return wrong, second


def test_a_tree_that_counts_wrongly_is_told_by_its_sum():
    with pytest.warns(CompletenessWarning, match="its size must be their number"):
        PartitionShap(mean, 0.0, lambda image: Doubtful(trees.axis(image)), 9)(IMAGE)


def test_references_of_a_masker_must_be_finite():
    with pytest.raises(ExplainerError, match="NaN or infinite"):
        maskers.References(torch.full((2, 3, 7, 5), torch.nan))


class Holes(Masker):
    def hide(self, image, visible):
        return torch.where(visible, image, torch.nan)


def test_a_masker_that_makes_nan_does_not_look_like_a_function_that_writes():
    with pytest.raises(ExplainerError, match="NaN or infinite numbers"):
        PartitionShap(mean, Holes(), max_evals=5)(IMAGE)


class Scribbling(Masker):
    def hide(self, image, visible):
        image.mul_(0.5)
        return torch.where(visible, image, 0.0)


def test_a_masker_cannot_write_into_the_image():
    image = IMAGE.clone()
    PartitionShap(nn.Sequential(nn.Flatten(), nn.Linear(105, 2)), Scribbling(), max_evals=5)(image)
    assert torch.equal(image, IMAGE)


class Listing(Masker):
    def hide(self, image, visible):
        return [image] * len(visible)


def test_a_masker_must_return_a_tensor():
    with pytest.raises(ExplainerError, match="must return a tensor"):
        PartitionShap(mean, Listing(), max_evals=5)(IMAGE)


@pytest.mark.parametrize("masker", ["blur(3,3)", "inpaint_telea", "mean"])
def test_bfloat16_images(masker):
    explanation = PartitionShap(mean, masker, max_evals=9)(IMAGE.bfloat16())
    assert explanation.completeness_gap.abs().max() < 1e-6


@pytest.mark.parametrize("text", ["blur(1e400,3)", "blur(nan,3)", "blur(2.5,3)"])
def test_numbers_that_are_no_sizes_show_the_grammar(text):
    with pytest.raises(ExplainerError, match="write one of"):
        maskers.as_masker(text)


def test_the_hint_of_a_box_that_is_too_large_can_be_followed():
    with pytest.raises(ExplainerError, match='use "mean"'):
        PartitionShap(mean, "blur(5,5)", max_evals=5)(torch.rand(1, 1, 1, 3))


def test_a_fraction_is_no_colour_of_whole_numbers():
    with pytest.raises(ExplainerError, match="fraction"):
        PartitionShap(mean, 0.5, max_evals=5)(torch.zeros(1, 3, 4, 4, dtype=torch.uint8))


def test_arrays_of_few_rows_are_taken():
    assert (
        PartitionShap(mean, 0.0, "axis", max_evals=9)(
            np.random.default_rng(0).random((1, 20, 3))
        ).values.numel()
        == 60
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_evals": "9"}, "whole number"),
        ({"max_evals": float("nan")}, "whole number"),
        ({"tolerance": "x"}, "between 0 and 1"),
        ({"batch_size": 1.5}, "whole number"),
    ],
)
def test_numbers_of_another_kind_are_refused(options, message):
    with pytest.raises(ExplainerError, match=message):
        PartitionShap(mean, 0.0, **options)


@pytest.mark.parametrize("options", [{"samples": 2.5}, {"batch_size": "4"}, {"smoothing": "x"}])
def test_numbers_of_another_kind_are_refused_by_gradientshap(options):
    with pytest.raises(ExplainerError, match="must be"):
        GradientShap(nn.Linear(2, 2), torch.zeros(2, 3, 4, 4), **options)


@pytest.mark.parametrize("outputs", [1.5, True, slice(2), [0.5]])
def test_outputs_are_whole_numbers_or_names(outputs):
    model = nn.Sequential(nn.Flatten(), nn.Linear(105, 2))
    with pytest.raises(ExplainerError, match="whole number or a name"):
        PartitionShap(model, 0.0, max_evals=5)(IMAGE, outputs)


def test_outputs_may_be_an_array_and_topk_is_whole():
    model = nn.Sequential(nn.Flatten(), nn.Linear(105, 3))
    assert PartitionShap(model, 0.0, max_evals=5)(IMAGE, np.array([2, 0])).output_index.tolist() == [[2, 0]]
    with pytest.raises(ExplainerError, match="whole number of outputs"):
        TopK(2.0)


def test_a_function_without_outputs_or_with_changing_ones():
    with pytest.raises(ExplainerError, match="at least one"):
        PartitionShap(lambda images: np.zeros((len(images), 0)), 0.0, max_evals=5)(IMAGE)
    with pytest.raises(ExplainerError, match="2 are expected"):
        PartitionShap(lambda images: np.zeros((len(images), 1 + len(images))), 0.0, max_evals=9)(IMAGE)


class Squares(nn.Module):
    def forward(self, images):
        return images.square().mean((1, 2, 3))


def test_a_single_sample_does_not_say_what_its_gap_comes_from():
    with pytest.warns(CompletenessWarning, match="within its sampling error"):
        GradientShap(Squares(), torch.zeros(1, 3, 7, 5), samples=1)(9 * IMAGE)


def test_a_layer_in_its_own_shape_has_standard_errors():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(60, 1))
    explanation = GradientShap(model, torch.rand(4, 3, 7, 5), layer="1", spread_layer=False, samples=16)(
        IMAGE
    )
    assert explanation.std_errors.shape == explanation.values.shape
    assert explanation.std_errors.max() > 0
