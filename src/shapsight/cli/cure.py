"""`shapsight cure`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shapsight.cli.command import Run, command
from shapsight.cli.screen import told
from shapsight.studies.cure.settings import CureSettings


@command(
    "shapsight cure runs/lockers --try flip,swap-scene,flip+swap-scene --seeds 3",
    "shapsight cure runs/lockers --try all --scenes photographs --roi below:112 --out runs/cure",
)
def cure(
    run: Run,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for tables and report; by default RUN/cure.")
    ] = None,
    *,
    settings: CureSettings,
) -> list[str]:
    """Try remedies with the same budget, each judged where it was not trained, and recommend one.

    Environments take turns: a run of one environment is trained on each of them in turn and judged on the others; a
    run of several leaves one out in turn. A second call goes on where the first stopped.
    """
    from shapsight.studies.cure.study import cure as study

    return study(run, settings, out, **told())
