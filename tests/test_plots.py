"""Pictures, judged by what is drawn: data, colour limits, texts and where they stand."""

import dataclasses
import io
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from pictures import (
    assert_texts_have_room,
    drawn_texts,
    explained,
    heat_of,
    panels,
    photographs,
)
from shapsight.attribution.explanation.heatmaps import compare_plot, image_plot
from shapsight.data.sources.idx import FASHION
from shapsight.drawing import style
from shapsight.errors import ExplainerError


@pytest.mark.parametrize("count, outputs", [(1, 1), (3, 2), (2, 10)])
def test_every_image_has_a_row_with_a_heatmap_for_each_output_and_a_colour_bar(count, outputs):
    explanation = explained(count, outputs)
    rows = panels(image_plot(explanation, cell=1), 1 + outputs)
    assert len(rows) == count
    for image, (photo, *heats, _) in enumerate(rows):
        np.testing.assert_allclose(
            photo.images[0].get_array(), explanation.images[image].permute(1, 2, 0), atol=1e-6
        )
        for output, axes in enumerate(heats):
            np.testing.assert_allclose(
                heat_of(axes), explanation.heatmap()[image, output], rtol=1e-5, atol=1e-9
            )


def test_a_row_has_one_scale_symmetric_around_zero_that_ends_at_the_percentile():
    explanation = explained(3, 2)
    for image, (_, *heats, bar) in enumerate(panels(image_plot(explanation, cell=1, scale_percentile=90), 3)):
        expected = np.percentile(explanation.heatmap()[image].abs().numpy(), 90)
        for axes in [*heats, bar]:
            low, high = axes.images[-1].get_clim()
            assert low == -high
            assert high == pytest.approx(expected, rel=1e-5)
        assert bar.get_ylim() == pytest.approx((-expected, expected), rel=1e-5)


def test_one_extreme_pixel_does_not_wash_out_the_rest():
    explanation = explained(1, 1)
    values = explanation.values.clone()
    values[0, 0, 0, 5, 5] = 1e6
    spoiled = dataclasses.replace(explanation, values=values)
    limits = [panels(image_plot(e, cell=1), 2)[0][1].images[-1].get_clim()[1] for e in (explanation, spoiled)]
    assert limits[1] == pytest.approx(limits[0], rel=0.2)


def test_red_raises_and_blue_lowers_and_zero_shows_the_image():
    red, clear, blue = style.HEAT(1.0), style.HEAT(0.5), style.HEAT(0.0)
    assert red[0] > red[2] and red[3] == 1
    assert blue[2] > blue[0] and blue[3] == 1
    assert clear[3] == 0


@pytest.mark.parametrize("kind", ["full colour vision", "protanopia", "deuteranopia"])
def test_the_two_colours_stay_apart_for_colour_blind_eyes(kind):
    """Machado, Oliveira and Fernandes 2009, table 1, severity 1, on linear RGB."""
    see = {
        "full colour vision": np.eye(3),
        "protanopia": [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ],
        "deuteranopia": [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ],
    }[kind]
    red, blue = (np.array(see) @ (np.array(to_rgb(colour)) ** 2.2) for colour in (style.RAISES, style.LOWERS))
    # The blue channel carries the difference for dichromats: it must be large, in display values.
    display = np.abs(np.clip(red, 0, 1) ** (1 / 2.2) - np.clip(blue, 0, 1) ** (1 / 2.2))
    assert display.max() > 0.35


def test_cells_keep_the_sum_of_the_shap_values_also_where_the_side_is_no_multiple():
    explanation = explained(1, 2, (41, 58))
    (_, *heats, _), *_ = panels(image_plot(explanation, cell=4), 3)
    for output, axes in enumerate(heats):
        cells = heat_of(axes)
        assert cells.shape == (11, 15)
        np.testing.assert_allclose(cells.sum(), explanation.heatmap()[0, output].sum(), rtol=1e-4)
        np.testing.assert_allclose(cells[1, 2], explanation.heatmap()[0, output, 4:8, 8:12].sum(), rtol=1e-4)
        assert axes.get_xlim() == (-0.5, 57.5)
        assert axes.images[-1].get_extent() == [-0.5, 59.5, 43.5, -0.5]


def test_pixels_of_small_images_are_drawn_and_those_of_large_ones_by_cells_the_bar_tells_of(monkeypatch):
    small = panels(image_plot(explained(1, 2, (28, 28), 1)), 3)[0]
    assert heat_of(small[1]).shape == (28, 28)
    figure = image_plot(explained(1, 2, (512, 512)), detail="pixels")
    cells = heat_of(panels(figure, 3)[0][1])
    assert 40 < len(cells) < 120
    side = round(512 / len(cells))
    said = " ".join(text.get_text() for text in drawn_texts(figure, monkeypatch))
    assert f"of {side}×{side} pixels" in said.replace("\n", " ")


def test_titles_say_the_output_and_its_prediction():
    explanation = explained(2, 2, names=("x", "y"))
    for image, (_, *heats, _) in enumerate(panels(image_plot(explanation), 3)):
        for output, axes in enumerate(heats):
            name, value = axes.get_title().split(" = ")
            assert name == "xy"[output]
            said = float(value.replace("−", "-"))
            assert said == pytest.approx(explanation.predictions[image, output].item(), rel=6e-3)


@pytest.mark.parametrize(
    "count, outputs, size, channels, options",
    [
        (1, 1, (40, 40), 3, {}),
        (2, 2, (96, 96), 3, {"targets": [[10, 20], [0, 95]], "predictions_xy": [[-9, 20], [50, 120]]}),
        (3, 2, (40, 40), 3, {}),
        (12, 2, (64, 64), 3, {}),
        (2, 10, (28, 28), 1, {"labels": FASHION, "true_labels": ["Ankle boot", "T-shirt/top"]}),
        (3, 4, (500, 500), 3, {"labels": ["American egret, great white heron, Egretta", "owl", "$5$", "a" * 60]}),
        (2, 2, (30, 240), 3, {}),
        (2, 2, (240, 30), 3, {}),
        (1, 2, (1024, 1024), 1, {}),
        (2, 3, (40, 40), 3, {"width": 4.0, "true_labels": ["a very long caption that somebody wrote", "b"]}),
        (50, 1, (28, 28), 1, {}),
    ],
)  # fmt: skip
def test_no_texts_collide_in_pictures_of_explanations(count, outputs, size, channels, options, monkeypatch):
    names = tuple(f"output {number}" for number in range(outputs))
    assert_texts_have_room(
        image_plot(explained(count, outputs, size, channels, names), **options), monkeypatch
    )


@pytest.mark.parametrize("outputs, size", [(10, (224, 224)), (2, (30, 240)), (1, (64, 64))])
def test_the_label_of_the_colour_bar_is_never_cut(outputs, size, monkeypatch):
    said = [text.get_text() for text in drawn_texts(image_plot(explained(1, outputs, size)), monkeypatch)]
    label = next(text for text in said if text.startswith("SHAP value")).replace("\n", " ")
    assert label.endswith(", units of the output") and "…" not in label


def test_the_target_is_a_ring_and_the_prediction_a_cross_at_their_pixels(monkeypatch):
    figure = image_plot(
        explained(2, 1),
        targets=[[12, 30], [np.nan, np.nan]],
        predictions_xy=torch.tensor([[20.5, 3], [5, 6]]),
    )
    first, second = (row[0] for row in panels(figure, 2))
    ring, cross = first.lines
    assert (ring.get_marker(), cross.get_marker()) == ("o", "x")
    assert ring.get_xydata().tolist() == [[12, 30]]
    assert cross.get_xydata().tolist() == [[20.5, 3]]
    assert [line.get_marker() for line in second.lines] == ["x"]
    said = [text.get_text() for text in drawn_texts(figure, monkeypatch)]
    assert "target" in said and "prediction" in said


def test_a_prediction_beyond_the_image_is_an_arrowhead_at_the_border_not_a_cross_inside():
    figure = image_plot(explained(2, 1), predictions_xy=[[400, 20], [20, -7]])
    right, up = (row[0].lines[0] for row in panels(figure, 2))
    assert (right.get_marker(), right.get_xydata().tolist()) == (">", [[39, 20]])
    assert (up.get_marker(), up.get_xydata().tolist()) == ("^", [[20, 0]])


def test_zero_attributions_give_an_even_picture_without_an_invented_scale():
    explanation = explained(1, 2)
    flat = dataclasses.replace(explanation, values=torch.zeros_like(explanation.values))
    _, *heats, bar = panels(image_plot(flat), 3)[0]
    for axes in heats:
        assert not style.HEAT(axes.images[-1].norm(heat_of(axes)))[..., 3].any()
    assert [label.get_text() for label in bar.get_yticklabels()] == ["", "0", ""]


def test_values_that_are_mostly_zero_are_scaled_by_their_largest():
    explanation = explained(1, 1)
    values = torch.zeros_like(explanation.values)
    values[0, 0, 0, 3, 3] = 0.25
    axes = panels(image_plot(dataclasses.replace(explanation, values=values), cell=1), 2)[0][1]
    assert axes.images[-1].get_clim() == (-0.25, 0.25)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_values_that_are_no_numbers_are_grey_and_counted_in_the_title(bad, monkeypatch):
    explanation = explained(1, 2)
    values = explanation.values.clone()
    values[0, 0, :, 4:6, 10:13] = bad
    figure = image_plot(dataclasses.replace(explanation, values=values), cell=1)
    first, second = panels(figure, 3)[0][1:3]
    assert np.isnan(heat_of(first)).sum() == 6
    assert "6 pixels NaN" in first.get_title()
    assert "NaN" not in second.get_title()
    grey = style.HEAT(np.ma.masked_invalid([np.nan]))[0]
    assert len(set(grey[:3])) == 1 and grey[3] == 1
    assert_texts_have_room(figure, monkeypatch)


def test_all_values_may_be_missing():
    explanation = explained(1, 1)
    figure = image_plot(dataclasses.replace(explanation, values=explanation.values * float("nan")))
    heat = panels(figure, 2)[0][1]
    assert np.isnan(heat_of(heat)).all()
    assert f"{explanation.values[0, 0, 0].numel()} pixels NaN" in heat.get_title().replace(",", "")


def test_pixels_may_be_channels_last_in_255_grey_or_negated():
    explanation = explained(2, 1)
    expected = explanation.images.permute(0, 2, 3, 1).numpy()

    def drawn(pixels):
        return np.stack(
            [row[0].images[0].get_array() for row in panels(image_plot(explanation, pixels=pixels), 2)]
        )

    np.testing.assert_allclose(drawn(expected), expected, atol=1e-6)
    np.testing.assert_allclose(drawn((expected * 255).round().astype(np.uint8)), expected, atol=3e-3)
    assert drawn(expected.mean(-1)).shape == (2, 40, 40)
    grey = expected.mean(-1)
    stretched = (grey.max() - grey) / (grey.max() - grey.min())
    np.testing.assert_allclose(drawn(-grey), stretched, atol=1e-6)


def test_pixels_may_have_another_resolution_than_the_heatmaps():
    photo, heat, _ = panels(
        image_plot(explained(1, 1), pixels=photographs(1, (160, 160)), targets=[[150, 140]]), 2
    )[0]
    assert photo.get_xlim() == (-0.5, 159.5)
    assert photo.lines[0].get_xydata().tolist() == [[150, 140]]
    assert heat.images[0].get_extent() == [-0.5, 39.5, 39.5, -0.5]


@pytest.mark.parametrize(
    "options, words",
    [
        ({"true_labels": ["one"]}, "true_labels has 1 entries for 2 images"),
        ({"labels": ["x"]}, "one name for each of 2 outputs"),
        ({"labels": [["x", "y"]]}, "such a list for each of 2 images"),
        ({"targets": [[1, 2]]}, r"target points have shape \(1, 2\); 2 images need \(2, 2\)"),
        ({"pixels": np.zeros((2, 3, 40, 80))}, r"\(2, 3, 40, 80\) do not fit 2 heatmaps of 40 × 40"),
        ({"pixels": np.zeros((3, 3, 40, 40))}, r"\(3, 3, 40, 40\) do not fit 2 heatmaps"),
        ({"pixels": np.zeros((40, 40))}, r"\(40, 40\) do not fit"),
    ],
)
def test_what_does_not_fit_the_explanation_is_refused_with_both_sizes(options, words):
    with pytest.raises(ExplainerError, match=words):
        image_plot(explained(2, 2), **options)


def test_an_empty_explanation_is_refused():
    with pytest.raises(ExplainerError, match="nothing to draw"):
        image_plot(explained(2, 1).select(images=slice(0, 0)))


def test_a_dollar_sign_in_a_name_is_no_formula(monkeypatch):
    figure = image_plot(explained(1, 1), labels=["$\\frac{1}{"], true_labels=["$x$ and $y"])
    assert_texts_have_room(figure, monkeypatch)


def test_two_models_are_drawn_side_by_side_on_one_scale(monkeypatch):
    first = explained(2, 2)
    second = dataclasses.replace(first, values=first.values * 3, predictions=first.predictions * 3)
    figure = compare_plot(first, second, ("room 1 only", "all rooms"), "y", cell=1, targets=[[3, 4], [5, 6]])
    for image, (photo, before, after, _) in enumerate(panels(figure, 3)):
        assert before.images[-1].get_clim() == after.images[-1].get_clim()
        np.testing.assert_allclose(heat_of(after), 3 * heat_of(before), rtol=1e-5, atol=1e-9)
        assert before.get_title().splitlines()[0] == "room 1 only"
        assert after.get_title().startswith("all rooms\ny = ")
        assert photo.lines[0].get_xydata().tolist() == [[3, 4], [5, 6]][image : image + 1]
    assert_texts_have_room(figure, monkeypatch)


def test_without_a_chosen_output_two_models_alternate():
    rows = panels(compare_plot(explained(1, 2), explained(1, 2), ("a", "b")), 5)
    assert [axes.get_title().split(" = ")[0] for axes in rows[0][1:5]] == ["a\nx", "b\nx", "a\ny", "b\ny"]


def test_explanations_of_different_sizes_are_not_compared():
    with pytest.raises(ExplainerError, match=r"\(1, 2, 40, 40\) and \(2, 2, 40, 40\)"):
        compare_plot(explained(1, 2), explained(2, 2), ("a", "b"))


def test_pictures_are_drawn_on_the_figure_given():
    assert image_plot(explained(1, 1), figure=(given := Figure())) is given


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_pictures_are_written_as_png_svg_and_pdf(kind):
    stream = io.BytesIO()
    image_plot(explained(1, 2)).savefig(stream, format=kind)
    assert len(stream.getvalue()) > 1000


def test_a_dark_style_gets_light_text_and_the_heatmaps_stay_on_pale_images(monkeypatch):
    with matplotlib.rc_context(
        {"text.color": "white", "axes.labelcolor": "white", "figure.facecolor": "black"}
    ):
        figure = image_plot(explained(1, 1), true_labels=["caption"])
    assert figure.get_facecolor() == (0, 0, 0, 1)
    said = {text.get_text(): text.get_color() for text in drawn_texts(figure, monkeypatch)}
    assert said["caption"] == said["raises the output"] == "white"
    pale = panels(figure, 2)[0][1].images[0].get_array()
    assert pale.min() >= 0.6


def test_the_same_input_gives_the_same_picture():
    first, second = (io.BytesIO(), io.BytesIO())
    for stream in (first, second):
        image_plot(explained(2, 2)).savefig(stream, format="png")
    assert first.getvalue() == second.getvalue()


def test_importing_the_package_loads_nothing_that_draws_and_drawing_no_pyplot():
    code = (
        "import sys, shapsight.report; assert not {'matplotlib', 'altair', 'vl_convert'} & set(sys.modules);"
        "import shapsight.drawing.charts.files, shapsight.drawing.panels;"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.shared
def test_texts_have_room_beside_real_photographs(shared, monkeypatch):
    from PIL import Image

    paths = sorted((shared / "data" / "jetracer_office").rglob("*.jpg"))[:2]
    photos = np.stack([np.asarray(Image.open(path).convert("RGB")) for path in paths])
    explanation = explained(2, 2, photos.shape[1:3])
    targets = [[float(part) for part in path.name.split("_")[:2]] for path in paths]
    figure = image_plot(
        explanation, pixels=photos, targets=targets, true_labels=[path.parent.name for path in paths]
    )
    photo = panels(figure, 3)[0][0]
    np.testing.assert_allclose(photo.images[0].get_array(), photos[0] / 255)
    assert photo.lines[0].get_xydata().tolist() == targets[:1]
    assert_texts_have_room(figure, monkeypatch)


def test_a_notebook_shows_a_plot_also_where_nobody_imported_pyplot():
    explanation = explained(1, 1)
    for figure in (
        image_plot(explanation),
        explanation.parts(torch.zeros(explanation.values.shape[-2:]).long()).plot(),
    ):
        assert figure._repr_png_().startswith(b"\x89PNG")
