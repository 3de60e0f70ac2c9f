"""Predicted against actual values."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from shapsight.drawing import style
from shapsight.drawing.tables import checked, sized


@style.in_an_installed_font
def scatter_panels(predictions: pd.DataFrame, target: str, *, figure: Figure | None = None) -> Figure:
    """Draw predicted against actual values, one panel for each environment and split, all on the same axes.

        scatter_panels(predictions, "x")     # columns environment, split, x, predicted_x

    Points on the red diagonal are right. The title gives the mean squared error and the number of images.
    Raises `DataError` for a table without these columns or without rows.
    """
    predicted = f"predicted_{target}"
    checked(predictions, ("environment", "split", target, predicted), "scatter_panels")
    groups = list(predictions.groupby(["environment", "split"], sort=False))
    values = predictions[[target, predicted]].to_numpy(float)
    limits = _limits(values[np.isfinite(values)])
    rows = math.ceil(len(groups) / 4)
    columns = math.ceil(len(groups) / rows)
    figure = sized(figure, 2.45 * columns + 0.5, 2.75 * rows + 0.25, equal_axes=True)
    for place, ((environment, split), group) in enumerate(groups, start=1):
        axes = figure.add_subplot(rows, columns, place, aspect="equal", xlim=limits, ylim=limits)
        is_few = len(group) < 300
        actual, said = group[target].to_numpy(float), group[predicted].to_numpy(float)
        axes.plot(limits, limits, color=style.RAISES, linewidth=1.2, zorder=3)
        axes.scatter(
            actual, said, s=16 if is_few else 7, color=style.SERIES[0], alpha=0.75 if is_few else 0.5, linewidths=0,
            zorder=2, rasterized=len(group) > 2000,
        )  # fmt: skip
        mse = style.number(float(np.mean((said - actual) ** 2)))
        name = style.place_name(str(environment), str(split), 2.2)
        title = f"{name}\nMSE {mse}, {len(group)} image{'s' * (len(group) != 1)}"
        axes.set_title(title, fontsize=style.LABEL, parse_math=False)
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
        style.tidy(axes)
    for label in (figure.supxlabel(f"actual {target}"), figure.supylabel(f"predicted {target}")):
        label.set(fontsize=style.LABEL, parse_math=False)
    return figure


def _limits(values: np.ndarray) -> tuple[float, float]:
    low, high = (float(values.min()), float(values.max())) if len(values) else (-1.0, 1.0)
    room = 0.06 * (high - low) or 0.1
    return low - room, high + room
