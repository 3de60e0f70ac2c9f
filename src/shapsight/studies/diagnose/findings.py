"""A part of a diagnosis, how the page shows it, and what it found: kept on disk, and read again if nothing changed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeAlias, TypeVar

import pandas as pd
from altair.typing import ChartType
from matplotlib.figure import Figure

from shapsight.data.given_files import read_json, read_parquet
from shapsight.data.written_files import written
from shapsight.drawing.charts.files import read_chart, save
from shapsight.report.page import Column
from shapsight.studies.diagnose.case import Case, Report
from shapsight.studies.shared.facts import Facts
from shapsight.studies.shared.store import kept

FORMAT = "shapsight.findings/2"
FACTS = "facts.json"
DPI = 144
Drawn: TypeAlias = Figure | ChartType
Picture = TypeVar("Picture", Drawn, Path)
MOST = 24  # rows: more are read in the file


@dataclass(frozen=True, eq=False)
class Findings(Generic[Picture]):
    """Tables for the record, numbers for the verdict, sentences and pictures for a person.

    Attributes
        part: "look", "why", "strategies" or "trust".
        tables: by name, which is also the name of their files.
        facts: all that the verdict reads; the part's dataclass says what each means.
        figures: by title: drawn, or the PNG files of what is on disk.
        left_out: what could not be done, and why.
        charts: by title, those figures that are charts, where the part is on disk.
        seconds: how long the part took, where it is on disk.
    """

    part: str
    tables: Mapping[str, pd.DataFrame]
    facts: Facts
    sentences: tuple[str, ...] = ()
    figures: Mapping[str, Picture] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    charts: Mapping[str, ChartType] = field(default_factory=dict)
    seconds: float = 0.0


def write_findings(found: Findings[Drawn], folder: Path, key: str, seconds: float) -> Findings[Path]:
    """Write a part into `folder`: facts.json, each table as Parquet and CSV, each figure as PNG, a chart also as
    SVG and as its specification; then read it.
    """
    with written(folder) as part:
        part.mkdir(parents=True)
        for name, table in found.tables.items():
            table.to_parquet(part / f"{name}.parquet", index=False)
            table.to_csv(part / f"{name}.csv", index=False)
        figures, charts = {}, {}
        for number, (title, figure) in enumerate(found.figures.items(), start=1):
            stem = f"{number:02d}_{_slug(title)}"
            figures[title] = f"{stem}.png"
            if isinstance(figure, Figure):
                figure.savefig(part / figures[title], dpi=DPI, metadata={"Software": None})
            else:
                charts[title] = f"{stem}.json"
                save(figure, part / stem)
                figure.save(part / charts[title])
        card = {
            "format": FORMAT,
            "part": found.part,
            "key": key,
            "facts": found.facts.to_json(),
            "sentences": found.sentences,
            "left_out": found.left_out,
            "tables": list(found.tables),
            "figures": figures,
            "charts": charts,
            "seconds": seconds,
        }
        (part / FACTS).write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    again = read_findings(folder, key, type(found.facts))
    assert again is not None
    return again


def read_findings(folder: Path, key: str, facts: type[Facts]) -> Findings[Path] | None:
    """What was written with the same key; None where there is nothing, something else, or something damaged."""
    return kept(folder, lambda path: _read(path, key, facts))


def _read(folder: Path, key: str, facts: type[Facts]) -> Findings[Path] | None:
    card = read_json(folder / FACTS)
    if card["format"] != FORMAT or card["key"] != key:
        return None
    figures = {title: folder / name for title, name in card["figures"].items()}
    if not all(path.is_file() for path in figures.values()):
        return None
    return Findings(
        card["part"],
        {name: read_parquet(folder / f"{name}.parquet").to_pandas() for name in card["tables"]},
        facts.from_json(card["facts"]),
        tuple(card["sentences"]),
        figures,
        tuple(card["left_out"]),
        {title: read_chart(folder / name) for title, name in card["charts"].items()},
        float(card["seconds"]),
    )


def _slug(text: str) -> str:
    plain = "".join(letter if letter.isalnum() and letter.isascii() else " " for letter in text.lower())
    return "_".join(plain.split()[:6])


@dataclass(frozen=True)
class Shown:
    """A table of a part: its name, what stands over it, its columns, and which rows are shown.

    Attributes
        only: column -> the values that are shown, where not all are.
    """

    name: str
    caption: str
    columns: Sequence[Column] = ()
    only: Mapping[str, Sequence[object]] | None = None

    def rows(self, table: pd.DataFrame) -> pd.DataFrame:
        """The rows that are shown."""
        for column, values in (self.only or {}).items():
            if column in table:
                table = table[table[column].isin(list(values))]
        shown = table.head(MOST)
        return shown.assign(measure=shown["measure"].str.replace("_", " ")) if "measure" in shown else shown

    def present(self, table: pd.DataFrame) -> Sequence[Column]:
        """The columns that the table has."""
        return [
            column
            for column in self.columns
            if column.name in table and (not column.low or column.low in table)
        ]


@dataclass(frozen=True)
class Part:
    """One of the questions, and what answers it.

    Attributes
        find: the public function of the part's folder, from a `Case` to `Findings`.
        facts: their kind; of nothing found it has its defaults.
        tables: those that stand on the page; all are files.
        needs_explanations: whether it looks at DeepSHAP of the images.
        notes: how to read its numbers and pictures.
    """

    name: str
    question: str
    find: Callable[[Case, Report], Findings[Drawn]]
    facts: type[Facts]
    tables: Sequence[Shown] = ()
    needs_explanations: bool = True
    notes: tuple[str, ...] = ()
