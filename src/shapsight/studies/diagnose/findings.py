"""A part of a diagnosis, how the page shows it, and what it found: kept on disk, and read again if nothing changed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from shapsight.data.given_files import read_json, read_parquet
from shapsight.data.written_files import written
from shapsight.drawing.charts.files import chart_of
from shapsight.drawing.viewer import content
from shapsight.report.page import Column, Picture
from shapsight.report.rendered import file_name, save_picture
from shapsight.studies.diagnose.case import Case, Report
from shapsight.studies.shared.facts import Facts
from shapsight.studies.shared.store import kept

FORMAT = "shapsight.findings/2"
FACTS, PICTURES = "facts.json", "pictures.json"
MOST = 24  # rows: more are read in the file


@dataclass(frozen=True, eq=False)
class Findings:
    """Tables for the record, numbers for the verdict, sentences and pictures for a person.

    Attributes
        part: "look", "why", "strategies" or "trust".
        tables: by name, which is also the name of their files.
        facts: all that the verdict reads; the part's dataclass says what each means.
        pictures: of the page, and files for papers; read from disk, they hold what the page needs.
        left_out: what could not be done, and why.
        seconds: how long the part took, where it is on disk.
    """

    part: str
    tables: Mapping[str, pd.DataFrame]
    facts: Facts
    sentences: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = ()
    left_out: tuple[str, ...] = ()
    seconds: float = 0.0


def write_findings(found: Findings, folder: Path, key: str, seconds: float) -> Findings:
    """Write a part into `folder`, then read it.

    facts.json, pictures.json, each table as Parquet and CSV, and each picture as SVG and PNG, for papers.
    """
    with written(folder) as part:
        part.mkdir(parents=True)
        for name, table in found.tables.items():
            table.to_parquet(part / f"{name}.parquet", index=False)
            table.to_csv(part / f"{name}.csv", index=False)
        for number, picture in enumerate(found.pictures, start=1):
            save_picture(picture, part / f"{number:02d}_{file_name(picture.alt)}")
        drawn = json.dumps([_as_json(picture) for picture in found.pictures], ensure_ascii=False)
        (part / PICTURES).write_text(drawn, encoding="utf-8")
        card = {
            "format": FORMAT,
            "part": found.part,
            "key": key,
            "facts": found.facts.to_json(),
            "sentences": found.sentences,
            "left_out": found.left_out,
            "tables": list(found.tables),
            "seconds": seconds,
        }
        (part / FACTS).write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    again = read_findings(folder, key, type(found.facts))
    assert again is not None
    return again


def read_findings(folder: Path, key: str, facts: type[Facts]) -> Findings | None:
    """What was written with the same key; None where there is nothing, something else, or something damaged."""
    return kept(folder, lambda path: _read(path, key, facts))


def _read(folder: Path, key: str, facts: type[Facts]) -> Findings | None:
    card = read_json(folder / FACTS)
    if card["format"] != FORMAT or card["key"] != key:
        return None
    return Findings(
        card["part"],
        {name: read_parquet(folder / f"{name}.parquet").to_pandas() for name in card["tables"]},
        facts.from_json(card["facts"]),
        tuple(card["sentences"]),
        tuple(_from_json(entry) for entry in read_json(folder / PICTURES)),
        tuple(card["left_out"]),
        float(card["seconds"]),
    )


def _as_json(picture: Picture) -> dict[str, Any]:
    """All that a page needs of a picture; what papers need is a file."""
    images = content(picture.images)["images"] if picture.images else None
    return {
        "alt": picture.alt,
        "caption": picture.caption,
        "first": picture.first,
        "maps": list(picture.maps),
        "chart": None if picture.chart is None else json.loads(picture.chart.to_json(validate=False)),
        "images": images,
    }


def _from_json(entry: Mapping[str, Any]) -> Picture:
    shown = chart_of(entry["chart"]) if entry["images"] is None else tuple(entry["images"])
    return Picture(shown, entry["alt"], entry["caption"], entry["first"], tuple(entry["maps"]))


@dataclass(frozen=True)
class ShownTable:
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
        lead: the answer to the question, in one plain sentence.
        facts: their kind; of nothing found it has its defaults.
        tables: those that stand on the page; all are files.
        needs_explanations: whether it looks at DeepSHAP of the images.
        notes: how to read its numbers and pictures.
    """

    name: str
    question: str
    find: Callable[[Case, Report], Findings]
    facts: type[Facts]
    lead: Callable[[Any], str]
    tables: Sequence[ShownTable] = ()
    needs_explanations: bool = True
    notes: tuple[str, ...] = ()
