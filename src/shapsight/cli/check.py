"""`shapsight check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shapsight.cli.command import Data, command, told
from shapsight.studies.shared.settings import CheckSettings


@command(
    "shapsight check photos --train-on lockers",
    "shapsight check idx:/usr/share/datasets/fashion-mnist",
)
def check(
    data: Data,
    csv: Annotated[Path | None, typer.Option(help="Write the table to this file.")] = None,
    *,
    settings: CheckSettings,
) -> object:
    """Look for what spoils training or flatters a test: duplicates across splits, odd files, few images, drift."""
    from shapsight.studies.check import study

    return study.check(data, csv, settings=settings, **told())
