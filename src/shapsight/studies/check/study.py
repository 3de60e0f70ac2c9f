"""`shapsight check`: what is odd about a dataset, before anything is trained on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from rich.table import Table

from shapsight.data.checks import check_dataset
from shapsight.data.images import load_images
from shapsight.errors import RunError
from shapsight.studies.shared.asked import Asked, study
from shapsight.studies.shared.reading import dataset_of
from shapsight.studies.shared.settings import CheckSettings

SIZE = 64  # of the thumbnails: enough to tell pictures apart
STYLES = {"ok": "green", "note": "yellow", "problem": "bold red"}


@dataclass(frozen=True, eq=False)
class Checks:
    """What is odd about a dataset: `.table` (check, found, images, detail) and `.lines`."""

    table: pd.DataFrame

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """`checks`."""
        return {"checks": self.table}

    @property
    def lines(self) -> tuple[str, ...]:
        """A line for each check."""
        return tuple(f"{row['found']:<8} {row['check']}: {row['detail']}" for row in self._rows)

    @property
    def _rows(self) -> list[dict[Any, Any]]:
        return self.table.to_dict("records")

    def __repr__(self) -> str:
        return "\n".join(self.lines)

    def _repr_html_(self) -> str:
        return str(self.table.to_html(index=False))

    def __rich_console__(self, *_: Any) -> Iterator[Table]:
        """The checks for a terminal."""
        table = Table("check", "found", "images", "detail", pad_edge=False, box=None, padding=(0, 2, 0, 0))
        for row in self._rows:
            found, detail = str(row["found"]), row["detail"].replace("[", r"\[")
            table.add_row(row["check"], f"[{STYLES[found]}]{found}[/]", str(row["images"] or ""), detail)
        yield table


@study(CheckSettings)
def check(asked: Asked[CheckSettings], data: Any, csv: Path | str | None = None) -> Checks:
    """Look for what spoils training or flatters a test: duplicates across splits, odd files, few images, drift.

        shapsight.check("photos", train_on="lockers").table

    `data` is a manifest of `read_dataset` or whatever that reads; the table is also written to `csv` if that is given.
    Raises a `ShapsightError` for data that cannot be read.
    """
    settings, narrator = asked.settings, asked.narrator
    manifest = dataset_of(data, settings, narrator)
    with narrator.step(f"Looking at {len(manifest)} images") as report:
        images = load_images(manifest, list(manifest.table["path"]), SIZE, progress=report)
    checks = check_dataset(manifest, images, seed=settings.seed)
    if csv is not None:
        try:
            checks.to_csv(csv, index=False)
        except OSError as error:
            raise RunError(f"cannot write {csv}: {error.strerror}") from error
    return Checks(checks)
