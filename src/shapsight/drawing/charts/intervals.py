"""Charts of values with their intervals: a dot on a line for each, in rows by name, the value written at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import altair as alt
import numpy as np
import pandas as pd
from altair.typing import ChartType

from shapsight.drawing.charts.theme import (
    CUT,
    INK,
    PLOT,
    by_name,
    colours_of,
    finished,
    in_lines,
    records,
    words,
)
from shapsight.drawing.style import SERIES, number
from shapsight.drawing.tables import checked

LINE = 26  # pixels of a row
SEVERAL = 17  # and of each value in a row of several
DENSE = 10  # where no numbers are written
WHERE = {"at home": SERIES[0], "elsewhere": SERIES[1]}
RECIPES = {"without": SERIES[1], "with a remedy": SERIES[0]}


def error_bars(table: pd.DataFrame) -> ChartType:
    """Draw the mean squared error of each environment and split with its interval, one panel a target.

        error_bars(table)     # columns environment, split, target, mse, mse_low, mse_high, and model for several

    Raises `DataError` for a table without these columns or without rows.
    """
    checked(table, ("environment", "split", "target", "mse", "mse_low", "mse_high"), "error_bars")
    return _by_place(table, "target", "mse", "mean squared error of {}", number)


def share_bars(table: pd.DataFrame, said: str) -> ChartType:
    """Draw a share of each environment and split with its interval, one panel an output.

        share_bars(table, "scene's share of what moves {}")     # environment, split, output, value, low, high, model

    `value`, `low` and `high` are in [0, 1]; `said` names the axis, with the output in it.
    Raises `DataError` for a table without these columns or without rows.
    """
    checked(table, ("environment", "split", "output", "value", "low", "high"), "share_bars")
    named = table.rename(columns={"low": "value_low", "high": "value_high"})
    return _by_place(named, "output", "value", said, percent)


def accuracy_bars(table: pd.DataFrame) -> ChartType:
    """Draw the accuracy of each environment and split with its interval.

        accuracy_bars(table)     # columns environment, split, accuracy, accuracy_low, accuracy_high

    Raises `DataError` for a table without these columns or without rows.
    """
    checked(table, ("environment", "split", "accuracy", "accuracy_low", "accuracy_high"), "accuracy_bars")
    return _by_place(table.assign(what=""), "what", "accuracy", "images told right", percent)


def errors_at_a_glance(table: pd.DataFrame, home: Sequence[str]) -> ChartType:
    """Draw the error of each environment in a row, home in a colour of its own: small, for a page's first screen.

        errors_at_a_glance(errors, home=["room_1"])     # a row an environment: environment, split, and the error

    With a column `model`, several models stand beside each other. The error is `mse` of a single target or, for
    classes, 1 − `accuracy`, with `_low` and `_high`.
    Raises `DataError` for a table without these columns or without rows.
    """
    is_share = "accuracy" in table
    name = "accuracy" if is_share else "mse"
    checked(table, ("environment", "split", name, f"{name}_low", f"{name}_high"), "errors_at_a_glance")
    if is_share:
        right = table[[name, f"{name}_high", f"{name}_low"]].to_numpy(float)
        table = table.assign(**dict(zip((name, f"{name}_low", f"{name}_high"), 1 - right.T, strict=True)))
    title = "share of wrong labels" if is_share else "mean squared error"
    several = "model" in table
    where = table["environment"].isin(list(home)).map({True: "at home", False: "elsewhere"})
    rows = with_intervals(table, name, table["environment"], table["model"] if several else where)
    colours = colours_of(rows["key"]) if several else {k: c for k, c in WHERE.items() if k in set(where)}
    drawn = dots(rows, title, percent if is_share else number, colours, beside=several)
    return finished(drawn, f"{title} by environment, with 95 % intervals")


def recipes_at_a_glance(ranking: pd.DataFrame, baseline: str) -> ChartType:
    """Draw the error of each recipe in unseen environments with its interval, the baseline in a colour of its own.

        recipes_at_a_glance(rank(judged), "baseline")     # columns recipe, error, error_low, error_high

    Raises `DataError` for a table without these columns or without rows.
    """
    checked(ranking, ("recipe", "error", "error_low", "error_high"), "recipes_at_a_glance")
    which = (ranking["recipe"] == baseline).map({True: "without", False: "with a remedy"})
    rows = with_intervals(ranking, "error", ranking["recipe"], which)
    drawn = dots(rows, "error where it was not trained", number, RECIPES, beside=False)
    return finished(drawn, "error of each recipe where it was not trained, with 95 % intervals")


def with_intervals(
    table: pd.DataFrame, value: str, row: pd.Series, key: pd.Series | str = ""
) -> pd.DataFrame:
    """What `dots` takes: a value and its interval in `VALUE_low` and `VALUE_high`, the name of its row, a key."""
    ends = {"value": table[value], "low": table[f"{value}_low"], "high": table[f"{value}_high"]}
    return pd.DataFrame({"row": row.astype(str), **ends}).assign(
        key=key if isinstance(key, str) else key.astype(str)
    )


def percent(share: float) -> str:
    """`42%`; `0.3%` where it is small."""
    return f"{share:.0%}" if round(abs(share), 3) >= 0.1 or share == 0 else f"{share:.1%}"


def _by_place(
    table: pd.DataFrame, panel: str, value: str, said: str, write: Callable[[float], str]
) -> ChartType:
    """A panel for each value of a column, a row for each environment and split, a dot for each model in it."""
    table = table if "model" in table else table.assign(model="")
    models = colours_of(table["model"])
    places = table["environment"].astype(str) + " · " + table["split"].astype(str)
    rows = with_intervals(table, value, places, table["model"])
    reach = 1.0 if write is percent else highest(rows)
    panels = [
        dots(rows[table[panel] == name], said.format(name), write, models, reach=reach)
        for name in dict.fromkeys(table[panel])
    ]
    title = said.format(", ".join(map(str, dict.fromkeys(table[panel]))))
    return finished(stacked(panels), f"{title} by environment, with 95 % intervals")


def stacked(panels: Sequence[ChartType]) -> ChartType:
    """Panels below each other, so that they fit a phone."""
    return panels[0] if len(panels) == 1 else alt.vconcat(*panels)


def highest(rows: pd.DataFrame) -> float:
    """Where the axis ends: a little beyond the largest value and interval."""
    values = rows[["value", "high"]].to_numpy(float)
    return 1.04 * float(values[np.isfinite(values)].max(initial=0.0)) or 1.0


def dots(
    rows: pd.DataFrame,
    title: str,
    write: Callable[[float], str],
    colours: Mapping[str, str],
    *,
    reach: float | None = None,
    beside: bool = True,
    has_numbers: bool = True,
) -> ChartType:
    """Dots with intervals: columns row, value, low, high and key, which gives the colour; not yet `finished`.

    With `beside`, keys of one row lie beside each other; `has_numbers` writes each value at the end of its line.
    """
    several = beside and len(colours) > 1
    order = list(dict.fromkeys(rows["row"]))
    value, low, high = (rows[name].to_numpy(float) for name in ("value", "low", "high"))
    written = [write(each) if np.isfinite(each) else "no value" for each in value]
    spread = zip(low, high, strict=True)
    ends = [f" ({write(a)} to {write(b)})" if np.isfinite([a, b]).all() else "" for a, b in spread]
    who = words("{}, {}", rows["row"], rows["key"]) if several else rows["row"]
    # An interval that misses its own estimate is drawn up to it.
    low, high = np.fmin(low, value), np.fmax(high, value)
    said = words("{}: {}{}", who, written, ends)
    data = records(
        rows, row=rows["row"], key=rows["key"], value=value, low=low, high=high, written=written, said=said
    )
    domain = [0, reach or (1.0 if write is percent else highest(rows))]
    x = alt.X(
        "value:Q",
        title=in_lines(title),
        axis=alt.Axis(format="%" if write is percent else ""),
        scale=alt.Scale(domain=domain, nice=False, clamp=True),
    )
    base = alt.Chart(data).encode(
        y=alt.Y("row:N", sort=order, title=None, axis=alt.Axis(labelExpr=CUT)), color=by_name("key", colours)
    )
    if several:
        base = base.encode(yOffset=alt.YOffset("key:N", sort=list(colours)))
    interval = base.mark_rule(strokeWidth=2, aria=False).encode(x=alt.X("low:Q"), x2="high:Q")
    dot = base.mark_point(size=55).encode(x=x, description="said:N")
    layers = [dot, interval]
    if has_numbers:
        # In a column beside the dots: next to one, a number would move with it.
        text = base.mark_text(align="left", dx=6, aria=False)
        layers.append(text.encode(x=alt.value(PLOT), text="written:N", color=alt.value(INK)))
    step = SEVERAL if has_numbers else DENSE
    height = len(order) * max(LINE, step * len(colours) + 6 if several else 0)
    return alt.layer(*layers).properties(width=PLOT, height=height)
