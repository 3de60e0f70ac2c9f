"""`shapsight cure`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shapsight.cli.command import OtherData, Run, command, subject, told
from shapsight.studies.shared.settings import CureSettings


@command(
    "shapsight cure runs/lockers --try flip,swap-scene,flip+swap-scene --seeds 3",
    "shapsight cure runs/lockers --try all --scenes photographs --roi below:112 --out runs/cure",
)
def cure(
    run: Run = None,
    data: OtherData = None,
    train: Annotated[
        str | None,
        typer.Option(
            help="Your own in place of a run: module:name of a function train(photos, recipe, seed), or of a "
            "shapsight.training(...)."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for tables and page; by default RUN/cure, or runs/cure."),
    ] = None,
    *,
    settings: CureSettings,
) -> object:
    """Try remedies with the same budget, each judged where it was not trained, and recommend one.

    Environments take turns: a run of one environment is trained on each of them in turn and judged on the others; a
    run of several leaves one out in turn. A second call goes on where the first stopped.
    """
    from shapsight.studies.cure import study

    return study.cure(*subject(run, data, train, "--train", out, "cure"), settings=settings, **told())
