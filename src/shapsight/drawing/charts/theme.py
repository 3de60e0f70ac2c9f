"""What all charts share: the size of their texts, colours that follow a dark page, and how tables are given to them."""

from __future__ import annotations

import itertools
import json
import textwrap
from collections.abc import Collection, Iterable, Mapping
from typing import Any
from urllib.parse import quote

import altair as alt
import numpy as np
import pandas as pd
from altair.typing import ChartType

from shapsight.drawing.style import LOWERS, RAISES, SERIES, number

INK = "currentColor"  # the colour of the page's text, so that a dark page has light texts
QUIET = SERIES[4]
MEASURED = "DejaVu Sans"  # wider than what pages are read in, so that no text is cut there
NAMES = 150  # pixels that the names beside an axis get at most
PLOT = 150  # pixels across beside names: with them and a number, a chart fits a phone
LETTERS = 20
UPRIGHT = 36  # letters of a title beside an upright axis
LETTERS_BESIDE = 13  # up to which two names of a legend stand beside each other
CUT = f"truncate(datum.label, {LETTERS}, 'center')"  # both ends of a long name tell it from others
LIKE_ENCODE_URI_COMPONENT = "!~*'()"

_TEXT: Mapping[str, Any] = {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal"}
CONFIG: Mapping[str, Any] = {
    "background": "transparent",
    "font": MEASURED,
    "axis": {
        "aria": False,
        "labelColor": INK,
        "titleColor": INK,
        "gridColor": "#88888855",
        "domainColor": "#888888",
        "ticks": False,
        "labelPadding": 5,
        "labelLimit": NAMES,
        "titleLimit": 270,
        "tickCount": 4,
        **_TEXT,
    },
    "axisBand": {"grid": False, "domain": False},
    "axisX": {"labelFlush": False, "labelOverlap": True},
    "legend": {
        "aria": False,
        "orient": "top",
        "title": None,
        "symbolOpacity": 1,
        "symbolBaseFillColor": INK,
        "symbolBaseStrokeColor": INK,
        "labelColor": INK,
        "titleColor": INK,
        "labelLimit": NAMES,
        **_TEXT,
    },
    "title": {"anchor": "start", "color": INK, "fontSize": 12, "fontWeight": "normal", "limit": 330, "offset": 4},
    "text": {"color": INK, "fontSize": 12},
    "point": {"filled": True, "opacity": 1},
    "line": {"strokeWidth": 1.7},
    "view": {"stroke": None},
    "concat": {"spacing": 14},
}  # fmt: skip


def finished(chart: ChartType, said: str) -> ChartType:
    """The chart with the looks of all charts, and what it shows in a sentence, for who does not see it."""
    done: ChartType = chart.properties(config=CONFIG, description=said)
    return done


def cut(name: str, letters: int = LETTERS) -> str:
    """A name with its middle left out where it is long: both of its ends tell it from others."""
    half = letters // 2
    return name if len(name) <= letters else f"{name[:half]}…{name[-half + 1 :]}"


def in_lines(title: str, letters: int = 34) -> list[str]:
    """A title in at most two lines; what does not fit ends in an ellipsis."""
    return textwrap.wrap(title, letters, max_lines=2, placeholder="…")


def words(pattern: str, *columns: Iterable[Any]) -> list[str]:
    """A text for each row, such as `words("{}: {}", names, values)`; floats are written as people write them."""
    rows = zip(*columns, strict=True)
    return [pattern.format(*(number(v) if isinstance(v, float) else v for v in row)) for row in rows]


def records(table: pd.DataFrame, *names: str, **columns: Any) -> alt.InlineData:
    """Columns of the table and further ones, all named by us, since Vega would read dots and brackets as paths.

    Names in the columns stay text. What is no finite number is `null`, which Vega leaves out.
    """
    named = pd.DataFrame({**{name: table[name] for name in names}, **columns}, index=table.index)
    return alt.InlineData(values=json.loads(named.to_json(orient="records", double_precision=15)))


def colours_of(names: Iterable[object]) -> dict[str, str]:
    """A colour for each name, in their order; give all names of a page, and each keeps its colour on it."""
    return dict(zip(dict.fromkeys(map(str, names)), itertools.cycle(SERIES), strict=False))


def by_name(field: str, looks: Mapping[str, Any], channel: type[Any] = alt.Color, **options: Any) -> Any:
    """A channel that gives each name its colour (or dash, or shape); one name alone needs no legend."""
    scale = alt.Scale(domain=list(looks), range=list(looks.values()))
    columns = 2 if max(map(len, looks), default=0) <= LETTERS_BESIDE else 1
    options = {"legend": alt.Legend(columns=columns, labelExpr=CUT), **options}
    return channel(f"{field}:N", scale=scale, **(options if len(looks) > 1 else {"legend": None}))


def signed(field: str, title: str, reach: float) -> alt.Color:
    """Blue below zero and red above it, pale between."""
    scale = alt.Scale(domain=[-reach, 0, reach], range=[LOWERS, "#f2f2f2", RAISES])
    return alt.Color(f"{field}:Q", scale=scale, legend=gradient(title, orient="bottom"))


def gradient(title: str, **options: Any) -> alt.Legend:
    """A strip of colours with its name."""
    return alt.Legend(title=title, gradientLength=160, titleLimit=300, tickCount=3, **options)


def links_of(paths: pd.Series, links: Collection[str]) -> list[str]:
    """What a page's viewer is opened by: `#image=` and the quoted path; nothing for an image that it does not show."""
    known = set(links)
    return [f"#image={quote(p, LIKE_ENCODE_URI_COMPONENT)}" if p in known else "" for p in map(str, paths)]


def limits(*values: Any) -> list[float]:
    """The range of all values with some room, for both axes of a square; -1 to 1 where there is no value."""
    all_values = np.concatenate([np.asarray(each, dtype=float).ravel() for each in values])
    known = all_values[np.isfinite(all_values)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (-1.0, 1.0)
    room = 0.06 * (high - low) or 0.1
    return [low - room, high + room]
