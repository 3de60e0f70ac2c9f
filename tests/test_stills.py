"""Figures for papers of what a page shows: pictures, heatmaps at their detail, marks, outlines."""

import numpy as np
import pytest
from matplotlib.image import AxesImage

from pictures import assert_texts_have_room, drawn_texts
from shapsight.drawing.stills import stills_plot
from shapsight.drawing.viewer import Map, Mark, Shown, channels_last
from shapsight.errors import DataError

PICTURE = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
LABELS = np.repeat(np.arange(4), 8)[None, :].repeat(24, 0)


def shown(values: np.ndarray | None = None, **more) -> Shown:
    maps = () if values is None else (Map("x", values, 0.25, 0.1, "m"), Map("y", -values, method="DeepSHAP"))
    return Shown("a/$b$_1.jpg", PICTURE, maps, LABELS, **more)


def test_pictures_stand_seven_in_a_row_with_their_marks_and_outline(monkeypatch):
    region = np.zeros((24, 32), bool)
    region[12:] = True
    marks = (Mark("target", 3, 4), Mark("prediction", 90, 4), Mark("other", 5, 5))
    figure = stills_plot([shown(marks=marks, outline=region, caption=f"room_{n}: x 0.3") for n in range(9)])
    drawn = [axes for axes in figure.axes if axes.images]
    assert len(drawn) == 9 and len(figure.axes) == 14
    assert [line.get_marker() for line in drawn[0].lines] == [
        "o",
        ">",
    ]  # one beyond the border is an arrowhead
    assert drawn[0].collections
    assert "room_0: x 0.3" in {text.get_text() for text in drawn_texts(figure, monkeypatch)}
    assert_texts_have_room(figure, monkeypatch)


def test_heatmaps_are_drawn_at_the_first_detail_on_one_scale_a_row():
    values = np.random.default_rng(1).normal(size=(24, 32))
    figure = stills_plot([shown(values), shown(2 * values)], maps=(0, 1))
    heats = [axes.findobj(AxesImage)[1].get_array() for axes in figure.axes if len(axes.images) == 2]
    assert len(heats) == 4
    evened = np.stack([values[:, LABELS[0] == n].sum() / (24 * 8) for n in LABELS[0]])[None, :].repeat(24, 0)
    np.testing.assert_allclose(heats[0], evened, rtol=1e-9)
    np.testing.assert_allclose(heats[3], -2 * evened, rtol=1e-9)
    single = stills_plot([shown(values, details=("pixels",))])
    assert np.array_equal(single.axes[1].images[1].get_array(), values)


def test_a_figure_of_no_image_is_refused_and_an_image_without_all_heatmaps_shows_those_it_has():
    with pytest.raises(DataError, match="no image"):
        stills_plot([])
    assert stills_plot([shown(np.ones((24, 32)))], maps=(0, 7)).axes


def test_channels_come_last_in_eight_bits_whatever_they_were():
    eight = np.moveaxis(PICTURE, -1, 0)
    assert np.array_equal(channels_last(eight), PICTURE)
    assert np.array_equal(channels_last(eight / 255), PICTURE)
    assert channels_last(np.full((3, 2, 2), np.nan)).max() == 0
