"""Charts of interventions: what each change did, where the variance comes from, and regions on other scenes."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd
from altair.typing import ChartType
from jaxtyping import Float
from numpy import ndarray

from shapsight.drawing.charts.intervals import dots, percent
from shapsight.drawing.charts.theme import (
    CUT,
    INK,
    QUIET,
    by_name,
    colours_of,
    cut,
    finished,
    gradient,
    records,
    signed,
)
from shapsight.drawing.style import SERIES, number
from shapsight.drawing.tables import checked
from shapsight.errors import DataError

PARTS = {
    "scene_alone": ("scene", SERIES[1]),
    "together": ("both together", QUIET),
    "region_alone": ("region of interest", SERIES[0]),
}
BAR, WIDE = 26, 190
SQUARE, CELL = 230, 40  # pixels of all cells, and of one at most


def effects_plot(table: pd.DataFrame, value: str, label: str, *, is_share: bool = False) -> ChartType:
    """Draw what each variant did, a dot with its interval for each environment.

        effects_plot(table, "change", "how far x moves")     # columns variant, environment, change, change_low, _high

    Raises `DataError` for a table without these columns or without rows.
    """
    checked(table, ("variant", "environment", value, f"{value}_low", f"{value}_high"), "effects_plot")
    rows = pd.DataFrame(
        {
            "row": table["variant"], "key": table["environment"].astype(str),
            "value": table[value], "low": table[f"{value}_low"], "high": table[f"{value}_high"],
        }
    )  # fmt: skip
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
    written = shares[["scene", "scene_low", "scene_high"]].map(percent)
    said = (
        names
        + ": scene "
        + written["scene"]
        + " ("
        + written["scene_low"]
        + " to "
        + written["scene_high"]
        + ")"
    )
    ends = shares[list(PARTS)].fillna(0).cumsum(axis=1)
    y = alt.Y("row:N", sort=list(names), title=None, axis=alt.Axis(labelExpr=CUT))
    x = alt.X(
        "start:Q",
        title="share of the prediction's variance",
        axis=alt.Axis(format="%"),
        scale=alt.Scale(domain=[0, 1]),
    )
    bars = [
        records(
            shares, row=names, start=ends[part] - shares[part].fillna(0), end=ends[part], part=name,
            said=[f"{row}, {name}: {percent(share)}" for row, share in zip(names, shares[part], strict=True)],
        )
        for part, (name, _) in PARTS.items()
    ]  # fmt: skip
    colour = by_name("part", dict(PARTS.values()))
    stack = [
        alt.Chart(data).mark_bar(height=15).encode(x, y, colour, x2="end:Q", description="said:N")
        for data in bars
    ]
    scene = alt.Chart(
        records(
            shares,
            row=names,
            start=shares["scene"],
            low=shares["scene_low"],
            high=shares["scene_high"],
            said=said,
        )
    ).encode(y=y)
    marks = [
        scene.mark_rule(strokeWidth=2, color="black", aria=False).encode(x="low:Q", x2="high:Q"),
        scene.mark_point(size=45, color="black").encode(x, description="said:N"),
    ]
    chart = alt.layer(*stack, *marks).properties(width=WIDE, height=BAR * len(shares))
    return finished(
        chart, "Shares of the prediction's variance; the dot is the scene's Shapley value with its interval"
    )


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
    row, column = (each.ravel() for each in np.indices(predictions.shape))
    values = predictions.ravel()
    said = [
        f"region of {groups[r]}, scene of {groups[c]}: {number(value)}"
        for r, c, value in zip(row.tolist(), column.tolist(), values.tolist(), strict=True)
    ]
    # Cells from k to k + 1 on plain axes, so that lines and names lie between and beside them.
    scale, side = alt.Scale(domain=[0, count], nice=False), min(SQUARE, CELL * count)
    x = alt.X("left:Q", title=None, axis=None, scale=scale)
    y = alt.Y("top:Q", title=None, axis=None, scale=alt.Scale(domain=[count, 0], nice=False))
    cells = records(
        pd.DataFrame(index=range(count**2)),
        top=row, bottom=row + 1, left=column, right=column + 1, value=values, said=said,
    )  # fmt: skip
    has_sign = bool(np.nanmin(values) < 0 < np.nanmax(values))
    title = f"prediction of {cut(label)}"
    plain = alt.Color("value:Q", scale=alt.Scale(scheme="viridis"), legend=gradient(title, orient="bottom"))
    colour = signed("value", title, float(np.nanmax(np.abs(values)))) if has_sign else plain
    square = (
        alt.Chart(cells).mark_rect().encode(x, y, colour, x2="right:Q", y2="bottom:Q", description="said:N")
    )
    starts = [number for number in range(count) if number == 0 or groups[number] != groups[number - 1]]
    middles = [(a + b) / 2 for a, b in zip(starts, [*starts[1:], count], strict=True)]
    parts = pd.DataFrame({"at": starts, "middle": middles, "name": [cut(groups[at], 13) for at in starts]})
    lines = alt.Chart(records(parts[1:], left=parts["at"][1:], top=parts["at"][1:]))
    names = alt.Chart(records(parts, left=parts["middle"], top=parts["middle"], name=parts["name"]))
    around = [
        lines.mark_rule(color=INK, strokeWidth=1.3, aria=False).encode(x),
        lines.mark_rule(color=INK, strokeWidth=1.3, aria=False).encode(y),
        names.mark_text(align="right", dx=-6, limit=110, aria=False).encode(
            y=y, x=alt.value(0), text="name:N"
        ),
        names.mark_text(align="left", angle=310, dx=4, dy=-4, limit=110, aria=False).encode(
            x=x, y=alt.value(0), text="name:N"
        ),
    ]
    chart = alt.layer(square, *around).properties(width=side, height=side)
    return finished(chart, f"Prediction of {label} for every region (rows) on every scene (columns)")
