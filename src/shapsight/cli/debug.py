"""`shapsight debug`."""

from __future__ import annotations

from shapsight.cli.command import Data, Out, Overwrite, command
from shapsight.cli.screen import told
from shapsight.studies.shared.settings import TrainingSettings


@command(
    "shapsight debug photos --train-on lockers --roi below:112 --out runs/lockers",
    "shapsight debug idx:/usr/share/datasets/fashion-mnist --task classification --out runs/fashion",
    without=("logger", "trainer", "watch_every"),
)
def debug(data: Data, out: Out, *, overwrite: Overwrite = False, settings: TrainingSettings) -> list[str]:
    """Train on some environments, test on all of them, explain the model with DeepSHAP, and write a report."""
    from shapsight.studies.debug.study import debug as study

    return study(data, out, settings, overwrite=overwrite, **told())
