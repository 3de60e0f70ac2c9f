"""Explanations and tables to draw, and what the tests ask of a drawn figure."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from altair.typing import ChartType
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from torch import Tensor

from shapsight.attribution.explanation import Explanation


def photographs(count: int, size: tuple[int, int], channels: int = 3) -> Tensor:
    """Floor, wall, a bright band and some grain: enough of a photograph to draw."""
    random = np.random.default_rng(3)
    down, across = np.mgrid[0 : size[0], 0 : size[1]] / np.array(size)[:, None, None]
    images = []
    for number in range(count):
        wall = 0.45 + 0.3 * np.sin(6 * across + number)
        floor = 0.3 + 0.2 * down
        band = np.exp(-(((across - 0.3 - 0.4 * down - 0.02 * number) / 0.08) ** 2))
        grey = np.where(down < 0.5, wall, floor + 0.5 * band)
        colours = grey + 0.1 * np.arange(channels)[:, None, None] / channels
        images.append(colours + 0.03 * random.standard_normal((channels, *size)))
    return torch.from_numpy(np.stack(images)).float().clamp(0, 1)


def explained(
    images: int,
    outputs: int,
    size: tuple[int, int] = (40, 40),
    channels: int = 3,
    names: tuple[str, ...] = ("x", "y"),
) -> Explanation:
    generator = torch.Generator().manual_seed(images * 100 + outputs)
    coarse = torch.randn(images * outputs, channels, 9, 9, generator=generator)
    values = torch.nn.functional.interpolate(coarse, size=size, mode="bilinear") * 1e-3
    values = values.reshape(images, outputs, channels, *size)
    base = torch.zeros(images, outputs)
    predictions = values.sum((2, 3, 4))
    index = torch.arange(outputs).repeat(images, 1)
    return Explanation(values, base, predictions, base, index, photographs(images, size, channels), names)


def predictions_of(environments: dict[tuple[str, str], int]) -> pd.DataFrame:
    random = np.random.default_rng(0)
    tables = []
    for (environment, split), count in environments.items():
        actual = random.uniform(-1, 1, count)
        said = 0.8 * actual + random.normal(0, 0.1, count)
        tables.append(
            pd.DataFrame({"environment": environment, "split": split, "x": actual, "predicted_x": said})
        )
    return pd.concat(tables, ignore_index=True)


def measured(models: tuple[str, ...] = (), panels: tuple[str, ...] = ("x", "y")) -> pd.DataFrame:
    places = [("room_1", "train"), ("room_1", "validation"), ("room_2", "unseen"), ("room_3", "unseen")]
    rows = []
    for number, (model, panel, (environment, split)) in enumerate(
        itertools.product(models or ("",), panels, places)
    ):
        value = 0.05 + 0.04 * number
        row = {"environment": environment, "split": split, "target": panel, "output": panel}
        row |= {"mse": value, "mse_low": value * 0.8, "mse_high": value * 1.3, "chance": 0.4}
        rows.append(
            row
            | {"share": value, "low": value * 0.9, "high": value * 1.1}
            | ({"model": model} if models else {})
        )
    return pd.DataFrame(rows)


def drawn_texts(figure: Figure, monkeypatch: pytest.MonkeyPatch) -> list[Text]:
    """All texts that a drawing of the figure really shows, tick labels outside of the view left out."""
    texts: list[Text] = []
    draw = Text.draw

    def remember(text: Text, renderer: object) -> None:
        if text.get_visible() and text.get_text().strip() and text not in texts:
            texts.append(text)
        draw(text, renderer)

    with monkeypatch.context() as patch:
        patch.setattr(Text, "draw", remember)
        FigureCanvasAgg(figure).draw()
    return texts


def assert_texts_have_room(figure: Figure, monkeypatch: pytest.MonkeyPatch) -> None:
    """No text leaves the figure, meets another text, or runs into axes that it does not belong to."""
    texts = drawn_texts(figure, monkeypatch)
    assert texts
    boxes = np.array([text.get_window_extent().padded(-0.5).extents for text in texts])
    whole = figure.bbox.extents
    inside = (boxes[:, :2] >= whole[:2]).all(1) & (boxes[:, 2:] <= whole[2:]).all(1)
    assert inside.all(), f"{texts[inside.argmin()].get_text()!r} leaves the figure"
    for one, two in np.argwhere(np.triu(overlaps(boxes, boxes), 1)):
        raise AssertionError(f"{texts[one].get_text()!r} meets {texts[two].get_text()!r}")
    for one, two in np.argwhere(
        overlaps(boxes, np.array([axes.bbox.padded(-1).extents for axes in figure.axes]))
    ):
        assert texts[one].axes is figure.axes[two], f"{texts[one].get_text()!r} runs into other axes"


def overlaps(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Which boxes (x0, y0, x1, y1) of the first meet which of the second."""
    one, two = first[:, None], second[None]
    return ((one[..., :2] < two[..., 2:]) & (two[..., :2] < one[..., 2:])).all(-1)


def panels(figure: Figure, columns: int) -> list[list]:
    """The axes of image_plot by row: the image, then the heatmaps, then the colour bar."""
    rows = [figure.axes[start : start + columns + 1] for start in range(0, len(figure.axes), columns + 1)]
    assert all(len(row) == columns + 1 for row in rows)
    return rows


def rows_of(chart: ChartType) -> list[dict]:
    """All rows that the chart draws, by the names that it gives their columns."""
    return list(itertools.chain(*chart.to_dict()["datasets"].values()))


def heat_of(axes) -> np.ndarray:
    return np.ma.filled(axes.images[-1].get_array(), np.nan)
