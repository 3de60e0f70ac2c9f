"""A report as data: the answer on one screen, then a section for each question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from altair.typing import ChartType

    from shapsight.drawing.viewer import Shown

MOST_WORDS = 12  # of a verdict


@dataclass(frozen=True)
class Column:
    """A column of a table: where its values are and how they are written.

        Column("mse", "MSE", ".3f", low="mse_low", high="mse_high")     # 0.012 [0.009, 0.015]

    `format` is a format specification of Python for numbers; `low` and `high` name the columns of an interval.
    """

    name: str
    heading: str = ""
    format: str = ".3g"
    low: str = ""
    high: str = ""


def plain(*names: str) -> tuple[Column, ...]:
    """Columns that need no more than their names."""
    return tuple(map(Column, names))


@dataclass(frozen=True, eq=False)
class Table:
    """A table, folded away under its caption; without `columns` all columns of the frame are shown.

    The page also holds the whole frame, unrounded, as a CSV file to save.
    """

    frame: pd.DataFrame
    caption: str = ""
    columns: Sequence[Column] = ()


@dataclass(frozen=True, eq=False)
class Picture:
    """A chart, or images in the viewer; `alt` says in words what it shows, for who does not see it.

        Picture(error_bars(errors), "Errors by environment")
        Picture([Shown("a.jpg", pixels, [Map("x", values)])], "Explained images")

    Attributes
        shown: a chart of altair, or images: `Shown`, or what `encoded` made of one.
        first: so many images are seen at once, the others after a click.
        maps: which heatmaps of each image stand side by side.
    """

    shown: ChartType | Sequence[Shown | Mapping[str, Any]]
    alt: str
    caption: str = ""
    first: int = 12
    maps: Sequence[int] = (0,)

    @property
    def chart(self) -> ChartType | None:
        """The chart; None of images."""
        return None if isinstance(self.shown, Sequence) else self.shown

    @property
    def images(self) -> Sequence[Shown | Mapping[str, Any]]:
        """The images; none of a chart."""
        return self.shown if isinstance(self.shown, Sequence) else ()


@dataclass(frozen=True, eq=False)
class Card:
    """An image on the first screen: what it is an example of, and what is to be seen in it, in a few words.

    `map` is which of its heatmaps is shown, with the parts that it sums to.
    """

    image: Shown | Mapping[str, Any]
    title: str
    said: str = ""
    map: int = 0


@dataclass(frozen=True, eq=False)
class Answer:
    """The first screen.

    Answer("It fails elsewhere, but the scene is not why.", "The error is 6.4 times as high in room_3.",
           [Card(image, "At home: room_1")], next="shapsight cure runs/room_1 --try flip")

    Attributes
        verdict: at most 12 words. evidence: one sentence with at most three numbers.
        cards: two or three images that show it. chart: errors per environment, and what it shows.
        next: a command to copy, or code; next_is: what it does.
        level: "ok", "suspicious", "shortcut", "unknown" or nothing; colours the verdict.
    """

    verdict: str
    evidence: str = ""
    cards: Sequence[Card] = ()
    chart: Picture | None = None
    next: str = ""
    next_is: str = ""
    level: str = ""


@dataclass(frozen=True, eq=False)
class Section:
    """A question: one sentence and a picture answer it; what else there is to read follows, folded away.

    Attributes
        lead: one sentence. text: how to read it; a blank line parts paragraphs.
        notes: what a reader has to know, such as what was left out; never folded away.
    """

    heading: str
    lead: str = ""
    pictures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()
    text: str = ""
    notes: Sequence[str] = ()


@dataclass(frozen=True, eq=False)
class Page:
    """A report: the answer first, then what supports it, then how it was made.

    page = Page("lockers, diagnosed", Answer("It fails elsewhere, but the scene is not why."),
                [Section("How large is the error?", tables=[Table(errors)])],
                {"command": "shapsight debug data"})
    render_page(page, "run/report.html")
    """

    title: str
    answer: Answer
    sections: Sequence[Section] = ()
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def pictures(self) -> Sequence[Picture]:
        """All of them, in their order."""
        first = [self.answer.chart] if self.answer.chart is not None else []
        return [*first, *(picture for section in self.sections for picture in section.pictures)]
