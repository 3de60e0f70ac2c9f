"""`shapsight evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shapsight.cli.command import Model, OtherData, Overwrite, Run, command, subject, told
from shapsight.studies.shared.settings import EvaluateSettings


@command(
    "shapsight evaluate runs/lockers",
    "shapsight evaluate runs/lockers new_photos --out runs/new",
    "shapsight evaluate --model my_code:load_bundle photos",
)
def evaluate(
    run: Run = None,
    data: OtherData = None,
    model: Model = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for all; by default RUN/evaluation, or runs/evaluation."),
    ] = None,
    *,
    overwrite: Overwrite = False,
    settings: EvaluateSettings,
) -> object:
    """Measure a model: MSE, MAE, R² and right side, or accuracy, F1 and calibration, per environment."""
    from shapsight.studies.evaluate import study

    what = subject(run, data, model, "--model", out, "evaluation")
    return study.evaluate(*what, settings=settings, overwrite=overwrite or out is None, **told())
