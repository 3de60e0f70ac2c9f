"""image_plot under shap's names: what it accepts, and what it draws."""

from __future__ import annotations

import warnings

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from shapsight import DeepShap, Explanation
from shapsight.compat import shap as ours
from shapsight.errors import ExplainerError
from small_networks import convolutional

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import shap as theirs

RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.random((2, 10, 12, 3))
VALUES = [RANDOM.normal(size=PIXELS.shape) for _ in range(3)]


@pytest.fixture(autouse=True)
def closed():
    matplotlib.use("agg")
    plt.close("all")
    yield
    plt.close("all")


def drawn(*arguments, **options):
    return ours.image_plot(*arguments, show=False, **options)


def titles(figure):
    return [axes.get_title() for axes in figure.axes if axes.get_title()]


def heats(figure):
    """The heatmaps drawn, (panels, height, width)."""
    return np.array(
        [axes.images[1].get_array().filled(np.nan) for axes in figure.axes if len(axes.images) == 2],
        dtype=float,
    )


def test_the_picture_is_pyplots_current_figure_so_that_savefig_works(tmp_path):
    figure = drawn(VALUES, PIXELS)
    assert plt.gcf() is figure
    plt.savefig(tmp_path / "values.png")
    assert (tmp_path / "values.png").stat().st_size > 1000


def test_each_output_of_each_image_is_the_sum_over_channels():
    expected = [value[image].sum(-1) for image in range(2) for value in VALUES]
    assert np.allclose(heats(drawn(VALUES, PIXELS)), expected)


@pytest.mark.parametrize(
    ("values", "pixels"),
    [
        ([v.transpose(0, 3, 1, 2) for v in VALUES], PIXELS),
        ([v.transpose(0, 3, 1, 2) for v in VALUES], PIXELS.transpose(0, 3, 1, 2)),
        ([torch.from_numpy(v) for v in VALUES], torch.from_numpy(PIXELS)),
        (np.stack(VALUES), PIXELS),
        (np.stack(VALUES, axis=-1), PIXELS),
        (ours.Explanation(np.stack(VALUES, axis=-1), data=PIXELS), None),
        (theirs.Explanation(np.stack(VALUES, axis=-1), data=PIXELS), None),
        (
            ours.Explanation(
                np.stack(VALUES, -1).transpose(0, 3, 1, 2, 4), data=PIXELS.transpose(0, 3, 1, 2)
            ),
            None,
        ),
    ],
)
def test_all_layouts_draw_the_same(values, pixels):
    assert np.allclose(heats(drawn(values, pixels)), heats(drawn(VALUES, PIXELS)))


def test_one_image_may_come_without_its_axis():
    first = [value[0] for value in VALUES]
    expected = heats(drawn([value[:1] for value in VALUES], PIXELS[:1]))
    assert np.allclose(heats(drawn(first, PIXELS[0])), expected)
    whole = ours.Explanation(np.stack(VALUES, axis=-1), np.zeros((2, 3)), PIXELS)
    assert np.allclose(heats(drawn(whole[0])), expected)
    assert np.allclose(heats(drawn(theirs.Explanation(np.stack(VALUES, axis=-1), data=PIXELS)[0])), expected)
    assert len(heats(drawn(whole[0][..., 1]))) == 1


def test_grey_images_come_with_or_without_channels():
    values, pixels = RANDOM.normal(size=(2, 28, 28)), RANDOM.random((2, 28, 28))
    expected = heats(drawn([values[..., None]], pixels[..., None]))
    assert np.allclose(heats(drawn([values], -pixels)), expected)
    assert np.allclose(heats(drawn(values, pixels)), expected)
    assert np.allclose(heats(drawn([values[0]], pixels[0])), expected[:1])


def test_negated_pixels_are_drawn_inverted():
    picture = drawn([VALUES[0]], -PIXELS).axes[0].images[0].get_array()
    assert picture.min() >= 0 and picture.max() <= 1
    assert np.corrcoef(np.asarray(picture).ravel(), -PIXELS[0].ravel())[0, 1] > 0.999


def test_values_at_a_layers_grid_lie_over_larger_pixels():
    values = [RANDOM.normal(size=(2, 5, 6, 40))]
    assert heats(drawn(values, PIXELS)).shape == (2, 5, 6)


@pytest.mark.parametrize(
    "labels",
    [
        ["a", "b", "c"],
        np.array(["a", "b", "c"]),
        [["a", "b", "c"]],
        [["a", "b", "c"], ["a", "b", "c"]],
        ["a", "b", "c", "a", "b", "c"],
        np.tile(np.array(["a", "b", "c"]), 2),
    ],
    ids=str,
)
def test_labels_may_be_nested_as_they_are_for_shap(labels):
    assert titles(drawn(VALUES, PIXELS, labels)) == ["a", "b", "c"] * 2


def test_labels_may_differ_by_image_and_true_labels_stand_over_the_images():
    labels = np.array([["a", "b", "c"], ["c", "d", "e"]])
    found = titles(drawn(VALUES, PIXELS, labels=labels, true_labels=[7, "boot"]))
    assert found == ["7", "a", "b", "c", "boot", "c", "d", "e"]


def test_without_labels_outputs_are_numbered_and_no_prediction_is_made_up():
    assert titles(drawn(VALUES, PIXELS)) == ["output 0", "output 1", "output 2"] * 2


def test_an_explanation_names_its_outputs_and_predictions():
    base_values = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    values = np.zeros((*PIXELS.shape, 3))
    names = np.array([["a", "b", "c"], ["c", "d", "e"]])
    figure = drawn(ours.Explanation(values, base_values, PIXELS, output_names=names))
    assert titles(figure) == ["a = 1", "b = 2", "c = 3", "c = 4", "d = 5", "e = 6"]
    assert titles(drawn(ours.Explanation(values, base_values, PIXELS), labels=["x", "y", "z"]))[0] == "x = 1"


def test_parts_of_an_explanation_that_were_replaced_are_drawn():
    explanation = ours.Explanation(np.stack(VALUES, axis=-1), data=PIXELS, output_names=["a", "b", "c"])
    explanation.data = torch.from_numpy(PIXELS).numpy()[0]
    explanation.values = list(np.moveaxis(explanation.values[0], -1, 0))
    assert np.allclose(heats(drawn(explanation)), heats(drawn([v[:1] for v in VALUES], PIXELS[:1])))
    figure = drawn(explanation.values, explanation.data, explanation.output_names, true_labels=["egret"])
    assert titles(figure) == ["egret", "a", "b", "c"]


def test_our_own_explanation_is_drawn_as_it_is():
    values = torch.randn(1, 2, 3, 8, 8)
    zeros = torch.zeros(1, 2)
    explanation = Explanation(
        values, zeros, zeros, zeros, torch.tensor([[0, 1]]), torch.rand(1, 3, 8, 8), output_names=("x", "y")
    )
    assert titles(drawn(explanation)) == ["x = 0", "y = 0"]
    assert titles(drawn(explanation, labels=["a", "b"])) == ["a = 0", "b = 0"]


def test_vmax_ends_the_scale_of_every_row():
    figure = drawn(VALUES, PIXELS, vmax=2.5)
    limits = {axes.images[1].get_clim() for axes in figure.axes if len(axes.images) == 2}
    assert limits == {(-2.5, 2.5)}
    with pytest.raises(ExplainerError, match="limit=-1"):
        drawn(VALUES, PIXELS, vmax=-1)


def test_width_is_the_most_that_the_figure_takes():
    assert drawn(VALUES, PIXELS, width=7).get_size_inches()[0] <= 7.01
    assert drawn(VALUES, PIXELS, width=20).get_size_inches()[0] <= 12.01


def test_options_of_the_layout_are_accepted():
    assert drawn(VALUES, PIXELS, aspect=0.1, hspace="auto", labelpad=3)


def test_large_images_are_drawn_by_their_pixels_in_the_colours_asked_for():
    pixels, values = RANDOM.random((1, 48, 48, 3)), RANDOM.normal(size=(1, 48, 48, 3))
    figure = drawn([values], pixels, cmap="bwr")
    assert np.allclose(heats(figure), values.sum(-1))
    (colours,) = {axes.images[1].cmap(1.0)[:3] for axes in figure.axes if len(axes.images) == 2}
    assert colours == matplotlib.colormaps["bwr"](1.0)[:3]


def test_nothing_is_shown_and_nothing_returned_without_a_display(monkeypatch):
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(plt.gcf()))
    assert ours.image_plot(VALUES, PIXELS) is None and not shown
    monkeypatch.setattr(matplotlib, "get_backend", lambda: "module://matplotlib_inline.backend_inline")
    assert ours.plots.image(VALUES, PIXELS) is None and len(shown) == 1


def test_a_window_without_a_screen_is_replaced_by_a_file_backend(monkeypatch):
    make, calls = plt.figure, []

    def figure(*arguments, **options):
        calls.append(1)
        if len(calls) == 1:
            raise ImportError("Cannot load backend 'TkAgg' which requires the 'tk' interactive framework")
        return make(*arguments, **options)

    monkeypatch.setattr(plt, "figure", figure)
    with pytest.warns(UserWarning, match="there is no display"):
        assert drawn(VALUES, PIXELS)


def test_nan_is_counted_and_zeros_are_an_even_picture():
    values = [value.copy() for value in VALUES]
    values[1][0, 2, 3] = np.nan
    assert titles(drawn(values, PIXELS))[1] == "output 1\n1 pixel NaN"
    assert not heats(drawn([0 * value for value in VALUES], PIXELS)).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((VALUES,), "pixel_values is missing"),
        ((VALUES, PIXELS[:1]), r"\(2, 10, 12, 3\) are of 2 images and pixel_values \(1, 10, 12, 3\) of 1"),
        ((VALUES, PIXELS[:, :5]), r"\(2, 5, 12, 3\)|2, 3, 5, 12"),
        (([VALUES[0], VALUES[1][:1]], PIXELS), r"arrays of one shape.*\(1, 10, 12, 3\), \(2, 10, 12, 3\)"),
        (([], PIXELS), "arrays of one shape, one for each output; got nothing"),
        ((VALUES, PIXELS, ["a", "b"]), "labels has 2 names; 3 outputs of 2 images need 3, or 6"),
        (([np.zeros(4)], PIXELS), r"an array of shape \(4,\) is no images"),
        ((ours.Explanation(np.zeros(3)),), "are no images"),
    ],
)
def test_what_does_not_fit_is_named(arguments, message):
    with pytest.raises(ExplainerError, match=message):
        drawn(*arguments)
    assert not plt.get_fignums()


def test_true_labels_of_another_number_are_refused_and_leave_no_figure():
    with pytest.raises(ExplainerError, match="true_labels has 1 entries for 2 images"):
        drawn(VALUES, PIXELS, true_labels=["egret"])
    assert not plt.get_fignums()


@pytest.fixture
def last(monkeypatch):
    monkeypatch.setattr(ours, "output_layout", "last")


@pytest.mark.parametrize("layout", ["list", "last"])
@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("channels", [1, 3])
def test_what_an_explainer_returned_is_drawn_beside_its_own_images(layout, count, channels, monkeypatch):
    monkeypatch.setattr(ours, "output_layout", layout)
    network = convolutional(channels, outputs=3)
    images = torch.rand(count, channels, 16, 16)
    explainer = ours.DeepExplainer(network, torch.rand(2, channels, 16, 16))
    expected = DeepShap(network, explainer.data)(images).heatmap().flatten(0, 1)
    for pixels in (images, images.numpy(), images.permute(0, 2, 3, 1).numpy()):
        found = heats(drawn(explainer.shap_values(images), pixels))
        np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-6)
    array = np.stack([expected.numpy().reshape(count, 3, 16, 16)[:, k] for k in range(3)])
    np.testing.assert_allclose(heats(drawn(array, images[:, 0])), expected.numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_grey_images_without_channels_stay_apart_however_many(count):
    values, pixels = RANDOM.normal(size=(count, 28, 28)), RANDOM.random((count, 28, 28))
    assert np.allclose(heats(drawn(values, pixels)), values)
    assert np.allclose(heats(drawn([values, -values], pixels))[1::2], -values)
    whole = ours.Explanation(np.stack([values, -values], axis=-1), np.zeros((count, 2)), pixels)
    assert np.allclose(heats(drawn(whole))[::2], values)
    assert np.allclose(heats(drawn(whole[0])), [values[0], -values[0]])


def test_a_tensor_is_no_explanation():
    assert np.allclose(heats(drawn(torch.from_numpy(VALUES[0]), PIXELS)), heats(drawn(VALUES[0], PIXELS)))


def test_where_both_layouts_fit_the_chosen_one_decides(last):
    array, pixels = RANDOM.normal(size=(3, 3, 3, 3, 3)), RANDOM.random((3, 3, 3, 3))
    found = heats(drawn(array, pixels))
    assert np.allclose(found.reshape(3, 3, 3, 3), np.moveaxis(array.sum(3), -1, 1))
