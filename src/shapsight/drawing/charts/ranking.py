"""The chart of remedies: the error of each in unseen environments against where its model looks."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd
from altair.typing import ChartType

from shapsight.drawing.charts.intervals import percent
from shapsight.drawing.charts.theme import INK, by_name, cut, finished, in_lines, records, words
from shapsight.drawing.style import SERIES
from shapsight.errors import DataError

WIDE, HIGH, LINE = 160, 260, 15  # pixels; the last of a name


def error_share_plot(ranking: pd.DataFrame, *, baseline: str = "baseline") -> ChartType:
    """Draw each recipe's error in unseen environments against the scene's share of what moves it.

        error_share_plot(rank(judged))

    Lower and further left is better. Lines are intervals; the baseline is a square. Raises `DataError` for a ranking
    without shares.
    """
    known = ranking[np.isfinite(ranking["scene_share"].to_numpy(float))]
    if known.empty:
        raise DataError("error_share_plot needs the scene's shares: explain images with a region of interest")
    rows = known.sort_values("error", ascending=False).reset_index(drop=True)
    top = 1.04 * float(np.nanmax(rows[["error", "error_high"]].to_numpy(float))) or 1.0
    high = max(HIGH, LINE * len(rows) + 20)
    names = rows["recipe"].astype(str)
    shares = rows["scene_share"].map(percent)
    said = words("{}: error {}, scene's share {}", names, rows["error"], shares)
    data = records(
        rows, "scene_share", "scene_share_low", "scene_share_high", "error", "error_low", "error_high", said=said,
        name=[cut(name, 18) for name in names], kind=np.where(names == baseline, baseline, "with a remedy"),
        beside=top * (1 - _apart(high * (1 - rows["error"].to_numpy(float) / top), high) / high),
    )  # fmt: skip
    colours = {"with a remedy": SERIES[0], baseline: SERIES[1]}
    x = alt.X(
        "scene_share:Q",
        title=in_lines("scene's share of what moves the prediction"),
        axis=alt.Axis(format="%"),
        scale=alt.Scale(zero=False),
    )
    y = alt.Y("error:Q", title="error in unseen environments", scale=alt.Scale(domain=[0, top], nice=False))
    base = alt.Chart(data).encode(color=by_name("kind", colours))
    spread = base.mark_rule(strokeOpacity=0.45, strokeWidth=1.4, aria=False)
    shapes = {"with a remedy": "circle", baseline: "square"}
    points = base.mark_point(size=60).encode(x, y, by_name("kind", shapes, alt.Shape), description="said:N")
    end = alt.value(WIDE + 12)
    to_name = alt.Chart(data).mark_rule(color=INK, strokeOpacity=0.35, strokeWidth=0.7, aria=False)
    name = alt.Chart(data).mark_text(align="left", dx=3, aria=False)
    return finished(
        alt.layer(
            spread.encode(x=alt.X("scene_share_low:Q"), x2="scene_share_high:Q", y=y),
            spread.encode(x=x, y=alt.Y("error_low:Q"), y2="error_high:Q"),
            points,
            to_name.encode(x=x, x2=end, y=y, y2="beside:Q"),
            name.encode(x=end, y=alt.Y("beside:Q"), text="name:N"),
        ).properties(width=WIDE, height=high),
        "Error in unseen environments against the scene's share of what moves the prediction, with 95 % intervals",
    )  # fmt: skip


def _apart(heights: np.ndarray, room: float) -> np.ndarray:
    """Heights of names, top down, moved so far that they do not overlap and stay inside."""
    placed: list[float] = []
    for height in np.nan_to_num(heights, nan=room):
        placed.append(max(float(height), placed[-1] + LINE) if placed else float(height))
    over = max(0.0, placed[-1] - room)
    return np.asarray(placed) - over
