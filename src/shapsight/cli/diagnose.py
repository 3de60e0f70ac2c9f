"""`shapsight diagnose`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shapsight.cli.command import OtherData, Overwrite, Run, command
from shapsight.cli.screen import told
from shapsight.studies.diagnose.settings import DiagnoseSettings


@command(
    "shapsight diagnose runs/lockers --roi below:112",
    "shapsight diagnose runs/lockers new_photos --images 300 --only look,why --out runs/why",
)
def diagnose(
    run: Run,
    data: OtherData = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for everything found; by default RUN/diagnosis."),
    ] = None,
    *,
    overwrite: Overwrite = False,
    settings: DiagnoseSettings,
) -> list[str]:
    """Where does it look, is that why it fails, and can the explanation be trusted? Ends in a verdict.

    A second call goes on where the first stopped. --roi is by default the run's own; --roi none leaves it out.
    """
    from shapsight.studies.diagnose.study import diagnose as study

    return study(run, data, settings, out, overwrite=overwrite, **told())
