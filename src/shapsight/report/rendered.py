"""A page as one HTML file that needs nothing else: no network, no second file."""

from __future__ import annotations

import base64
import hashlib
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import markupsafe
import pandas as pd
from matplotlib import rc_context

from shapsight.data.written_files import write_text
from shapsight.drawing.charts.files import save, svg
from shapsight.drawing.stills import stills_plot
from shapsight.drawing.viewer.content import Shown, content
from shapsight.drawing.viewer.view import asset, inlined
from shapsight.errors import RunError
from shapsight.report.page import Column, Page, Picture, Table

PNG_DPI = 144
# Signs that turn around what stands after them: in a name they would turn the sentence around it.
TURNING = dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)))
AT_ONCE = 2  # pictures of a section that are not folded away


def render_page(page: Page, path: str | os.PathLike[str]) -> Path:
    """Write the report as one self-contained HTML file, complete or not at all, and return its path.

    Charts are embedded as SVG, images and their heatmaps once each, as small files that the viewer draws. All text is
    escaped. Raises `RunError` where the file cannot be written, and `KeyError` for a table that lacks one of its
    columns.
    """
    path = Path(path)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("shapsight.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_in_order,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    gathered = _Images()
    charts = _Charts()
    script = _script()
    environment.filters.update(cells=_rows, chart=charts.embedded, numbers=gathered.numbers, csv=_csv)
    environment.filters.update(
        paragraphs=_paragraphs, exactly=markupsafe.escape, amount=_amount, bars=_bars, file_name=file_name
    )
    environment.globals.update(viewer_css=asset("viewer.css"), script=script, hash=_hash(script))
    for card in page.answer.cards:
        gathered.add(card.image)
    for picture in page.pictures:
        for image in picture.images:
            gathered.add(image)
    found = content(gathered.images)
    html = environment.get_template("page.html").render(
        page=page, at_once=AT_ONCE, images=found["images"], content=inlined(found), coarser=found["coarser"]
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, html)
    except OSError as error:
        raise RunError(f"the report cannot be written to {path}: {error.strerror or error}") from error
    return path


def save_picture(picture: Picture, stem: Path) -> Path | None:
    """Write a picture for papers, STEM.svg and STEM.png, and return the latter; None for images encoded before."""
    images = [image for image in picture.images if isinstance(image, Shown)]
    if images:
        figure = stills_plot(images[: picture.first], picture.maps)
        with rc_context({"svg.hashsalt": "shapsight"}):  # the same run writes the same files
            for kind, made in (("svg", {"Date": None, "Creator": None}), ("png", {"Software": None})):
                figure.savefig(f"{stem}.{kind}", dpi=PNG_DPI, metadata=made)
    elif picture.chart is not None:
        save(picture.chart, stem)
    else:
        return None
    return stem.with_name(f"{stem.name}.png")


@dataclass
class _Images:
    """The images of a page, each once."""

    images: list[Shown | Mapping[str, Any]] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)

    def add(self, image: Shown | Mapping[str, Any]) -> None:
        at = self.places.setdefault(_key(image), len(self.images))
        if at == len(self.images):
            self.images.append(image)
        elif _maps(image) > _maps(self.images[at]):  # shown without its heatmaps before
            self.images[at] = image

    def numbers(self, images: Sequence[Shown | Mapping[str, Any]]) -> list[int]:
        """Where images are in the page's list."""
        return [self.places[_key(image)] for image in images]


def _key(image: Shown | Mapping[str, Any]) -> str:
    return (image.key or image.name) if isinstance(image, Shown) else str(image["key"])


def _maps(image: Shown | Mapping[str, Any]) -> int:
    return len(image.maps if isinstance(image, Shown) else image["maps"])


@dataclass
class _Charts:
    """Charts as SVG; the ids inside do not meet those of other charts."""

    count: int = 0

    def embedded(self, picture: Picture) -> str:
        self.count += 1
        return "" if picture.chart is None else svg(picture.chart, f"chart-{self.count}")


def _in_order(value: Any) -> Any:
    """Text whose letters stand in the order in which they were written."""
    is_plain = isinstance(value, str) and not isinstance(value, markupsafe.Markup)
    return value.translate(TURNING) if is_plain else value


def _script() -> str:
    """The viewer and what a page does with it, in one scope of their own."""
    own = resources.files(__package__).joinpath("templates", "page.js").read_text(encoding="utf-8")
    return f"{asset('viewer.js')}\n{own}"


def _hash(script: str) -> str:
    """What the page's policy names, so that no other script runs."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _csv(table: Table) -> str:
    """The whole table as a file inside a link."""
    text = table.frame.to_csv(index=False)
    return f"data:text/csv;charset=utf-8;base64,{base64.b64encode(text.encode()).decode()}"


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
        return format(value, "d" if spec == Column("").format else spec).replace("-", "−")
    return format(value, spec).replace("-", "−") if isinstance(value, float) else str(value)


def _bars(parts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Parts with the length of their bars: half of the room at most, to either side."""
    most = max((abs(part["value"] or 0) for part in parts), default=0) or 1
    return [
        {
            **part,
            "way": "lowers" if (part["value"] or 0) < 0 else "raises",
            "percent": f"{50 * abs(part['value'] or 0) / most:.1f}",
        }
        for part in parts
    ]


def _amount(value: float | None) -> str:
    """`"+0.083"`."""
    return "unknown" if value is None else f"{value:+.2g}".replace("-", "−")


def file_name(text: str, words: int = 6) -> str:
    """A title as the name of a file, without its ending: `"errors_of_each_target"`."""
    letters = "".join(letter if letter.isalnum() else " " for letter in text.lower())
    return "_".join(letters.split()[:words]) or "table"


def _paragraphs(text: str) -> list[str]:
    return [part.strip() for part in text.split("\n\n") if part.strip()]
