"""Pictures of where a model looks: measures beside chance, the mean of many heatmaps, objects, and what stays put."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from matplotlib import rcParams
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy import ndarray
from torch import Tensor

from shapsight.drawing import style
from shapsight.drawing.panels import Heat, Kind, Look, Row, draw_rows
from shapsight.drawing.tables import checked, sized
from shapsight.errors import DataError

PANEL = (2.5, 0.24)  # inches: the width of a panel, the height of a line in it
NAME = 1.9
COLUMNS = 4
SIZES = Kind(style.MASS, False, "|SHAP value|", ("attribution, of either sign",))


@dataclass(frozen=True, eq=False)
class Place:
    """Mean picture of some images and heatmaps over it: what is drawn in one row.

    Attributes
        caption: what the images have in common.
        picture: `(3, height, width)` in [0, 1].
        heats: by title, `(height, width)`, 0 or more.
        region: the region of interest, `(height, width)`, whose edge is drawn.
    """

    caption: str
    picture: Float[ndarray, "3 height width"]
    heats: dict[str, Float[ndarray, "height width"]]
    region: Bool[ndarray, "height width"] | None = None


@style.in_an_installed_font
def places_plot(
    places: Sequence[Place], *, unit: str = "units of the output", cmap: str | Colormap | None = None
) -> Figure:
    """Draw mean heatmaps over mean images, a row a place, all of a row on one scale.

        places_plot([Place("room_2, 40 images", picture, {"mean": mean, "standard deviation": spread})])

    `cmap` is that of `image_plot`. Raises `DataError` for nothing to draw.
    """
    if not places or not all(place.heats for place in places):
        raise DataError("places_plot was given no heatmap")
    rows = [
        Row(
            place.picture.transpose(1, 2, 0).clip(0, 1),
            place.caption,
            {},
            tuple(Heat(values, title, np.nan) for title, values in place.heats.items()),
            place.region,
        )
        for place in places
    ]
    kind = replace(SIZES, colours=style.see_through(cmap, SIZES.colours))
    return draw_rows(rows, Look(99.5, None, None, unit, kind=kind), None)


def mean_and_spread(
    sizes: Float[Tensor, "images height width"],
) -> tuple[Float[ndarray, "height width"], Float[ndarray, "height width"]]:
    """The mean and the standard deviation over images of |SHAP values|, one image at a time to spare memory."""
    total = np.zeros(sizes.shape[1:])
    squares = np.zeros_like(total)
    for image in sizes:
        values = image.cpu().double().numpy()
        total += values
        squares += values**2
    mean = total / len(sizes)
    return mean, np.sqrt((squares / len(sizes) - mean**2).clip(min=0))


@style.in_an_installed_font
def measures_plot(table: pd.DataFrame, output: str, titles: Mapping[str, str]) -> Figure:
    """Draw each measure of where an output's attribution lies: a panel a measure, a line an environment.

        measures_plot(measures_per_environment(per_image), "x", {"area": "pixels that carry 90 % of it"})

    The dot is the model with its interval, the diamond an even heatmap, the grey line what randomised copies of the
    model score. All run from 0 to 1. Raises `DataError` for a table without rows of this output.
    """
    table = _of_output(table, output, ("measure", "value"), "measures_plot")
    names = list(dict.fromkeys(zip(table["environment"], table["split"], strict=True)))
    lines = [f"{style.shorten(str(e), NAME - 0.7, style.LABEL)} · {s}" for e, s in names]
    panels = []
    for measure, said in titles.items():
        chosen = table[table["measure"] == measure]
        at = [names.index(key) for key in zip(chosen["environment"], chosen["split"], strict=True)]
        if at:
            panels.append(("\n".join(style.wrap(said, PANEL[0], style.LABEL)), chosen, at))
    key: list[tuple[Artist, str]] = [
        (_dot([], []), f"{style.shorten(output, 2.0, style.LABEL)} of this model, 95 % interval"),
        (_diamond([], []), "an even heatmap"),
    ]
    if table["randomised"].notna().any():
        key.append((Line2D([], [], color=style.SERIES[4], linewidth=5, alpha=0.6), "randomised copies"))
    return _panels(panels, lines, min(COLUMNS, len(panels)), ["0", "", "0.5", "", "1"], key)


@style.in_an_installed_font
def objects_plot(table: pd.DataFrame, output: str) -> Figure:
    """Draw the share of an output's attribution on each kind of object: a panel an environment, a line a category.

        objects_plot(object_shares_per_environment(per_image), "x")

    The diamond is the category's share of the area, which an even heatmap would score.
    Raises `DataError` for a table without rows of this output.
    """
    table = _of_output(table, output, ("category", "share"), "objects_plot")
    names = list(table.groupby("category")["share"].mean().sort_values(ascending=False).index)
    panels = []
    for (environment, split), rows in table.groupby(["environment", "split"], sort=False):
        title = style.shorten(f"{environment} · {split}", PANEL[0], style.LABEL)
        at = [names.index(category) for category in rows["category"]]
        panels.append((title, rows.rename(columns={"share": "value"}), at))
    lines = [style.shorten(name, NAME, style.LABEL) for name in names]
    key: list[tuple[Artist, str]] = [
        (_dot([], []), f"attribution of {style.shorten(output, 2.0, style.LABEL)}, 95 % interval"),
        (_diamond([], []), "share of the area"),
    ]
    return _panels(panels, lines, min(3, len(panels)), ["0 %", "", "50 %", "", "100 %"], key)


def _of_output(table: pd.DataFrame, output: str, needed: Sequence[str], name: str) -> pd.DataFrame:
    checked(table, ("environment", "split", "output", *needed, "low", "high", "chance"), name)
    mine = table[table["output"] == output]
    checked(mine, (), name)
    return mine


def _panels(
    panels: Sequence[tuple[str, pd.DataFrame, Sequence[int]]],
    lines: Sequence[str],
    columns: int,
    ticks: Sequence[str],
    key: Sequence[tuple[Artist, str]],
) -> Figure:
    """A grid of panels of the same lines: title, values, and the line that each value stands on."""
    rows = math.ceil(len(panels) / columns)
    figure = sized(None, columns * PANEL[0] + NAME, rows * (PANEL[1] * (len(lines) + 1) + 0.75) + 0.35)
    for number, (title, values, at) in enumerate(panels):
        axes = figure.add_subplot(rows, columns, number + 1, xlim=(-0.02, 1.02))
        axes.set_ylim(len(lines) - 0.4, -0.6)
        _draw_measure(axes, values, at)
        said = lines if number % columns == 0 else [""] * len(lines)
        axes.set_yticks(range(len(lines)), said, fontsize=style.LABEL, parse_math=False)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1.0], ticks)
        axes.set_title(title, fontsize=style.LABEL, parse_math=False)
        style.tidy(axes)
    legend = figure.legend(
        *zip(*key, strict=True), loc="outside upper left", ncols=3, frameon=False, fontsize=style.LABEL
    )
    style.literal(legend.get_texts())
    return figure


def _draw_measure(axes: Axes, rows: pd.DataFrame, at: Sequence[int]) -> None:
    """Values with intervals, chance, and the range of randomised copies where there are any."""
    if "randomised" in rows:
        axes.hlines(
            np.array(at)[rows["randomised"].notna()],
            # A single copy, or copies that agree, is still to be seen.
            rows["randomised_low"].dropna() - 0.004,
            rows["randomised_high"].dropna() + 0.004,
            color=style.SERIES[4], linewidth=5, alpha=0.6,
        )  # fmt: skip
    axes.add_line(_diamond(rows["chance"].to_list(), at))
    value, low, high = (rows[name].to_numpy(float) for name in ("value", "low", "high"))
    spread = np.nan_to_num(np.stack([value - low, high - value])).clip(min=0)
    axes.errorbar(value, at, xerr=spread, fmt="none", ecolor=style.SERIES[0], elinewidth=1.4, zorder=4)
    axes.add_line(_dot(value, at))


def _dot(x: Sequence[float] | ndarray, y: Sequence[float] | Sequence[int]) -> Line2D:
    return Line2D(x, y, linestyle="", marker="o", markersize=5, color=style.SERIES[0], zorder=5)


def _diamond(x: Sequence[float], y: Sequence[float] | Sequence[int]) -> Line2D:
    return Line2D(
        x, y, linestyle="", marker="D", markersize=5, markerfacecolor=rcParams["figure.facecolor"],
        markeredgecolor=rcParams["text.color"], zorder=3,
    )  # fmt: skip
