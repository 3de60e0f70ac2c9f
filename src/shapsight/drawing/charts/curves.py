"""Charts of curves: insertion and deletion, losses over epochs, similarity over layers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
from altair.typing import ChartType
from numpy import ndarray
from scipy.integrate import trapezoid

from shapsight.drawing.charts.theme import (
    QUIET,
    UPRIGHT,
    by_name,
    colours_of,
    cut,
    finished,
    in_lines,
    records,
)
from shapsight.drawing.style import SERIES, number
from shapsight.drawing.tables import checked

WIDE, HIGH = 280, 220
DASHES = ([1, 0], [6, 3], [1.5, 2])
MOST_TICKS = 8
LONGEST = 30  # letters of a name in the legend
KEY = alt.Legend(columns=1, symbolType="stroke", labelLimit=300)
SIMILARITIES = {
    "rank_correlation": "rank correlation",
    "absolute": "… of absolute values",
    "ssim": "structural similarity",
}


def curve(table: pd.DataFrame, *, unit: str = "prediction") -> ChartType:
    """Draw insertion and deletion: the prediction while pixels are shown, or hidden, the most important first.

        curve(table)     # columns curve, share, value; low and high for intervals; name for several methods

    `curve` is "insertion" or "deletion" (or another word), `share` the share of pixels changed, in [0, 1], `value` the
    prediction, in `unit`s. A method that finds what the model uses has insertion rise early and deletion fall early;
    the legend gives the area under each curve, as a mean over the shares drawn.
    Raises `DataError` for a table without these columns or without rows. Source: Petsiuk et al. 2018 (RISE).
    """
    return finished(curves(table, unit), f"{unit} over the share of pixels inserted or deleted")


def curves(
    table: pd.DataFrame, unit: str, share: str = "pixels inserted or deleted, the most important first"
) -> ChartType:
    """The same, not yet `finished`."""
    checked(table, ("curve", "share", "value"), "curve")
    table = table.reset_index(drop=True)
    table = table if "name" in table else table.assign(name="")
    names, kinds = (list(dict.fromkeys(table[column].astype(str))) for column in ("name", "curve"))
    colours, dashes = {}, {}
    series = pd.Series("", table.index)
    # Colour tells what differs most: methods where there are several, otherwise insertion from deletion.
    for (name, kind), rows in table.groupby(["name", "curve"], sort=False):
        at, dash = names.index(str(name)), kinds.index(str(kind))
        said = f"{cut(f'{name} {kind}'.strip(), LONGEST)}, area {number(_area(rows))}"
        series[rows.index] = said
        colours[said] = SERIES[(at if len(names) > 1 else dash) % len(SERIES)]
        dashes[said] = DASHES[dash % len(DASHES)]
    x = alt.X("at:Q", title=in_lines(share, 42), axis=alt.Axis(format="%"), scale=alt.Scale(nice=False))
    return lines(
        table.assign(at=table["share"], series=series),
        x,
        alt.Y("value:Q", title=cut(unit, UPRIGHT)),
        colours,
        dashes,
    )


def _area(rows: pd.DataFrame) -> float:
    known = (
        rows[["share", "value"]]
        .astype(float)
        .replace([np.inf, -np.inf], np.nan)
        .dropna()
        .sort_values("share")
    )
    share, value = known["share"].to_numpy(), known["value"].to_numpy()
    reach = float(np.ptp(share)) if len(share) else 0.0
    return float(trapezoid(value, share)) / reach if reach else float("nan")


def training_curve(history: pd.DataFrame, best_epoch: int | None = None) -> ChartType:
    """Draw the losses over the epochs, and which epoch was kept.

        training_curve(history, best_epoch=7)     # columns epoch, train_loss, validation_loss

    Every column that ends in `loss` is drawn. A loss that falls by more than a factor of 30 gets a logarithmic
    scale. Raises `DataError` for a table without losses or rows.
    """
    losses = [str(column) for column in history.columns if str(column).endswith("loss")]
    checked(history, ("epoch", *(losses or ["train_loss"])), "training_curve")
    names = {
        loss: loss.removesuffix("_loss").replace("_", " ").replace("loss", "training") for loss in losses
    }
    rows = history.melt("epoch", losses, "series", "value").rename(columns={"epoch": "at"})
    known = rows["value"].astype(float)[np.isfinite(rows["value"].astype(float))]
    falls_far = len(known) > 0 and known.min() > 0 and known.max() > 30 * known.min()
    x = alt.X("at:Q", title="epoch", axis=whole(history["epoch"]), scale=alt.Scale(nice=False, padding=8))
    y = alt.Y("value:Q", title="loss")
    if falls_far:
        powers = [10.0**power for power in range(_decade(known.min()), _decade(known.max()) + 1)]
        y = y.scale(type="log", nice=False).axis(values=powers)
    colours = colours_of(names.values())
    kept = "epoch kept"
    if best_epoch is not None:
        colours[kept] = QUIET
    drawn = lines(
        rows.assign(series=rows["series"].map(names)), x, y, colours, point=alt.OverlayMarkDef(size=22)
    )
    if best_epoch is not None:
        rule = alt.Chart(records(pd.DataFrame(index=[0]), at=best_epoch, series=kept))
        drawn += rule.mark_rule(strokeDash=[3, 3], strokeWidth=1.5, aria=False).encode(
            x="at:Q", color=by_name("series", colours)
        )
    return finished(
        drawn, "Losses over the epochs" + (f"; epoch {best_epoch} was kept" if best_epoch is not None else "")
    )


def _decade(value: float) -> int:
    return math.floor(math.log10(value))


def whole(numbers: pd.Series | ndarray) -> alt.Axis:
    """An axis of whole numbers, with a tick at some of them."""
    first, last = int(min(numbers)), int(max(numbers))
    step = max(1, math.ceil((last - first) / MOST_TICKS))
    return alt.Axis(values=list(range(first, last + 1, step)), format="d")


def similarity_plot(table: pd.DataFrame) -> ChartType:
    """Draw how like the original the explanation stays while layers are randomised, from the output on.

    Columns `step, layer, rank_correlation, absolute, ssim`: means over images, with the range of the images.
    """
    checked(table, ("step", "layer", *SIMILARITIES), "similarity_plot")
    steps = table.groupby("step", sort=True)
    layers = ["none", *steps["layer"].first().astype(str)]
    whole = pd.DataFrame({"value": [1.0], "low": 1.0, "high": 1.0})
    rows = []
    for column, name in SIMILARITIES.items():
        found = steps[column].agg(["mean", "min", "max"]).set_axis(["value", "low", "high"], axis=1)
        rows.append(pd.concat([whole, found]).assign(at=layers, series=name))
    # The end of a layer's dotted name is what tells it from others.
    axis = alt.Axis(labelAngle=-40, labelLimit=120, labelExpr="truncate(datum.label, 14, 'left')")
    x = alt.X("at:N", sort=layers, title="randomised from the output down to", axis=axis)
    y = alt.Y("value:Q", title="similarity to the trained model's", scale=alt.Scale(zero=True))
    table = pd.concat(rows, ignore_index=True)
    drawn = lines(table, x, y, colours_of(SIMILARITIES.values()), point=alt.OverlayMarkDef(size=22))
    return finished(drawn, "Similarity of the explanation to the trained model's while layers are randomised")


def lines(
    rows: pd.DataFrame,
    x: alt.X,
    y: alt.Y,
    colours: Mapping[str, str],
    dashes: Mapping[str, Any] | None = None,
    **marks: Any,
) -> ChartType:
    """A line for each name in `series` over `at`, with a band from `low` to `high` where there are such columns."""
    has_band = {"low", "high"} <= set(rows.columns)
    columns = ("at", "value", "series", *(("low", "high") if has_band else ()))
    data = records(rows, *columns)
    base = alt.Chart(data).encode(x=x, color=by_name("series", colours, legend=KEY))
    line = base.mark_line(**marks).encode(y=y, description="series:N")
    if dashes is not None:
        line = line.encode(strokeDash=by_name("series", dashes, alt.StrokeDash, legend=KEY))
    layers = [line]
    if has_band:
        layers.insert(0, base.mark_area(fillOpacity=0.16, aria=False).encode(y=alt.Y("low:Q"), y2="high:Q"))
    return alt.layer(*layers).properties(width=WIDE, height=HIGH)
