"""What all pictures of tables do first: check the columns, and take a figure of the right size."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from shapsight.drawing.notebook_figure import NotebookFigure
from shapsight.errors import DataError


def checked(table: pd.DataFrame, needed: Sequence[str], name: str) -> None:
    """Raises `DataError` for a table without rows or without a needed column; `name` is the picture's."""
    missing = [column for column in needed if column not in table.columns]
    if missing:
        have = ", ".join(map(str, table.columns))
        raise DataError(f"{name} needs the columns {', '.join(missing)}; the table has {have or 'none'}")
    if table.empty:
        raise DataError(f"{name} was given a table without rows")


def sized(
    given: Figure | None,
    width: float,
    height: float,
    *,
    equal_axes: bool = False,
) -> Figure:
    """The figure given, or a new one, of a size in inches; axes of equal aspect move together."""
    figure = NotebookFigure() if given is None else given
    figure.set_layout_engine(ConstrainedLayoutEngine(compress=equal_axes, h_pad=0.08 if equal_axes else None))
    figure.set_size_inches(width, height)
    return figure
