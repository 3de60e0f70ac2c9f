"""`shapsight train`."""

from __future__ import annotations

from typing import Annotated

import typer

from shapsight.cli.command import Data, Out, Overwrite, command, told
from shapsight.studies.shared.settings import NOT_OF_TRAIN, TrainingSettings


@command(
    "shapsight train photos --train-on lockers --out runs/lockers",
    "shapsight train drives.csv --targets steering,speed --scale speed=0:30:km/h --group column:drive "
    "--out runs/drive",
    without=NOT_OF_TRAIN,
)
def train(
    data: Data,
    out: Out,
    *,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a training that was killed or interrupted.")
    ] = False,
    overwrite: Overwrite = False,
    settings: TrainingSettings,
) -> object:
    """Train a model on a dataset and measure it in every environment; goes on after a kill with --resume."""
    from shapsight.studies.train import study

    return study.train(data, out, settings=settings, overwrite=overwrite, resume=resume, **told())
