"""`shapsight check`: what is odd about a dataset, before anything is trained on it."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
from rich.table import Table

from shapsight.data.checks import check_dataset
from shapsight.data.images import load_images
from shapsight.errors import RunError
from shapsight.studies.check.settings import CheckSettings
from shapsight.studies.shared.narrator import Narrator
from shapsight.studies.shared.reading import read

SIZE = 64  # of the thumbnails: enough to tell pictures apart
STYLES = {"ok": "green", "note": "yellow", "problem": "bold red"}


def check_data(
    data: str | os.PathLike[str],
    settings: CheckSettings,
    *,
    csv: Path | None = None,
    narrator: Narrator,
) -> pd.DataFrame:
    """All checks of a dataset as a table, written to `csv` if that is given. Raises a `ShapsightError`."""
    manifest = read(data, settings.reading, narrator, train_on=settings.train_on, seed=settings.seed)
    with narrator.step(f"Looking at {len(manifest)} images") as report:
        images = load_images(manifest, list(manifest.table["path"]), SIZE, progress=report)
    checks = check_dataset(manifest, images, seed=settings.seed)
    if csv is not None:
        try:
            checks.to_csv(csv, index=False)
        except OSError as error:
            raise RunError(f"cannot write {csv}: {error.strerror}") from error
    return checks


def as_rich_table(checks: pd.DataFrame) -> Table:
    """The checks for a terminal."""
    table = Table("check", "found", "images", "detail", pad_edge=False, box=None, padding=(0, 2, 0, 0))
    for row in checks.to_dict("records"):
        found = str(row["found"])
        table.add_row(
            row["check"], f"[{STYLES[found]}]{found}[/]", str(row["images"] or ""), _literal(row["detail"])
        )
    return table


def _literal(text: str) -> str:
    return text.replace("[", r"\[")
