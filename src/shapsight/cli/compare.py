"""`shapsight compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shapsight.cli.command import Overwrite, Run, command
from shapsight.cli.screen import told
from shapsight.studies.compare.settings import CompareSettings


@command("shapsight compare runs/lockers runs/all_scenes --roi below:112 --out runs/compared")
def compare(
    first: Run,
    second: Annotated[Path, typer.Argument(help="Another run, of the same targets.", show_default=False)],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for tables, explanations and report.html.")
    ] = Path("runs/compared"),
    *,
    overwrite: Overwrite = False,
    settings: CompareSettings,
) -> list[str]:
    """Two models on the same images: errors and their change, what the scene contributes, explanations on one scale.

    The images are those of the first run's dataset that neither model was trained on.
    """
    from shapsight.studies.compare.study import compare as study

    return study(first, second, out, settings, overwrite=overwrite, **told())
