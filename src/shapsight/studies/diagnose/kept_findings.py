"""The findings of a part on disk: written at once, complete or not at all, and read again where nothing changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from shapsight.data.given_files import read_json, read_parquet
from shapsight.data.written_files import written
from shapsight.studies.diagnose.case import Findings
from shapsight.studies.shared.facts import plain
from shapsight.studies.shared.store import kept

FORMAT = "shapsight.findings/1"
FACTS = "facts.json"
DPI = 144


@dataclass(frozen=True, eq=False)
class Kept:
    """What is on disk of a part.

    Attributes
        figures: title -> the PNG file.
        seconds: how long the part took.
    """

    part: str
    tables: Mapping[str, pd.DataFrame]
    facts: Mapping[str, Any]
    sentences: tuple[str, ...]
    figures: Mapping[str, Path]
    left_out: tuple[str, ...]
    seconds: float


def keep(findings: Findings, folder: Path, key: str, seconds: float) -> Kept:
    """Write a part into `folder`: facts.json, each table as Parquet and CSV, each figure as PNG; then read it."""
    with written(folder) as part:
        _write(findings, part, key, seconds)
    again = read_kept(folder, key)
    assert again is not None
    return again


def _write(findings: Findings, part: Path, key: str, seconds: float) -> None:
    part.mkdir(parents=True)
    for name, table in findings.tables.items():
        table.to_parquet(part / f"{name}.parquet", index=False)
        table.to_csv(part / f"{name}.csv", index=False)
    figures = {}
    for number, (title, figure) in enumerate(findings.figures.items(), start=1):
        figures[title] = f"{number:02d}_{_slug(title)}.png"
        figure.savefig(part / figures[title], dpi=DPI, metadata={"Software": None})
    card = {
        "format": FORMAT,
        "part": findings.part,
        "key": key,
        "facts": {name: plain(value) for name, value in findings.facts.items()},
        "sentences": list(findings.sentences),
        "left_out": list(findings.left_out),
        "tables": list(findings.tables),
        "figures": figures,
        "seconds": seconds,
    }
    (part / FACTS).write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_kept(folder: Path, key: str) -> Kept | None:
    """What `keep` wrote with the same key; None where there is nothing, something else, or something damaged."""
    return kept(folder, lambda path: _read(path, key))


def _read(folder: Path, key: str) -> Kept | None:
    card = read_json(folder / FACTS)
    if card["format"] != FORMAT or card["key"] != key:
        return None
    figures = {title: folder / name for title, name in card["figures"].items()}
    if not all(path.is_file() for path in figures.values()):
        return None
    return Kept(
        part=card["part"],
        tables={name: read_parquet(folder / f"{name}.parquet").to_pandas() for name in card["tables"]},
        facts=card["facts"],
        sentences=tuple(card["sentences"]),
        figures=figures,
        left_out=tuple(card["left_out"]),
        seconds=float(card["seconds"]),
    )


def _slug(text: str) -> str:
    kept = "".join(letter if letter.isalnum() and letter.isascii() else " " for letter in text.lower())
    return "_".join(kept.split()[:6])
