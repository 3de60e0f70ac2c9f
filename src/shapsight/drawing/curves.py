"""Pictures of curves: faithfulness by insertion and deletion, and how training went."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from shapsight.drawing import style
from shapsight.drawing.tables import checked, sized

DASHES = ("-", (0, (4, 1.6)), (0, (1, 1.2)))


@style.in_an_installed_font
def curve(table: pd.DataFrame, *, unit: str = "prediction", axes: Axes | None = None) -> Figure:
    """Draw insertion and deletion: the prediction while pixels are shown, or hidden, the most important first.

        curve(table)     # columns curve, share, value; low and high for intervals; name for several methods

    `curve` is "insertion" or "deletion" (or another word), `share` the share of pixels changed, in [0, 1], `value` the
    prediction, in `unit`s. A method that finds what the model uses has insertion rise early and deletion fall early;
    the legend gives the area under each curve, as a mean over the shares drawn.
    Raises `DataError` for a table without these columns or without rows. Source: Petsiuk et al. 2018 (RISE).
    """
    checked(table, ("curve", "share", "value"), "curve")
    axes = sized(None, 6.4, 3.2).add_subplot() if axes is None else axes
    table = table if "name" in table else table.assign(name="")
    names, kinds = (list(dict.fromkeys(table[column].astype(str))) for column in ("name", "curve"))
    # Colour tells what differs most: methods where there are several, otherwise insertion from deletion.
    for (name, kind), group in table.groupby(["name", "curve"], sort=False):
        number, dash = names.index(str(name)), kinds.index(str(kind))
        colour = style.SERIES[(number if len(names) > 1 else dash) % len(style.SERIES)]
        _draw_curve(axes, group.sort_values("share"), f"{name} {kind}".strip(), colour, dash)
    axes.set_xlim(0, max(1.0, float(np.nanmax(table["share"].to_numpy(float)))))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("pixels inserted or deleted, the most important first", fontsize=style.LABEL)
    axes.set_ylabel(unit, fontsize=style.LABEL, parse_math=False)
    style.tidy(axes)
    legend = axes.legend(
        frameon=False, fontsize=style.LABEL, loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0,
        handlelength=2.6,
    )  # fmt: skip
    style.literal(legend.get_texts())
    return axes.figure.figure


def _draw_curve(axes: Axes, rows: pd.DataFrame, name: str, colour: str, dash: int) -> None:
    share, value = rows["share"].to_numpy(float), rows["value"].to_numpy(float)
    known = np.isfinite(share) & np.isfinite(value)
    reach = float(np.ptp(share[known])) if known.any() else 0.0
    area = np.trapezoid(value[known], share[known]) / reach if reach else float("nan")
    label = f"{style.shorten(name, 1.9, style.LABEL)}\narea {style.number(area)}"
    axes.plot(share, value, color=colour, linewidth=1.7, linestyle=DASHES[dash % len(DASHES)], label=label)
    if {"low", "high"} <= set(rows.columns):
        low, high = rows["low"].to_numpy(float), rows["high"].to_numpy(float)
        axes.fill_between(share, low, high, color=colour, alpha=0.16, linewidth=0)


@style.in_an_installed_font
def training_curve(
    history: pd.DataFrame, best_epoch: int | None = None, *, axes: Axes | None = None
) -> Figure:
    """Draw the losses over the epochs, and which epoch was kept.

        training_curve(history, best_epoch=7)     # columns epoch, train_loss, validation_loss

    Every column that ends in `loss` is drawn. A loss that falls by more than a factor of 30 gets a logarithmic
    scale. Raises `DataError` for a table without losses or rows.
    """
    losses = [str(column) for column in history.columns if str(column).endswith("loss")]
    checked(history, ("epoch", *(losses or ["train_loss"])), "training_curve")
    if axes is None:
        axes = sized(None, 5.6, 3.0).add_subplot()
    for column, colour in zip(losses, style.SERIES, strict=False):
        known = history[["epoch", column]].dropna()
        name = column.removesuffix("_loss").replace("_", " ").replace("loss", "training")
        axes.plot(
            known["epoch"], known[column], color=colour, linewidth=1.6, marker="o", markersize=3.5, label=name
        )
    values = history[losses].to_numpy(float)
    values = values[np.isfinite(values)]
    if len(values) and values.min() > 0 and values.max() > 30 * values.min():
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=min(0, values.min(initial=0.0)))
    if best_epoch is not None:
        axes.axvline(best_epoch, color=rcParams["text.color"], linewidth=1, linestyle=":", label="epoch kept")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch", fontsize=style.LABEL)
    axes.set_ylabel("loss", fontsize=style.LABEL)
    style.tidy(axes)
    axes.legend(
        frameon=False, fontsize=style.LABEL, loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0
    )
    # Axes may lie in a part of a figure, whose own `figure` is the whole one.
    return axes.figure.figure
