"""`shapsight diagnose`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shapsight.cli.command import Model, OtherData, Overwrite, Run, command, subject, told
from shapsight.studies.shared.settings import DiagnoseSettings


@command(
    "shapsight diagnose runs/lockers --roi below:112",
    "shapsight diagnose runs/lockers new_photos --images 300 --only look,why --out runs/why",
    "shapsight diagnose --model my_code:load_bundle photos --roi below:112",
)
def diagnose(
    run: Run = None,
    data: OtherData = None,
    model: Model = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Folder for everything found; by default RUN/diagnosis, or runs/diagnosis."
        ),
    ] = None,
    *,
    overwrite: Overwrite = False,
    settings: DiagnoseSettings,
) -> object:
    """Where does it look, is that why it fails, and can the explanation be trusted? Ends in a verdict.

    A second call goes on where the first stopped. --roi is by default the run's own; --roi none leaves it out.
    """
    from shapsight.studies.diagnose import study

    what = subject(run, data, model, "--model", out, "diagnosis")
    return study.diagnose(*what, settings=settings, overwrite=overwrite, **told())
