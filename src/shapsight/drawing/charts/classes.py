"""Charts of a classifier: which classes it mistakes, and how sure it is."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd
from altair.typing import ChartType

from shapsight.drawing.charts.intervals import percent
from shapsight.drawing.charts.scatter import diagonal
from shapsight.drawing.charts.theme import finished, gradient, records
from shapsight.drawing.style import SERIES
from shapsight.drawing.tables import checked

MOST_NUMBERS = 12  # classes up to which every cell's count can be read
SIDE, NARROWEST = 240, 7  # pixels
MOST_NAMES = 16
NAME = {"labelLimit": 110, "labelExpr": "truncate(datum.label, 13, 'center')"}


def confusion_plot(counts: pd.DataFrame) -> ChartType:
    """Draw which classes (rows) are taken for which (columns), coloured by the share of the row.

        confusion_plot(confusion_table(predictions, class_names))

    Raises `DataError` for a table without classes.
    """
    checked(counts, (), "confusion_plot")
    names = list(map(str, counts.index))
    cells = counts.set_axis(names, axis=0).set_axis(names, axis=1).rename_axis("label").reset_index()
    cells = cells.melt("label", names, "predicted", "count")
    share = cells["count"] / cells.groupby("label")["count"].transform("sum").clip(1)
    words = zip(cells["count"], cells["label"], cells["predicted"], share, strict=True)
    said = [f"{count} of {label} taken for {taken} ({percent(part)})" for count, label, taken, part in words]
    known = cells["count"] > 0
    columns = cells.assign(share=share, said=said, count=cells["count"].astype(str))[known]
    scale = alt.Scale(domain=names)
    look: Any = {**NAME, "labelOverlap": len(names) > MOST_NAMES}
    base = alt.Chart(records(columns, **{str(name): columns[name] for name in columns})).encode(
        x=alt.X(
            "predicted:N", title="predicted", axis=alt.Axis(orient="top", labelAngle=-50, **look), scale=scale
        ),
        y=alt.Y("label:N", title="label", axis=alt.Axis(**look), scale=scale),
    )
    key = gradient("share of the label's images", format="%", orient="bottom")
    # Of one colour and see-through, so that the numbers can be read on light and dark paper.
    cell = base.mark_rect(color=SERIES[0]).encode(
        fillOpacity=alt.FillOpacity("share:Q", scale=alt.Scale(domain=[0, 1], range=[0.1, 0.95]), legend=key),
        description="said:N",
    )
    drawn = [cell] if len(names) > MOST_NUMBERS else [cell, base.mark_text(aria=False).encode(text="count:N")]
    side = max(min(SIDE, 42 * len(names)), NARROWEST * len(names))
    chart = alt.layer(*drawn).properties(width=side, height=side)
    return finished(chart, "Confusion matrix: labels in rows, predictions in columns")


def calibration_plot(table: pd.DataFrame) -> ChartType:
    """Draw accuracy against confidence, a point a bin, its area by its images.

        calibration_plot(calibration_table(predictions))     # columns confidence, accuracy, images

    Raises `DataError` for a table without these columns or without rows.
    """
    checked(table, ("confidence", "accuracy", "images"), "calibration_plot")
    said = [
        f"{images} images: {percent(right)} right, {percent(sure)} sure"
        for sure, right, images in zip(table["confidence"], table["accuracy"], table["images"], strict=True)
    ]
    share = table["images"] / table["images"].sum()
    data = records(table, sure=table["confidence"], right=table["accuracy"], area=20 + 400 * share, said=said)
    axis, scale = alt.Axis(format="%"), alt.Scale(domain=[0, 1])
    x = alt.X("sure:Q", title="confidence", axis=axis, scale=scale)
    y = alt.Y("right:Q", title="accuracy", axis=axis, scale=scale)
    size = alt.Size("area:Q", scale=None, legend=None)
    points = (
        alt.Chart(data).mark_point(color=SERIES[0], fillOpacity=0.8).encode(x, y, size, description="said:N")
    )
    chart = alt.layer(diagonal([0, 1], x, y), points).properties(width=SIDE, height=SIDE)
    return finished(chart, "Accuracy against confidence; on the red diagonal both agree")
