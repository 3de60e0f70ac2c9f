"""The chart of strategies: the map on which heatmaps that are alike lie together, and how many groups were taken."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
from altair.typing import ChartType
from jaxtyping import Float, Int
from numpy import ndarray

from shapsight.drawing.charts.curves import WIDE, whole
from shapsight.drawing.charts.theme import CUT, INK, by_name, finished, links_of, records, words
from shapsight.drawing.style import RAISES, SERIES

COLOURS = (*SERIES, "#b5503c", "#5b5fb0", "#b0a23c")
SHAPES = (
    "circle",
    "square",
    "diamond",
    "triangle-up",
    "triangle-down",
    "cross",
    "triangle-right",
    "triangle-left",
)


def strategy_map(
    embedding: Float[ndarray, "images 2"],
    labels: Int[ndarray, "images"],
    environments: Sequence[str],
    eigenvalues: Float[ndarray, "smallest"],
    paths: Iterable[str],
    links: Collection[str] = (),
) -> ChartType:
    """Draw images as points, near where their heatmaps are alike, coloured by strategy; below it the spectrum.

        strategy_map(found.embedding, found.labels, rows["environment"], found.eigenvalues, rows["path"])

    The axes of the map mean nothing by themselves. As many eigenvalues are near 0 as there are clear groups. A point
    whose path is in `links` opens that image. Images of strategy 0 have no attribution and are left out.
    """
    columns = {"label": labels, "place": list(map(str, environments)), "path": list(map(str, paths))}
    table = pd.DataFrame(columns)
    table = table.assign(across=embedding[:, 0], up=embedding[:, 1])[labels > 0]
    taken = sorted(set(labels[labels > 0].tolist()))
    names = {label: f"strategy {label} ({(labels == label).sum()})" for label in taken}
    places = {name: SHAPES[at % len(SHAPES)] for at, name in enumerate(dict.fromkeys(table["place"]))}
    said = words(
        "{}, {}, {}", table["path"].str.rpartition("/")[2], table["place"], table["label"].map(names)
    )
    data = records(
        table, across=table["across"], up=table["up"], strategy=table["label"].map(names), place=table["place"],
        said=said, link=links_of(table["path"], links),
    )  # fmt: skip
    colours = {name: COLOURS[(int(str(label)) - 1) % len(COLOURS)] for label, name in names.items()}
    bare: Any = {"axis": None, "scale": alt.Scale(zero=False, nice=False, padding=8)}
    points = alt.Chart(data, width=WIDE, height=200, view=alt.ViewConfig(stroke="#888888")).mark_point(
        size=40, fillOpacity=0.8, strokeWidth=0
    ).encode(
        x=alt.X("across:Q", **bare), y=alt.Y("up:Q", **bare), color=by_name("strategy", colours),
        shape=by_name("place", places, alt.Shape, legend=alt.Legend(orient="bottom", columns=1, labelExpr=CUT)),
        description="said:N", href="link:N",
    )  # fmt: skip
    said_of_all = (
        "Images whose heatmaps are alike lie together (t-SNE); below, the eigenvalues of their graph"
    )
    return finished(alt.vconcat(points, _spectrum(eigenvalues, len(taken))), said_of_all)


def _spectrum(eigenvalues: Float[ndarray, "smallest"], count: int) -> ChartType:
    at = np.arange(1, len(eigenvalues) + 1)
    table = pd.DataFrame({"at": at, "value": eigenvalues})
    said = words("eigenvalue {}: {}", at, eigenvalues)
    x = alt.X("at:Q", title="eigenvalues of the graph, smallest first", axis=whole(at))
    y = alt.Y("value:Q", title=None)
    curve = alt.Chart(records(table, at=at, value=eigenvalues, said=said)).mark_line(
        color=INK, strokeWidth=1, point=alt.OverlayMarkDef(color=INK, size=24)
    ).encode(x=x, y=y, description="said:N")  # fmt: skip
    taken = alt.Chart(records(pd.DataFrame(index=[0]), at=count + 0.5, said=f"{count} taken"))
    rule = taken.mark_rule(color=RAISES, strokeDash=[2, 2], aria=False).encode(x=x)
    text = taken.mark_text(align="left", dx=4, aria=False).encode(x=x, y=alt.value(7), text="said:N")
    return alt.layer(curve, rule, text).properties(width=WIDE, height=90)
