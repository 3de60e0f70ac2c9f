"""A part of the diagnosis: its question, what answers it, and how the page shows the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from shapsight.report.page import Column
from shapsight.studies.diagnose.case import Case, Report
from shapsight.studies.diagnose.findings import Findings
from shapsight.studies.shared.facts import Facts

MOST = 24  # rows: more are read in the file


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
    find: Callable[[Case, Report], Findings[Figure]]
    facts: type[Facts]
    tables: Sequence[Shown] = ()
    needs_explanations: bool = True
    notes: tuple[str, ...] = ()
