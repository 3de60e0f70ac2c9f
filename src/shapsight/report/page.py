"""A report as one HTML file that needs nothing else: no network, no second file, no script."""

from __future__ import annotations

import base64
import io
import itertools
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from altair.typing import ChartType, is_chart_type
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from PIL import Image

from shapsight.data.written_files import write_text
from shapsight.drawing.charts.files import svg
from shapsight.errors import RunError

PNG_DPI = 144
CSS_PIXELS_PER_INCH = 96


@dataclass(frozen=True)
class KeyFigure:
    """A number that a reader should take away: what it is, its value, and its interval or meaning."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Column:
    """A column of a table: where its values are and how they are written.

        Column("mse", "MSE", ".3f", low="mse_low", high="mse_high")     # 0.012 [0.009, 0.015]

    `format` is a format specification of Python for numbers; `low` and `high` name the columns of an interval.
    """

    name: str
    heading: str = ""
    format: str = ".4g"
    low: str = ""
    high: str = ""


def plain(*names: str) -> tuple[Column, ...]:
    """Columns that need no more than their names."""
    return tuple(map(Column, names))


@dataclass(frozen=True, eq=False)
class Table:
    """A table of the report; without `columns` all columns of the frame are shown."""

    frame: pd.DataFrame
    caption: str = ""
    columns: Sequence[Column] = ()


@dataclass(frozen=True, eq=False)
class Picture:
    """A chart or figure, or a PNG file of one; `alt` says in words what it shows, for who does not see it."""

    figure: Figure | ChartType | Path
    alt: str
    caption: str = ""


@dataclass(frozen=True, eq=False)
class Section:
    """A question and what answers it: text, tables, pictures, notes, in this order. A blank line parts paragraphs."""

    heading: str
    intro: str = ""
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True, eq=False)
class Page:
    """A report: the answer first, then what supports it, then how it was made.

    page = Page("Where does it look?", ["The error is 20 times larger in the hall."],
                [KeyFigure("MSE in the hall", "0.32", "0.25 to 0.41")],
                [Section("How large is the error?", tables=[Table(errors)])],
                {"command": "shapsight debug data"})
    render_page(page, "run/report.html")
    """

    title: str
    answer: Sequence[str]
    key_figures: Sequence[KeyFigure] = ()
    sections: Sequence[Section] = ()
    settings: Mapping[str, str] = field(default_factory=dict)


def render_page(page: Page, path: str | os.PathLike[str]) -> Path:
    """Write the report as one self-contained HTML file, complete or not at all, and return its path.

    Charts are embedded as SVG, pictures with photographs in them as PNG. All text is escaped. Raises `RunError`
    where the file cannot be written, and `KeyError` for a table that lacks one of its columns.
    """
    path = Path(path)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("shapsight.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(cells=_rows, embed=_embed, paragraphs=_paragraphs)
    environment.tests["chart"] = is_chart_type
    numbers = itertools.count(1)
    environment.filters["inline"] = lambda chart: Markup(svg(chart, f"chart{next(numbers)}"))
    html = environment.get_template("page.html").render(page=page)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, html)
    except OSError as error:
        raise RunError(f"the report cannot be written to {path}: {error.strerror or error}") from error
    return path


@dataclass(frozen=True)
class Cell:
    """What stands in a table: the text, the interval beside it, and whether it is aligned as a number."""

    text: str
    interval: str | None
    is_number: bool


@dataclass(frozen=True)
class Grid:
    """A table ready to be written: its columns, and a row of cells for each row of the frame."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]

    @property
    def width(self) -> int:
        """How many cells a row takes; an interval is a cell of its own."""
        return sum(2 if column.low else 1 for column in self.columns)


def _rows(table: Table) -> Grid:
    columns = table.columns or [Column(str(name)) for name in table.frame.columns]
    numeric = {c.name: table.frame[c.name].dtype.kind in "iufc" for c in columns}
    records = table.frame.to_dict("records")
    return Grid(
        columns, [[_cell(record, column, numeric[column.name]) for column in columns] for record in records]
    )


def _cell(record: Mapping[Any, Any], column: Column, is_number: bool) -> Cell:
    interval = None
    if column.low:
        low, high = (_written(record[name], column.format) for name in (column.low, column.high))
        interval = "" if "–" in (low, high) else f"[{low}, {high}]"
    return Cell(_written(record[column.name], column.format), interval, is_number)


def _written(value: Any, spec: str) -> str:
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        # Counts keep all their digits unless a format was asked for that fits whole numbers too.
        return format(value, "d" if spec == ".4g" else spec).replace("-", "−")
    return format(value, spec).replace("-", "−") if isinstance(value, float) else str(value)


def _paragraphs(text: str) -> list[str]:
    return [part.strip() for part in text.split("\n\n") if part.strip()]


@dataclass(frozen=True)
class Embedded:
    """An image as a data URI, and its natural size on the page in CSS pixels."""

    uri: str
    width: int
    height: int


def _embed(picture: Picture) -> Embedded:
    """Photographs as PNG; charts as SVG, in an `img` so that the ids inside do not meet those of other charts."""
    figure = picture.figure
    assert not is_chart_type(figure)
    if isinstance(figure, Path):
        return _embed_file(figure)
    stream = io.BytesIO()
    if figure.findobj(AxesImage):
        figure.savefig(stream, format="png", dpi=PNG_DPI, metadata={"Software": None})
        kind = "png"
    else:
        with rc_context({"svg.hashsalt": "shapsight"}):
            figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
        kind = "svg+xml"
    width, height = (round(side * CSS_PIXELS_PER_INCH) for side in figure.get_size_inches())
    return Embedded(f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}", width, height)


def _embed_file(path: Path) -> Embedded:
    """A PNG as it is, at the size that it was drawn for."""
    with Image.open(path) as image:
        width, height = (round(side * CSS_PIXELS_PER_INCH / PNG_DPI) for side in image.size)
    return Embedded(f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}", width, height)
