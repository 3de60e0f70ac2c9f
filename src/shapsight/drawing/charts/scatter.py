"""Charts of predictions against targets, a point an image."""

from __future__ import annotations

from collections.abc import Collection

import altair as alt
import numpy as np
import pandas as pd
from altair.typing import ChartType
from jaxtyping import Bool
from numpy import ndarray

from shapsight.drawing.charts.theme import cut, finished, limits, links_of, records
from shapsight.drawing.style import RAISES, SERIES, number
from shapsight.drawing.tables import checked

SIDE = 116  # pixels: two panels beside each other fit a phone
MOST = 1000  # points: more are chosen from, half of them the largest errors
NUMBERS = alt.Axis(tickCount=4)


def scatter_panels(predictions: pd.DataFrame, target: str, links: Collection[str] = ()) -> ChartType:
    """Draw predicted against actual values, one panel for each environment and split, all on the same axes.

        scatter_panels(predictions, "x")     # columns environment, split, x, predicted_x, and path for links

    Points on the red diagonal are right. The title gives the mean squared error and the number of images. A point whose
    `path` is in `links` opens that image. Of more than 1,000 images the description says which are drawn.
    Raises `DataError` for a table without these columns or without rows.
    """
    predicted = f"predicted_{target}"
    checked(predictions, ("environment", "split", target, predicted), "scatter_panels")
    domain = alt.Scale(domain=limits(predictions[[target, predicted]]), nice=False)
    drawn = is_drawn(predictions[target], predictions[predicted])
    places = predictions["environment"].astype(str) + " · " + predictions["split"].astype(str)
    panels = [
        _panel(predictions[places == name], drawn[places == name], target, domain, links, name)
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
    domain: alt.Scale,
    links: Collection[str],
    name: str,
) -> ChartType:
    mse = number(float(np.mean((group[f"predicted_{target}"] - group[target]) ** 2)))
    count = f"{len(group)} image{'s' * (len(group) != 1)}"
    shown = group[chosen]
    actual, predicted = shown[target], shown[f"predicted_{target}"]
    paths = shown["path"].astype(str) if "path" in shown else pd.Series(name, shown.index)
    said = [
        f"{each}: {number(float(b))}, actual {number(float(a))}"
        for each, a, b in zip(paths.str.rpartition("/")[2], actual, predicted, strict=True)
    ]
    data = records(shown, actual=actual, predicted=predicted, said=said, link=links_of(paths, links))
    x = alt.X("actual:Q", title=f"actual {cut(target, 14)}", scale=domain, axis=NUMBERS)
    y = alt.Y("predicted:Q", title=f"predicted {cut(target, 14)}", scale=domain, axis=NUMBERS)
    points = alt.Chart(data).mark_point(
        size=22 if len(shown) < 300 else 10, color=SERIES[0], fillOpacity=0.7, strokeWidth=0, clip=True
    ).encode(x=x, y=y, description="said:N", href="link:N")  # fmt: skip
    title = alt.TitleParams([cut(name), f"MSE {mse}, {count}"])
    both = alt.layer(diagonal(domain.domain, x, y), points)
    return both.properties(width=SIDE, height=SIDE, title=title)


def diagonal(ends: list[float], x: alt.X, y: alt.Y) -> alt.Chart:
    """The red line on which both axes say the same."""
    data = records(pd.DataFrame(index=[0, 1]), **{x.shorthand[:-2]: ends, y.shorthand[:-2]: ends})
    line: alt.Chart = alt.Chart(data).mark_line(color=RAISES, strokeWidth=1.2, aria=False).encode(x=x, y=y)
    return line
