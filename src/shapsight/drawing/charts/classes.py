"""Charts of a classifier: which classes it mistakes, and how sure it is."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd
from altair.typing import ChartType

from shapsight.drawing.charts.intervals import percent
from shapsight.drawing.charts.scatter import agreeing
from shapsight.drawing.charts.theme import finished, gradient, records, words
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
    said = words(
        "{} of {} taken for {} ({})", cells["count"], cells["label"], cells["predicted"], share.map(percent)
    )
    known = cells["count"] > 0
    columns = cells.assign(share=share, said=said, count=cells["count"].astype(str))[known]
    scale = alt.Scale(domain=names)
    look: Any = {**NAME, "labelOverlap": len(names) > MOST_NAMES}
    base = alt.Chart(records(columns, "label", "predicted", "count", "share", "said")).encode(
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
    sure, right, images = table["confidence"], table["accuracy"], table["images"]
    said = words("{} images: {} right, {} sure", images, right.map(percent), sure.map(percent))
    size, share = alt.Size("area:Q", scale=None, legend=None), images / images.sum()
    chart = agreeing(
        sure,
        right,
        ("confidence", "accuracy"),
        said,
        size,
        side=SIDE,
        ends=[0, 1],
        form="%",
        area=20 + 400 * share,
    )
    return finished(chart, "Accuracy against confidence; on the red diagonal both agree")
