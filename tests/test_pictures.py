"""Atlas, names of models, fonts, notebooks and machines without a display."""

import base64
import dataclasses
import io
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import matplotlib
import matplotlib.style
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from pictures import assert_texts_have_room, drawn_texts, explained, heat_of, panels
from shapsight.attribution.explanation.heatmaps import atlas, compare_plot, image_plot
from shapsight.errors import ExplainerError


def every_kind() -> dict[str, Figure]:
    return {
        "image_plot": image_plot(explained(2, 2)),
        "compare_plot": compare_plot(explained(1, 2), explained(1, 2)),
        "atlas": atlas(explained(3, 2), environments=["a", "b", "a"]),
    }


def test_the_atlas_shows_the_mean_size_of_values_on_the_mean_image_of_each_environment(monkeypatch):
    explanation = explained(5, 2, (41, 58))
    places = ["room 1", "room 2", "room 1", "room 1", "room 2"]
    figure = atlas(explanation, environments=places, cell=1)
    for (photo, *heats, bar), place in zip(panels(figure, 3), ("room 1", "room 2"), strict=True):
        chosen = [number for number, found in enumerate(places) if found == place]
        mean = explanation.images[chosen].mean(0).permute(1, 2, 0)
        np.testing.assert_allclose(photo.images[0].get_array(), mean, atol=1e-6)
        assert photo.get_title() == f"{place}, mean of {len(chosen)} images"
        sizes = explanation.values[chosen].abs().sum(2).mean(0)
        for output, axes in enumerate(heats):
            np.testing.assert_allclose(heat_of(axes), sizes[output], rtol=1e-5, atol=1e-9)
            assert axes.images[-1].get_clim()[0] == 0
            assert axes.get_title() == "xy"[output]
        assert bar.get_ylim()[0] == 0
    said = [text.get_text() for text in drawn_texts(figure, monkeypatch)]
    assert "attribution, of either sign" in said and "raises the output" not in said
    assert_texts_have_room(figure, monkeypatch)


def test_the_atlas_leaves_out_what_is_not_a_number_and_counts_what_is_never_one():
    explanation = explained(2, 1)
    values = explanation.values.clone()
    values[0, 0, :, 0, 0] = float("nan")
    values[:, 0, :, 5, 5] = float("inf")
    heat = panels(atlas(dataclasses.replace(explanation, values=values), cell=1), 2)[0][1]
    assert heat_of(heat)[0, 0] == pytest.approx(values[1, 0, :, 0, 0].abs().sum().item())
    assert np.isnan(heat_of(heat)[5, 5])
    assert heat.get_title() == "x\n1 pixel NaN"


def test_the_atlas_wants_the_same_output_of_every_image_and_a_place_for_each():
    explanation = explained(2, 2)
    ranked = dataclasses.replace(explanation, output_index=torch.tensor([[0, 1], [1, 0]]))
    with pytest.raises(ExplainerError, match="different outputs: choose one with output="):
        atlas(ranked)
    (_, heat, _), *_ = panels(atlas(ranked, output="y", cell=1), 2)
    expected = ranked.values[0, 1].abs().sum(0) + ranked.values[1, 0].abs().sum(0)
    np.testing.assert_allclose(heat_of(heat), expected / 2, rtol=1e-5, atol=1e-9)
    with pytest.raises(ExplainerError, match="environments has 1 entries for 2 images"):
        atlas(explanation, environments=["a"])
    with pytest.raises(ExplainerError, match="nothing to draw"):
        atlas(explanation[[]])


def test_a_limit_is_the_scale_of_all_rows():
    for row in panels(image_plot(explained(2, 2), cell=1, limit=0.25), 3):
        assert [axes.images[-1].get_clim() for axes in row[1:3]] == [(-0.25, 0.25)] * 2
    with pytest.raises(ExplainerError, match="limit=0"):
        image_plot(explained(1, 1), limit=0)


def test_the_name_of_a_model_and_of_a_difference_stands_over_its_heatmaps():
    before = explained(1, 1).named("room 1")
    after = dataclasses.replace(before, values=before.values * 2, model_name="all rooms")
    assert image_plot(before).axes[1].get_title().startswith("room 1\nx = ")
    assert image_plot(before - after).axes[1].get_title().startswith("room 1 − all rooms\nx = ")
    titles = [axes.get_title().split("\n")[0] for axes in compare_plot(before, after).axes[1:3]]
    assert titles == ["room 1", "all rooms"]
    np.testing.assert_allclose(
        heat_of(image_plot(before - after, cell=1).axes[1]), -before.heatmap()[0, 0], rtol=1e-5, atol=1e-9
    )


def test_an_unknown_prediction_is_not_written():
    explanation = explained(1, 2)
    unknown = dataclasses.replace(explanation, predictions=explanation.predictions * float("nan"))
    assert [axes.get_title() for axes in image_plot(unknown).axes[1:3]] == ["x", "y"]


@pytest.mark.parametrize("family", [["Nowhere Sans"], ["Nowhere Sans", "DejaVu Serif"], ["sans-serif"]])
def test_a_missing_font_is_replaced_without_a_word(family, caplog):
    missing = {"font.family": family, "font.sans-serif": ["Nowhere Sans"]}
    with caplog.at_level(logging.WARNING), matplotlib.rc_context(missing):
        figures = every_kind()
        for figure in figures.values():
            figure.savefig(io.BytesIO())
    assert [record.message for record in caplog.records] == []
    found = figures["image_plot"].axes[1].title.get_fontfamily()
    assert found == (["DejaVu Serif"] if len(family) == 2 else ["DejaVu Sans"])


@pytest.mark.parametrize("paper", ["default", "dark_background"])
@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_every_kind_of_picture_is_written_on_light_and_dark_paper(kind, paper):
    with matplotlib.style.context(paper):
        for name, figure in every_kind().items():
            stream = io.BytesIO()
            figure.savefig(stream, format=kind)
            assert len(stream.getvalue()) > 1000, name
            if kind == "png":
                corner = np.asarray(Image.open(stream).convert("L"))[-1, -1]
                assert corner == (0 if paper == "dark_background" else 255), name


@pytest.mark.parametrize("paper", ["default", "dark_background"])
def test_texts_stand_out_from_the_paper(paper, monkeypatch):
    with matplotlib.style.context(paper):
        for name, figure in every_kind().items():
            ground = np.mean(matplotlib.colors.to_rgb(figure.get_facecolor()))
            for text in drawn_texts(figure, monkeypatch):
                contrast = abs(np.mean(matplotlib.colors.to_rgb(text.get_color())) - ground)
                assert contrast > 0.5, (name, text.get_text())


def test_pictures_need_no_display_and_open_no_window():
    code = (
        "import matplotlib.pyplot as plt; from test_pictures import every_kind;"
        "[figure.savefig('/dev/null', format='png') for figure in every_kind().values()];"
        "assert plt.get_fignums() == []"
    )
    # As on a server.
    kept = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "MPLBACKEND")}
    subprocess.run([sys.executable, "-c", code], check=True, env=kept, cwd=Path(__file__).parent)


def test_a_notebook_shows_the_picture_and_what_is_left_out():
    html = explained(8, 7, names=tuple("abcdefg"))._repr_html_()
    data = re.search(r'src="data:image/png;base64,([^"]+)"', html).group(1)
    picture = Image.open(io.BytesIO(base64.b64decode(data)))
    assert picture.format == "PNG" and picture.width > 600
    assert "Shown: 6 of 8 images, 5 of 7 outputs" in html


def test_a_notebook_takes_names_as_text_and_shows_the_line_of_what_is_empty():
    named = explained(1, 1).named("<script>")
    html = named._repr_html_()
    assert "<script>" not in html and "&lt;script&gt;" in html and "Shown" not in html
    assert named[[]]._repr_html_().startswith("<pre>Explanation(")
