"""Charts of predictions against targets, a point an image."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
from altair.typing import ChartType
from jaxtyping import Bool
from numpy import ndarray

from shapsight.drawing.charts.theme import UPRIGHT, cut, finished, in_lines, limits, links_of, records, words
from shapsight.drawing.style import RAISES, SERIES, number
from shapsight.drawing.tables import checked

SIDE = 116  # pixels: two panels beside each other fit a phone
MOST = 1000  # points: more are chosen from, half of them the largest errors


def scatter_panels(predictions: pd.DataFrame, target: str, links: Collection[str] = ()) -> ChartType:
    """Draw predicted against actual values, one panel for each environment and split, all on the same axes.

        scatter_panels(predictions, "x")     # columns environment, split, x, predicted_x, and path for links

    Points on the red diagonal are right. The title gives the mean squared error and the number of images. A point whose
    `path` is in `links` opens that image. Of more than 1,000 images the description says which are drawn.
    Raises `DataError` for a table without these columns or without rows.
    """
    predicted = f"predicted_{target}"
    checked(predictions, ("environment", "split", target, predicted), "scatter_panels")
    ends = limits(predictions[[target, predicted]])
    drawn = is_drawn(predictions[target], predictions[predicted])
    places = predictions["environment"].astype(str) + " · " + predictions["split"].astype(str)
    panels = [
        _panel(predictions[places == name], drawn[places == name], target, ends, links, name)
        for name in dict.fromkeys(places)
    ]
    said = f"Predicted against actual {target} by environment{said_of_sample(len(predictions))}"
    return finished(panels[0] if len(panels) == 1 else alt.concat(*panels, columns=2), said)


def is_drawn(actual: pd.Series, predicted: pd.Series) -> Bool[ndarray, "rows"]:
    """Which rows are drawn: all, or of very many the largest errors and a random sample of the others."""
    error = np.abs(actual.to_numpy(float) - predicted.to_numpy(float))
    order = np.argsort(-np.nan_to_num(error, nan=-1.0), kind="stable")
    chosen = np.random.default_rng(0).permutation(order[MOST // 2 :])[: MOST // 2]
    return np.isin(np.arange(len(error)), np.concatenate([order[: MOST // 2], chosen]))


def said_of_sample(count: int) -> str:
    """What a caption must say of the points that are drawn; nothing where it is all."""
    if count <= MOST:
        return ""
    return f". Of {count:,} images the {MOST // 2} with the largest error are drawn, and {MOST - MOST // 2} others"


def _panel(
    group: pd.DataFrame,
    chosen: Bool[ndarray, "rows"],
    target: str,
    ends: list[float],
    links: Collection[str],
    name: str,
) -> ChartType:
    mse = float(np.mean((group[f"predicted_{target}"] - group[target]) ** 2))
    shown = group[chosen]
    actual, predicted = shown[target], shown[f"predicted_{target}"]
    paths = shown["path"].astype(str) if "path" in shown else pd.Series(name, shown.index)
    said = words(
        "{}: {}, actual {}", paths.str.rpartition("/")[2], predicted.astype(float), actual.astype(float)
    )
    titles = (f"actual {cut(target, 14)}", f"predicted {cut(target, 14)}")
    points = agreeing(
        actual, predicted, titles, said, alt.Href("link:N"), side=SIDE, ends=ends, link=links_of(paths, links),
        size=22 if len(shown) < 300 else 10,
    )  # fmt: skip
    count = f"{len(group)} image{'s' * (len(group) != 1)}"
    panel: ChartType = points.properties(title=alt.TitleParams([cut(name), f"MSE {number(mse)}, {count}"]))
    return panel


def agreeing(
    across: pd.Series, up: pd.Series, titles: tuple[str, str], said: list[str], *encodings: Any,
    side: int, ends: list[float] | None = None, size: float = 24, form: str = "", **columns: Any,
) -> ChartType:  # fmt: skip
    """Points that lie on the red diagonal where both axes agree; `encodings` read further `columns`."""
    ends = limits(across, up) if ends is None else ends
    look: Any = {"scale": alt.Scale(domain=ends, nice=False), "axis": alt.Axis(tickCount=4, format=form)}
    x, y = (
        alt.X("across:Q", title=in_lines(titles[0]), **look),
        alt.Y("up:Q", title=cut(titles[1], UPRIGHT), **look),
    )
    diagonal = alt.Chart(records(pd.DataFrame(index=[0, 1]), across=ends, up=ends))
    points = alt.Chart(records(across.to_frame(), across=across, up=up, said=said, **columns))
    points = points.mark_point(size=size, color=SERIES[0], fillOpacity=0.7, strokeWidth=0, clip=True)
    return alt.layer(
        diagonal.mark_line(color=RAISES, strokeWidth=1.2, aria=False).encode(x, y),
        points.encode(x, y, *encodings, description="said:N"),
    ).properties(width=side, height=side)
