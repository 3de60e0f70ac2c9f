"""`shapsight evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shapsight.cli.command import OtherData, command
from shapsight.cli.screen import told
from shapsight.studies.evaluate.settings import EvaluateSettings


@command(
    "shapsight evaluate runs/lockers",
    "shapsight evaluate runs/lockers new_photos --out runs/new",
)
def evaluate(
    run: Annotated[Path, typer.Argument(help="A run, or a folder with a model.")],
    data: OtherData = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for tables and report; by default RUN/evaluation."),
    ] = None,
    *,
    settings: EvaluateSettings,
) -> list[str]:
    """Measure a model: MSE, MAE, R² and right side, or accuracy, F1 and calibration, per environment."""
    from shapsight.studies.evaluate.study import evaluate_run

    return evaluate_run(run, data, settings, out, **told())
