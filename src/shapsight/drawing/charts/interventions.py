"""Charts of interventions: what each change did, where the variance comes from, and regions on other scenes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
from altair.typing import ChartType
from jaxtyping import Float
from numpy import ndarray

from shapsight.drawing.charts.intervals import dots, percent, with_intervals
from shapsight.drawing.charts.theme import (
    INK,
    QUIET,
    by_name,
    colours_of,
    cut,
    finished,
    gradient,
    records,
    signed,
    words,
)
from shapsight.drawing.style import SERIES, number
from shapsight.drawing.tables import checked
from shapsight.errors import DataError

PARTS = {
    "scene_alone": ("scene", SERIES[1]),
    "together": ("both together", QUIET),
    "region_alone": ("region of interest", SERIES[0]),
}
SQUARE, CELL = 230, 40  # pixels of all cells, and of one at most


def effects_plot(table: pd.DataFrame, value: str, label: str, *, is_share: bool = False) -> ChartType:
    """Draw what each variant did, a dot with its interval for each environment.

        effects_plot(table, "change", "how far x moves")     # columns variant, environment, change, change_low, _high

    Raises `DataError` for a table without these columns or without rows.
    """
    checked(table, ("variant", "environment", value, f"{value}_low", f"{value}_high"), "effects_plot")
    rows = with_intervals(table, value, table["variant"], table["environment"])
    drawn = dots(rows, label, percent if is_share else number, colours_of(rows["key"]), has_numbers=False)
    return finished(drawn, f"{label} of each variant, with 95 % intervals")


def variance_bars(shares: pd.DataFrame) -> ChartType:
    """Draw what share of the prediction's variance comes from the scene, the region, and both together.

        variance_bars(crossing.shares)     # columns target, environment, scene_alone, together, region_alone

    The dot is the scene's Shapley value, its line the interval: columns scene, scene_low, scene_high.
    Raises `DataError` for a table without these columns or without rows.
    """
    checked(shares, ("target", "environment", "scene", "scene_low", "scene_high", *PARTS), "variance_bars")
    several = shares["target"].nunique() > 1
    names = shares["environment"].astype(str) + (", " + shares["target"].astype(str) if several else "")
    long = shares.assign(row=names).melt("row", list(PARTS), "part", "share")
    part = long["part"].map({column: name for column, (name, _) in PARTS.items()})
    said = words("{}, {}: {}", long["row"], part, long["share"].map(percent))
    order = long["part"].map(list(PARTS).index)
    data = records(long, row=long["row"], part=part, share=long["share"], order=order, said=said)
    bars = alt.Chart(data).mark_bar(height=15).encode(
        alt.X("share:Q", stack="zero"), alt.Y("row:N", sort=list(names)), by_name("part", dict(PARTS.values())),
        order="order:Q", description="said:N",
    )  # fmt: skip
    scene = dots(
        with_intervals(shares, "scene", names), "share of the prediction's variance", percent, {"": "black"}
    )
    said_of_all = "Shares of the prediction's variance; the dot and the number are the scene's Shapley value"
    return finished(alt.layer(bars, scene).resolve_scale(color="independent"), said_of_all)


def crossed_plot(
    predictions: Float[ndarray, "images images"], groups: Sequence[str], *, label: str
) -> ChartType:
    """Draw the prediction for every region (rows) on every scene (columns).

        crossed_plot(predictions, ["room_1", "room_1", "room_2"], label="x")

    Even rows mean that the prediction follows the region, even columns that it follows the scene. Lines part the
    `groups`. Raises `DataError` where the sizes do not fit.
    """
    count = len(groups)
    if predictions.shape != (count, count):
        raise DataError(f"{predictions.shape} predictions and {count} groups do not fit")
    row, column = (each.ravel().tolist() for each in np.indices(predictions.shape))
    of_row, of_column = ([groups[at] for at in each] for each in (row, column))
    said = words("region of {}, scene of {}: {}", of_row, of_column, predictions.ravel().tolist())
    cells = pd.DataFrame({"row": row, "column": column, "value": predictions.ravel(), "said": said})
    starts = [at for at in range(count) if at == 0 or groups[at] != groups[at - 1]]
    middles = {(a + b - 1) // 2 for a, b in zip(starts, [*starts[1:], count], strict=True)}
    names = [cut(name, 13) if at in middles else "" for at, name in enumerate(groups)]
    look: Any = {"labelExpr": f"{json.dumps(names)}[datum.value]", "labelOverlap": False, "labelLimit": 110}
    x = alt.X("column:O", title=None, axis=alt.Axis(orient="top", labelAngle=-50, **look))
    y = alt.Y("row:O", title=None, axis=alt.Axis(**look))
    title = f"prediction of {cut(label)}"
    colour = alt.Color("value:Q", scale=alt.Scale(scheme="viridis"), legend=gradient(title, orient="bottom"))
    if np.nanmin(predictions) < 0 < np.nanmax(predictions):
        colour = signed("value", title, float(np.nanmax(np.abs(predictions))))
    square = alt.Chart(records(cells, "row", "column", "value", "said"))
    lines = alt.Chart(records(pd.DataFrame(index=starts[1:]), row=starts[1:], column=starts[1:]))
    line = lines.mark_rule(color=INK, strokeWidth=1.3, aria=False)
    side = min(SQUARE, CELL * count)
    chart = alt.layer(
        square.mark_rect().encode(x, y, colour, description="said:N"),
        line.encode(x=alt.X("column:O", bandPosition=0)),
        line.encode(y=alt.Y("row:O", bandPosition=0)),
    ).properties(width=side, height=side)
    return finished(chart, f"Prediction of {label} for every region (rows) on every scene (columns)")
