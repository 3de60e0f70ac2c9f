"""RegionShap: regions of every kind, closed forms, and what comes back."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from torch import nn

from shapsight import PartitionShap, RegionShap, TopK
from shapsight.attribution.explanation.region_values import Interactions, RegionValues
from shapsight.attribution.segments import label_map
from shapsight.attribution.shared.predictor import has_bfloat16
from shapsight.errors import ExplainerError

X = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.1


class Regional(nn.Module):
    """The mean of each quarter, then a function of the four numbers."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(nn.functional.adaptive_avg_pool2d(x, 2).mean(1).flatten(1))


def test_an_additive_models_regions_get_what_they_contribute():
    model = Regional(lambda q: torch.stack([q.sum(1), q[:, 0] - 2 * q[:, 3]], 1))
    explanation = RegionShap(model, 0.0, (2, 2), output_names=("sum", "some"))(X)
    quarters = nn.functional.adaptive_avg_pool2d(X, 2).mean(1)
    weights = torch.tensor([[[1, 1], [1, 1]], [[1, 0], [0, -2]]])
    expected = (quarters.unsqueeze(1) * weights / 36).repeat_interleave(6, 2).repeat_interleave(6, 3)
    torch.testing.assert_close(explanation.values[:, :, 0], expected)
    assert explanation.completeness_gap.abs().max() < 1e-12
    assert explanation.name_of(0, 1) == "some"
    assert explanation.std_errors is None
    assert explanation.settings["estimator"] == "exact"


def test_exact_values_are_those_of_all_orders_of_hidden_regions():
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.Tanh(), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    ).double()
    found = RegionShap(model, "mean", "grid(1,3)").by_region(X[:1])
    mean = X[0].mean((1, 2), keepdim=True).expand_as(X[0])

    def value(visible):
        image = mean.clone()
        for part in visible:
            image[..., 4 * part : 4 * part + 4] = X[0][..., 4 * part : 4 * part + 4]
        return model(image[None])[0].detach()

    expected = torch.zeros(3, 2, dtype=torch.float64)
    for order in itertools.permutations(range(3)):
        for place, player in enumerate(order):
            expected[player] += (value(order[: place + 1]) - value(order[:place])) / 6
    torch.testing.assert_close(found.values[0].T, expected)
    assert found.evaluations == 8


def test_roi_against_scene_shares_what_only_both_can_do():
    roi = torch.zeros(12, 12, dtype=torch.bool)
    roi[:6] = True
    model = Regional(lambda q: ((q[:, 0] + q[:, 1]) * (q[:, 2] + q[:, 3]))[:, None])
    explainer = RegionShap(model, 0.0, roi)
    both = model(X)
    torch.testing.assert_close(explainer.by_region(X).values, (both / 2).unsqueeze(2).expand(-1, -1, 2))
    pairs = explainer.interactions(X)
    torch.testing.assert_close(pairs.values[:, 0, 0, 1], both[:, 0])
    assert pairs.labels[0].bool().equal(roi)


def test_interactions_find_the_regions_that_only_work_together():
    model = Regional(lambda q: torch.stack([q[:, 0] * q[:, 3] + q[:, 1], q[:, 2]], 1))
    found = RegionShap(model, 0.0, (2, 2)).interactions(X, outputs=0).values[:, 0]
    quarters = nn.functional.adaptive_avg_pool2d(X, 2).mean(1).flatten(1)
    expected = torch.zeros(2, 4, 4, dtype=torch.float64)
    expected[:, 0, 3] = expected[:, 3, 0] = quarters[:, 0] * quarters[:, 3]
    torch.testing.assert_close(found - torch.diag_embed(found.diagonal(dim1=1, dim2=2)), expected)
    single = RegionShap(model, 0.0, (2, 2)).by_region(X, outputs=0).values[:, 0]
    torch.testing.assert_close(found.diagonal(dim1=1, dim2=2), single)


@pytest.mark.parametrize("estimator", ["kernel", "permutation"])
def test_estimators_agree_with_exact_values_within_their_standard_errors(estimator):
    torch.manual_seed(3)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 8)
    ).double()
    exact = RegionShap(model, "mean", (3, 4)).by_region(X)
    found = RegionShap(model, "mean", (3, 4), estimator, max_evals=400).by_region(X)
    z = (found.values - exact.values) / found.std_errors
    assert 0.5 < z.square().mean() < 2
    assert found.evaluations <= 2 * 400
    torch.testing.assert_close(found.values.sum(2), found.predictions - found.base_values)
    explanation = RegionShap(model, "mean", (3, 4), estimator, max_evals=400)(X)
    torch.testing.assert_close(explanation.std_errors[:, :, 0, 0, 0], found.std_errors[:, :, 0] / 12)


def test_an_images_values_are_the_same_alone_and_beside_others():
    model = Regional(lambda q: q.prod(1, keepdim=True))
    explainer = RegionShap(model, 0.0, (3, 4), "permutation", max_evals=100)
    torch.testing.assert_close(explainer.by_region(X).values[:1], explainer.by_region(X[:1]).values)


def test_images_with_other_regions_are_explained_together():
    labels = torch.zeros(2, 12, 12, dtype=torch.long)
    labels[0, :6], labels[1, :4], labels[1, 8:] = 7, -1, 3
    model = Regional(lambda q: q.sum(1, keepdim=True))
    found = RegionShap(model, 0.0, labels).by_region(X)
    assert found.labels.amax((1, 2)).tolist() == [1, 2]
    assert found.values[0, 0, 2] == 0
    torch.testing.assert_close(found.values.sum(2), model(X))
    explanation = RegionShap(model, 0.0, labels)(X)
    torch.testing.assert_close(explanation.values.sum((2, 3, 4)), model(X))


def test_plain_functions_and_top_outputs():
    pictures = (np.random.default_rng(0).random((2, 12, 12, 3)) * 255).astype(np.uint8)

    def function(images):
        assert images.dtype == np.uint8
        parts = images.astype(float).reshape(len(images), 2, 6, 12, 3).mean((2, 3, 4))
        return np.concatenate([parts, -parts], 1)

    explanation = RegionShap(function, 0, "grid(2,1)", output_names=("top", "bottom", "a", "b"))(
        pictures, TopK(1)
    )
    best = function(pictures).argmax(1)
    assert explanation.output_index.flatten().tolist() == best.tolist()
    halves = explanation.values[:, 0, 0].sum(2).unflatten(1, (2, 6)).sum(2)
    assert halves.argmax(1).tolist() == best.tolist()
    assert explanation.images.max() <= 1


def test_superpixels_follow_colour():
    image = torch.zeros(3, 40, 40)
    image[:, :, 20:] = 1
    labels = label_map("slic(8)", image, 0, 1)
    assert not set(labels[:, :19].unique().tolist()) & set(labels[:, 21:].unique().tolist())
    assert 4 <= labels.max() + 1 <= 16
    assert label_map("slic(8)", image[:1], 0, 1).shape == (40, 40)


def test_a_grid_is_numbered_row_by_row_and_its_cells_are_equal_where_they_can_be():
    labels = label_map("grid( 3, 2 )", X[0], 0, 1)
    assert labels[::4, ::6].tolist() == [[0, 1], [2, 3], [4, 5]]
    assert labels.flatten().bincount().tolist() == [24] * 6
    assert label_map((5, 7), X[0], 0, 1).flatten().bincount().min() >= 2


def test_progress_counts_coalitions():
    steps = []
    RegionShap(Regional(lambda q: q), 0.0, (2, 2))(
        X, progress=lambda done, total: steps.append((done, total))
    )
    assert steps[-1] == (32, 32)
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)


def test_what_does_not_fit_is_refused():
    model = Regional(lambda q: q)
    for make, words in (
        (lambda: RegionShap(model, 0.0, (2, 2), "guess"), "'guess' is not one of"),
        (lambda: RegionShap(model, 0.0, "grid(4)")(X), "neither of grid"),
        (lambda: RegionShap(model, 0.0, "hexagons")(X), "neither of grid"),
        (lambda: RegionShap(model, 0.0, (13, 2))(X), "does not fit an image of 12 × 12"),
        (lambda: RegionShap(model, 0.0, "slic(1)")(X), "from 2 to 144"),
        (lambda: RegionShap(model, 0.0, torch.zeros(12, 12))(X), "Threshold or round"),
        (lambda: RegionShap(model, 0.0, torch.zeros(12, 12).bool())(X), "single region"),
        (
            lambda: RegionShap(model, 0.0, torch.zeros(3, 4, dtype=torch.long))(X),
            r"\(3, 4\); the images need \(12, 12\)",
        ),
        (lambda: RegionShap(model, 0.0, {"a": 1})(X), "got dict"),
        (lambda: RegionShap(model, 0.0, (5, 5))(X), 'up to 16 regions. Use fewer, or estimator="kernel"'),
        (lambda: RegionShap(model, 0.0, (5, 5)).interactions(X), "up to 16"),
        (lambda: RegionShap(model, 0.0, (5, 5), "kernel", max_evals=60)(X), "at least 96 evaluations"),
        (lambda: RegionShap(model, 0.0, (2, 2))(X, outputs=9), "output 9 is out of range"),
    ):
        with pytest.raises(ExplainerError, match=words):
            make()


def found_by_regions(method="by_region"):
    def predict(images):
        return np.stack([images.mean((1, 2, 3)), images.max((1, 2, 3))], 1)

    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    explainer = RegionShap(
        predict, 0.0, "grid(2,2)", "permutation", max_evals=40, output_names=["mean", "$most"]
    )
    return getattr(explainer, method)(images)


@pytest.mark.parametrize("method", ["by_region", "interactions"])
def test_what_regions_are_worth_is_saved_loaded_and_drawn(tmp_path, method):
    found = found_by_regions(method)
    again = type(found).load(found.save(tmp_path / "regions.safetensors"))
    for field in dataclasses.fields(found):
        one, other = getattr(found, field.name), getattr(again, field.name)
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other
    figure = again.plot(unit="grey")
    titles = [axes.get_title() for axes in figure.axes]
    assert titles.count("mean") == titles.count("$most") == 2
    figure.savefig(tmp_path / "regions.png")


def test_a_file_of_something_else_is_refused_by_name(tmp_path):
    path = found_by_regions().save(tmp_path / "values.safetensors")
    with pytest.raises(ExplainerError, match=r"its format is 'shapsight.RegionValues/1'"):
        Interactions.load(path)
    with pytest.raises(ExplainerError, match="there is no"):
        RegionValues.load(tmp_path / "nothing")


def test_a_precision_says_what_it_changes():
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(288, 2)
    )
    image = torch.rand(1, 3, 8, 8)
    if not has_bfloat16(torch.device("cpu")):  # refused: tests/test_predictor.py
        return
    for explainer in (
        RegionShap(model, 0.0, "grid(2,2)", precision="bfloat16"),
        PartitionShap(model, 0.0, max_evals=20, precision="bfloat16"),
    ):
        settings = explainer(image).settings
        assert settings["precision"] == "bfloat16"
        assert 0 < settings["precision_difference"] < 0.1
    assert "precision" not in RegionShap(model, 0.0, "grid(2,2)")(image).settings
