"""Pictures of tables: bars with intervals, a panel for each target or output.

Every function of this room returns a matplotlib `Figure`, needs no display and shows nothing by itself.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from matplotlib import rcParams
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, PercentFormatter

from shapsight.drawing import style
from shapsight.drawing.tables import checked, sized

BAR_HEIGHT = 0.24
LONGEST_NAME = 2.0
Bar = tuple[str, str, str]  # environment, split, model


@style.in_an_installed_font
def error_bars(table: pd.DataFrame, *, figure: Figure | None = None) -> Figure:
    """Draw the mean squared error of each environment and split with its interval, one panel a target.

        error_bars(table)     # columns environment, split, target, mse, mse_low, mse_high, and model for several

    Raises `DataError` for a table without these columns or without rows.
    """
    checked(table, ("environment", "split", "target", "mse", "mse_low", "mse_high"), "error_bars")
    bars = Bars(table, "target", "mse", "mse_low", "mse_high", "mean squared error of {}", style.number)
    return _draw_bars(bars, figure)


@style.in_an_installed_font
def share_bars(table: pd.DataFrame, said: str, *, figure: Figure | None = None) -> Figure:
    """Draw a share of each environment and split with its interval, one panel an output.

        share_bars(table, "scene's share of what moves {}")     # environment, split, output, value, low, high, model

    `value`, `low` and `high` are in [0, 1]; `said` names the axis, with the output in it.
    Raises `DataError` for a table without these columns or without rows.
    """
    checked(table, ("environment", "split", "output", "value", "low", "high"), "share_bars")
    bars = Bars(table, "output", "value", "low", "high", said, lambda share: f"{share:.0%}")
    return _draw_bars(bars, figure, limit=1.0)


def bars_with_intervals(
    table: pd.DataFrame,
    panel: str,
    value: str,
    axis_label: str,
    write: Callable[[float], str],
    *,
    limit: float | None = None,
) -> Figure:
    """Draw any measure of each environment and split with its interval, one panel for each value of column `panel`.

        bars_with_intervals(table, "target", "mae", "mean absolute error of {}", "{:.3g}".format)

    The interval lies in the columns `VALUE_low` and `VALUE_high`. Raises `DataError` where columns or rows are missing.
    """
    low, high = f"{value}_low", f"{value}_high"
    checked(table, ("environment", "split", panel, value, low, high), "bars_with_intervals")
    return _draw_bars(Bars(table, panel, value, low, high, axis_label, write), None, limit)


@dataclass(frozen=True)
class Bars:
    """Which columns of a table make a picture of horizontal bars, and what is written beside them."""

    table: pd.DataFrame
    panel: str
    value: str
    low: str
    high: str
    axis_label: str
    write: Callable[[float], str]


def _draw_bars(bars: Bars, figure: Figure | None, limit: float | None = None) -> Figure:
    bars = bars if "model" in bars.table else replace(bars, table=bars.table.assign(model=""))
    panels = list(dict.fromkeys(bars.table[bars.panel]))
    colours = dict(zip(dict.fromkeys(bars.table["model"]), itertools.cycle(style.SERIES), strict=False))
    heights = _heights(bars.table)
    key: list[tuple[Artist, str]] = []
    if len(colours) > 1:
        key += [(Patch(color=colour), str(model)) for model, colour in colours.items()]

    columns = min(2, len(panels))
    rows = math.ceil(len(panels) / columns)
    tall = (max(heights.values()) + 1) * BAR_HEIGHT + 0.75
    figure = sized(figure, 3.7 * columns + 1.6, rows * tall + (0.35 if key else 0))
    values = bars.table[[bars.value, bars.high]].to_numpy(float)
    reach = limit or 1.04 * float(values[np.isfinite(values)].max(initial=0.0)) or 1.0
    for number, panel in enumerate(panels):
        axes = figure.add_subplot(rows, columns, number + 1, xlim=(0, reach))
        axes.set_ylim(max(heights.values()) + 0.7, -0.7)
        for model, colour in colours.items():
            chosen = bars.table[(bars.table[bars.panel] == panel) & (bars.table["model"] == model)]
            _draw_model(axes, bars, chosen, [heights[bar] for bar in _bars_of(chosen)], colour)
        axes.set_xlabel(bars.axis_label.format(panel), fontsize=style.LABEL, parse_math=False)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        if limit:
            axes.set_xticks(np.linspace(0, limit, 5))
            axes.xaxis.set_major_formatter(PercentFormatter(1.0))
        style.tidy(axes, grid="x")
        _name_places(axes, heights, is_first=number % columns == 0)
    if key:
        legend = figure.legend(
            *zip(*key, strict=True), loc="outside upper left", ncols=3, frameon=False, fontsize=style.LABEL,
            handlelength=1.2,
        )  # fmt: skip
        style.literal(legend.get_texts())
    return figure


def _bars_of(table: pd.DataFrame) -> list[Bar]:
    return list(zip(table["environment"], table["split"], table["model"], strict=True))


def _heights(table: pd.DataFrame) -> dict[Bar, float]:
    """Where each bar lies: environments, their splits and the models of each in the table's order, without holes.

    Two models may know an environment by different splits (seen by one, unseen by the other).
    """
    environments, splits, models = (list(dict.fromkeys(table[c])) for c in ("environment", "split", "model"))
    present = set(_bars_of(table))
    heights: dict[Bar, float] = {}
    top = 0.0
    for environment, split in itertools.product(environments, splits):
        found = [(environment, split, model) for model in models if (environment, split, model) in present]
        heights.update({bar: top + number for number, bar in enumerate(found)})
        top += len(found) + 0.6 if found else 0
    return heights


def _name_places(axes: Axes, heights: dict[Bar, float], is_first: bool) -> None:
    """Environment and split at the middle of their bars; beside another panel the names would only repeat."""
    middles: dict[tuple[str, str], list[float]] = {}
    for (environment, split, _), height in heights.items():
        middles.setdefault((environment, split), []).append(height)
    names = [style.place_name(str(place), str(split), LONGEST_NAME) for place, split in middles]
    at = [float(np.mean(each)) for each in middles.values()]
    axes.set_yticks(at, names if is_first else [""] * len(names), fontsize=style.LABEL, parse_math=False)


def _draw_model(axes: Axes, bars: Bars, chosen: pd.DataFrame, at: Sequence[float], colour: str) -> None:
    value, low, high = (chosen[column].to_numpy(float) for column in (bars.value, bars.low, bars.high))
    axes.barh(at, value, 0.82, color=colour)
    # An interval that misses its own estimate is drawn up to it.
    spread = np.nan_to_num(np.stack([value - low, high - value])).clip(min=0)
    axes.errorbar(
        value, at, xerr=spread, fmt="none", ecolor=rcParams["text.color"], elinewidth=1.1, capsize=2.5
    )
    # In a column beside the bars: behind a bar, a number would move with its length.
    for height, drawn in zip(at, value, strict=True):
        said = bars.write(drawn) if np.isfinite(drawn) else "no value"
        axes.annotate(
            said,
            (1, height),
            (4, 0),
            ("axes fraction", "data"),
            "offset points",
            va="center",
            fontsize=style.NOTE,
        )
