"""Charts of where a model looks: measures of its attribution beside chance, and its shares on kinds of objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import altair as alt
import pandas as pd
from altair.typing import ChartType

from shapsight.drawing.charts.intervals import LINE, dots, percent, stacked
from shapsight.drawing.charts.theme import PLOT, QUIET, by_name, cut, finished, records, words
from shapsight.drawing.style import SERIES, number
from shapsight.drawing.tables import checked

COPIES = "randomised copies"


def measures_plot(table: pd.DataFrame, output: str, titles: Mapping[str, str]) -> ChartType:
    """Draw each measure of where an output's attribution lies: a panel a measure, a line an environment.

        measures_plot(measures_per_environment(per_image), "x", {"area": "pixels that carry 90 % of it"})

    The dot is the model with its interval, the diamond an even heatmap, the grey line what randomised copies of the
    model score. All run from 0 to 1. Raises `DataError` for a table without rows of this output.
    """
    table = _of_output(table, output, ("measure", "value"), "measures_plot")
    names = table["environment"].astype(str) + " · " + table["split"].astype(str)
    panels = [
        _panel(rows.assign(row=names[rows.index]), said, f"{cut(output)} of this model", "an even heatmap")
        for measure, said in titles.items()
        if len(rows := table[table["measure"] == measure])
    ]
    said = f"Measures of where the attribution of {output} lies by environment, with 95 % intervals"
    return finished(stacked(panels), said)


def objects_plot(table: pd.DataFrame, output: str) -> ChartType:
    """Draw the share of an output's attribution on each kind of object: a panel an environment, a line a category.

        objects_plot(object_shares_per_environment(per_image), "x")

    The diamond is the category's share of the area, which an even heatmap would score.
    Raises `DataError` for a table without rows of this output.
    """
    table = _of_output(table, output, ("category", "share"), "objects_plot")
    order = list(table.groupby("category")["share"].mean().sort_values(ascending=False).index)
    ranked = table.sort_values("category", key=lambda names: names.map(order.index), kind="stable")
    ranked = ranked.assign(value=ranked["share"], row=ranked["category"])
    panels = [
        _panel(
            rows, f"share in {place} · {split}", f"attribution of {cut(output)}", "share of the area", True
        )
        for (place, split), rows in ranked.groupby(["environment", "split"], sort=False)
    ]
    return finished(
        stacked(panels), f"Share of the attribution of {output} on kinds of objects, with 95 % intervals"
    )


def _of_output(table: pd.DataFrame, output: str, needed: Sequence[str], name: str) -> pd.DataFrame:
    checked(table, ("environment", "split", "output", *needed, "low", "high", "chance"), name)
    mine = table[table["output"] == output]
    checked(mine, (), name)
    return mine


def _panel(rows: pd.DataFrame, title: str, model: str, chance: str, is_share: bool = False) -> ChartType:
    """Values with intervals, chance, and the range of randomised copies where there are any."""
    has_copies = "randomised" in rows and bool(rows["randomised"].notna().any())
    colours = {model: SERIES[0], chance: SERIES[1]} | ({COPIES: QUIET} if has_copies else {})
    write = percent if is_share else number
    drawn = dots(rows.assign(key=model), title, write, colours, reach=1.0, beside=False)
    said = words("{}: {} {}", rows["row"], [chance] * len(rows), rows["chance"].map(write))
    beside = alt.Chart(records(rows, row=rows["row"], key=chance, value=rows["chance"], said=said))
    y, colour = alt.Y("row:N", sort=list(dict.fromkeys(rows["row"]))), by_name("key", colours)
    diamond = beside.mark_point(shape="diamond", size=60, filled=False, strokeWidth=1.8)
    layers = [diamond.encode(x="value:Q", y=y, color=colour, description="said:N"), drawn]
    if has_copies:
        ends = {"low": rows["randomised_low"] - 0.004, "high": rows["randomised_high"] + 0.004}
        # A single copy, or copies that agree, is still to be seen.
        copies = alt.Chart(records(rows, row=rows["row"], key=COPIES, **ends))
        band = copies.mark_rule(strokeWidth=6, strokeOpacity=0.6, aria=False)
        layers.insert(0, band.encode(x="low:Q", x2="high:Q", y=y, color=colour))
    return alt.layer(*layers).properties(width=PLOT, height=LINE * rows["row"].nunique())
