"""Pictures of a classifier: accuracy by environment, which classes it mistakes, how sure it is."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from shapsight.drawing import style
from shapsight.drawing.bars import bars_with_intervals
from shapsight.errors import DataError

MOST_NUMBERS = 25  # classes up to which every cell's count can be read
PALE_TO_DARK = LinearSegmentedColormap.from_list("counts", ["#ffffff", style.SERIES[0], "#1b3352"])


def accuracy_bars(table: pd.DataFrame) -> Figure:
    """Draw the accuracy of each environment and split with its interval.

        accuracy_bars(table)     # columns environment, split, accuracy, accuracy_low, accuracy_high

    Raises `DataError` for a table without these columns or without rows.
    """
    named = table.assign(what="images told right")
    return bars_with_intervals(named, "what", "accuracy", "{}", lambda share: f"{share:.1%}", limit=1.0)


def confusion_plot(counts: pd.DataFrame) -> Figure:
    """Draw which classes (rows) are taken for which (columns), coloured by the share of the row.

    confusion_plot(confusion_table(predictions, class_names))
    """
    if counts.empty:
        raise DataError("confusion_plot was given a table without classes")
    values = counts.to_numpy(float)
    shares = values / values.sum(1, keepdims=True).clip(1)
    names = [style.shorten(str(name), 1.4, style.LABEL) for name in counts.index]
    side = min(9.0, max(2.2, 0.42 * len(names)))
    figure = Figure(figsize=(side + 2.2, side + 1.6), layout="constrained")
    axes = figure.add_subplot()
    drawn = axes.imshow(shares, cmap=PALE_TO_DARK, vmin=0, vmax=1)
    axes.set_xticks(
        range(len(names)), names, rotation=45, ha="left", rotation_mode="anchor", fontsize=style.LABEL
    )
    axes.xaxis.tick_top()
    axes.set_yticks(range(len(names)), names, fontsize=style.LABEL)
    axes.tick_params(length=0)
    axes.set_ylabel("label", fontsize=style.LABEL)
    axes.set_xlabel("predicted", fontsize=style.LABEL)
    axes.xaxis.set_label_position("top")
    if len(names) <= MOST_NUMBERS:
        for row, column in np.argwhere(values > 0):
            colour = "white" if shares[row, column] > 0.45 else "#202020"
            axes.text(
                column,
                row,
                f"{int(values[row, column])}",
                ha="center",
                va="center",
                fontsize=style.NOTE,
                color=colour,
            )
    bar = figure.colorbar(drawn, ax=axes, shrink=0.6, pad=0.02)
    bar.set_label("share of the label's images", fontsize=style.NOTE)
    bar.ax.tick_params(labelsize=style.NOTE)
    style.literal([*axes.get_xticklabels(), *axes.get_yticklabels()])
    return figure


def calibration_plot(table: pd.DataFrame) -> Figure:
    """Draw accuracy against confidence, a point a bin, its area by its images.

    calibration_plot(calibration_table(predictions))     # columns confidence, accuracy, images
    """
    if table.empty:
        raise DataError("calibration_plot was given a table without rows")
    figure = Figure(figsize=(3.6, 3.4), layout="constrained")
    axes = figure.add_subplot(aspect="equal", xlim=(0, 1), ylim=(0, 1.03))
    axes.plot([0, 1], [0, 1], color=style.RAISES, linewidth=1.2, zorder=1)
    share = table["images"] / table["images"].sum()
    axes.scatter(
        table["confidence"],
        table["accuracy"],
        s=20 + 400 * share,
        color=style.SERIES[0],
        alpha=0.8,
        linewidths=0,
        zorder=2,
        clip_on=False,
    )
    axes.set_xlabel("confidence", fontsize=style.LABEL)
    axes.set_ylabel("accuracy", fontsize=style.LABEL)
    style.tidy(axes)
    return figure
