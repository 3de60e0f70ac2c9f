"""Explanations for and from other libraries, tested against the installed ones."""

import json
import sys

import matplotlib
import numpy as np
import pytest
import torch
from captum.attr import DeepLift, GradientShap, IntegratedGradients
from torch import nn

from explanations import NAMES, RANKED, made, same
from shapsight import DeepShap, Explanation
from shapsight.errors import ExplainerError, MissingDependency

shap = pytest.importorskip("shap")
matplotlib.use("Agg")
SAME_OUTPUTS = torch.tensor([[0, 1]] * 3)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3)
        self.relu = nn.ReLU()
        self.last = nn.Linear(4 * 6 * 4, 4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.last(self.relu(self.convolution(images)).flatten(1))


def test_xarray_has_named_dimensions_and_coordinates():
    whole = made(SAME_OUTPUTS, model_name="all rooms")
    data = whole.to_xarray()
    assert dict(data.sizes) == {"image": 3, "output": 2, "channel": 3, "height": 6, "width": 5}
    assert data.output.values.tolist() == ["ant", "bee"]
    np.testing.assert_array_equal(data.shap_values.sel(output="bee"), whole.values[:, 1])
    np.testing.assert_allclose(
        data.shap_values.sum(("channel", "height", "width")) + data.base_values + data.completeness_gap,
        data.predictions,
        rtol=1e-4,
        atol=1e-4,
    )
    np.testing.assert_array_equal(data.std_errors, whole.std_errors)
    assert data.unresolved.dims == ("image", "output", "height", "width")
    np.testing.assert_array_equal(data.images.transpose("image", "channel", "height", "width"), whole.images)
    assert data.attrs["method"] == "PartitionSHAP" and data.attrs["model_name"] == "all rooms"
    assert json.loads(data.attrs["settings"])["max_evals"] == 50


def test_xarray_names_every_image_s_own_outputs_and_other_sizes_of_the_drawn_image():
    whole = made(RANKED, channels=1, images=torch.rand(3, 3, 8, 5), std_errors=None, unresolved=None)
    data = whole.to_xarray()
    assert data.output.values.tolist() == [0, 1]
    assert data.output_name.values.tolist() == whole.names()
    assert data.images.dims == ("image", "image_channel", "image_height", "width")
    assert "std_errors" not in data and "unresolved" not in data
    assert made()[:0].to_xarray().sizes["image"] == 0


@pytest.mark.parametrize("module, method", [("xarray", "to_xarray"), ("shap", "to_shap")])
def test_a_missing_library_is_named_with_how_to_install_it(module, method, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependency, match=f"needs .*{module}.*: pip install"):
        getattr(made(), method)()


@pytest.mark.parametrize("index", [RANKED, RANKED[:2], SAME_OUTPUTS, RANKED[:, :1], RANKED[:1]])
def test_an_explanation_goes_to_shap_and_back(index):
    whole = made(index, std_errors=None, unresolved=None)
    theirs = whole.to_shap()
    assert isinstance(theirs, shap.Explanation)
    assert theirs.shape == (len(whole), 6, 5, 3, index.shape[1])
    back = Explanation.from_shap(theirs, predictions=whole.predictions, output_names=NAMES)
    assert same(back, whole) or torch.allclose(back.completeness_gap, whole.completeness_gap, atol=1e-5)
    assert torch.equal(back.values, whole.values) and torch.equal(back.images, whole.images)
    assert torch.equal(back.base_values, whole.base_values)
    assert torch.equal(back.output_index, whole.output_index) and back.output_names == NAMES
    unnamed = Explanation.from_shap(theirs)
    assert unnamed.names() == whole.names()
    assert unnamed.predictions.isnan().all() and "gap unknown" in repr(unnamed)


def test_shap_slices_what_it_is_given():
    whole = made(RANKED[:2])
    theirs = whole.to_shap()
    for image in range(2):
        one = theirs[image]
        assert one.shape == (6, 5, 3, 2) and list(one.output_names) == whole.names()[image]
        np.testing.assert_array_equal(one.base_values, whole.base_values[image])
        np.testing.assert_array_equal(one.error_std, whole.std_errors[image].permute(2, 3, 1, 0))
        back = Explanation.from_shap(one)
        assert torch.equal(back.values, whole.values[image : image + 1])
        assert back.names() == [whole.names()[image]]
    column = theirs[..., 1]
    np.testing.assert_array_equal(column.values, whole.values[:, 1].permute(0, 2, 3, 1))
    back = Explanation.from_shap(column)
    assert torch.equal(back.base_values, whole.base_values[:, 1:])
    assert back.names() == [row[1:] for row in whole.names()]


def test_shap_slices_as_many_images_as_channels_whose_outputs_have_the_same_names():
    whole = made(SAME_OUTPUTS)
    one = whole.to_shap()[2]
    np.testing.assert_array_equal(one.values, whole.values[2].permute(2, 3, 1, 0))
    assert list(one.output_names) == ["ant", "bee"]
    np.testing.assert_array_equal(whole.to_shap()[1:, ..., 1].base_values, whole.base_values[1:, 1])


@pytest.mark.parametrize("channels", [1, 3])
def test_shap_s_own_plot_draws_it_with_our_names_and_values(channels):
    import matplotlib.pyplot as plt

    whole = made(RANKED, channels=channels, images=torch.rand(3, 3, 6, 5))
    shap.image_plot(whole.to_shap(), show=False)
    axes = plt.gcf().axes
    np.testing.assert_allclose(axes[5].images[-1].get_array(), whole.heatmap()[1, 1], rtol=1e-5, atol=1e-6)
    assert [a.get_title() for a in axes[:9]] == ["", "cow", "ant", "", "ant", "cow", "", "cow", "dog"]
    plt.close("all")


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")  # of shap with NumPy 2
def test_what_shap_s_deep_explainer_computes_is_taken_over():
    torch.manual_seed(3)
    model, references, images = Net().eval(), torch.rand(6, 3, 8, 6), torch.rand(2, 3, 8, 6)
    theirs = shap.DeepExplainer(model, references)(images)
    with torch.no_grad():
        predictions = model(images)
    taken = Explanation.from_shap(theirs, predictions=predictions, output_names=NAMES)
    ours = DeepShap(model, references, output_names=NAMES)(images)
    torch.testing.assert_close(taken.values.float(), ours.values, rtol=1e-3, atol=1e-5)
    assert taken.names() == ours.names() and taken.base_values.isnan().all()
    torch.testing.assert_close(taken.images, images)


def test_what_shap_s_partition_explainer_computes_is_taken_over():
    torch.manual_seed(3)
    weights = np.random.default_rng(0).normal(size=(8 * 6 * 3, 4))
    pictures = np.random.default_rng(1).uniform(size=(3, 8, 6, 3))

    def predict(batch):
        return np.tanh(batch.reshape(len(batch), -1) @ weights)

    masker = shap.maskers.Image(np.zeros((8, 6, 3)), (8, 6, 3))
    explainer = shap.Explainer(predict, masker, output_names=list(NAMES))
    top = shap.Explanation.argsort.flip[:2]
    theirs = explainer(pictures, max_evals=60, batch_size=20, outputs=top, silent=True)
    taken = Explanation.from_shap(theirs, output_names=NAMES, method="shap.PartitionExplainer")
    assert taken.output_index.tolist() == np.argsort(predict(pictures))[:, ::-1][:, :2].tolist()
    total = taken.values.sum((2, 3, 4)) + taken.base_values
    expected = np.take_along_axis(predict(pictures), taken.output_index.numpy(), 1)
    np.testing.assert_allclose(total, expected, rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(taken.images.movedim(1, -1), pictures)
    taken.plot()


@pytest.mark.parametrize(
    "values, data, options, words",
    [
        (np.zeros((2, 7)), np.zeros((2, 7)), {}, r"\(2, 7\) do not fit images of shape \(2, 7\)"),
        (np.zeros((2, 3, 4, 3, 1)), np.zeros((2, 3, 4, 3)), {}, "pass channels='first' or 'last'"),
        (np.zeros((2, 5, 4, 3, 1)), np.zeros((3, 5, 4, 3)), {}, "do not fit images"),
        (np.zeros((2, 5, 4, 3, 1)), np.zeros((2, 9, 4, 3)), {}, "of 5 × 4 pixels do not fit images of 9 × 4 pixels"),
        (np.zeros((2, 5, 4, 3, 2)), np.zeros((2, 5, 4, 3)), {"output_names": ["a"] * 3}, "3 output_names do not fit 2"),
        (np.zeros((2, 5, 4, 3, 2)), np.zeros((2, 5, 4, 3)), {"predictions": [1, 2, 3]}, r"predictions of shape \(3,\)"),
    ],
)  # fmt: skip
def test_shap_values_that_are_not_of_images_are_refused(values, data, options, words):
    with pytest.raises(ExplainerError, match=words):
        Explanation.from_shap(shap.Explanation(values, data=data), **options)


def test_where_the_channels_are_may_be_said():
    values = np.random.default_rng(0).normal(size=(2, 3, 4, 3, 1))
    theirs = shap.Explanation(values, data=np.zeros((2, 3, 4, 3)))
    assert Explanation.from_shap(theirs, channels="first").values.shape == (2, 1, 3, 4, 3)
    assert Explanation.from_shap(theirs, channels="last").values.shape == (2, 1, 3, 3, 4)


def test_captum_s_attributions_are_taken_over_with_their_gap():
    model, images = Net().double().eval(), torch.rand(3, 3, 8, 6, dtype=torch.float64)
    method = IntegratedGradients(model)
    attributions, delta = method.attribute(images, target=2, n_steps=8, return_convergence_delta=True)
    predictions, base = model(images), model(torch.zeros(1, 3, 8, 6, dtype=torch.float64))[0]
    taken = Explanation.from_captum(
        attributions, images, target=2, predictions=predictions, base_values=base, output_names=NAMES
    )
    assert torch.equal(taken.values[:, 0], attributions) and taken.names() == [["cow"]] * 3
    torch.testing.assert_close(taken.completeness_gap[:, 0], -delta, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(taken.predictions[:, 0], predictions[:, 2].detach())
    alone = Explanation.from_captum(attributions, images, target=2, delta=delta)
    torch.testing.assert_close(alone.completeness_gap, taken.completeness_gap, rtol=1e-6, atol=1e-9)
    assert alone.predictions.isnan().all()
    assert not taken.values.requires_grad and not taken.predictions.requires_grad


@pytest.mark.filterwarnings("ignore:Setting forward, backward hooks:UserWarning")
def test_captum_s_deeplift_of_several_targets_is_our_deepshap_of_one_reference():
    model, images, reference = Net().eval(), torch.rand(3, 3, 8, 6), torch.rand(1, 3, 8, 6)
    method = DeepLift(model)
    given = images.clone().requires_grad_()
    parts = [method.attribute(given, reference, target=target) for target in (1, 3)]
    predictions, base = model(images), model(reference)[0]
    taken = Explanation.from_captum(
        parts,
        images,
        target=[1, 3],
        predictions=predictions,
        base_values=base,
        output_names=NAMES,
        method="DeepLIFT",
    )
    ours = DeepShap(model, reference, output_names=NAMES)(images, ["bee", "dog"])
    torch.testing.assert_close(taken.values.float(), ours.values, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(taken.predictions, ours.predictions)
    torch.testing.assert_close(taken.base_values, ours.base_values.float())
    assert (taken - ours).heatmap().abs().max() < 1e-4


def test_captum_may_explain_another_target_of_each_image():
    model, images = Net().eval(), torch.rand(3, 3, 8, 6)
    target = model(images).argmax(1)
    attributions = GradientShap(model).attribute(images, torch.rand(4, 3, 8, 6), target=target)
    taken = Explanation.from_captum(attributions, images, target=target, predictions=model(images))
    torch.testing.assert_close(taken.predictions[:, 0], model(images).detach().amax(1))
    assert taken.output_index[:, 0].tolist() == target.tolist()


PICTURES = torch.zeros(2, 3, 4, 4)


@pytest.mark.parametrize(
    "given, options, words",
    [
        (torch.zeros(2, 3, 2, 2), {}, "interpolate"),
        (torch.zeros(3, 3, 4, 4), {}, "do not fit images"),
        ([PICTURES, PICTURES], {"target": 1}, "1 targets for 2 attributions"),
        (PICTURES, {"target": [0, 1]}, "2 targets for 1 attributions"),
        (PICTURES, {"target": torch.tensor([0, 1, 2])}, "does not fit 2 images"),
        (PICTURES, {"target": 5, "predictions": torch.zeros(2, 3)}, r"shape \(2, 3\) do not fit .* column 5"),
        (PICTURES, {"base_values": torch.zeros(4, 3)}, r"base_values of shape \(4, 3\) do not fit"),
        (PICTURES, {"delta": torch.zeros(3)}, r"delta has \[3\] entries"),
        ([], {}, "no attributions"),
    ],
)  # fmt: skip
def test_attributions_of_captum_that_do_not_fit_are_refused(given, options, words):
    with pytest.raises(ExplainerError, match=words):
        Explanation.from_captum(given, PICTURES, **options)
