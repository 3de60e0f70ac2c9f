"""`shapsight debug`."""

from __future__ import annotations

from shapsight.cli.command import Data, Out, Overwrite, command, told
from shapsight.studies.shared.settings import NOT_OF_DEBUG, TrainingSettings


@command(
    "shapsight debug photos --train-on lockers --roi below:112 --out runs/lockers",
    "shapsight debug idx:/usr/share/datasets/fashion-mnist --task classification --out runs/fashion",
    without=NOT_OF_DEBUG,
)
def debug(data: Data, out: Out, *, overwrite: Overwrite = False, settings: TrainingSettings) -> object:
    """Train on some environments, test on all of them, explain the model with DeepSHAP, and write a report."""
    from shapsight.studies.debug import study

    return study.debug(data, out, settings=settings, overwrite=overwrite, **told())
