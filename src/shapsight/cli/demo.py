"""`shapsight demo`."""

from __future__ import annotations

from pathlib import Path

from shapsight.cli.command import Out, Overwrite, command, told
from shapsight.studies.shared.settings import DemoSettings


@command("shapsight demo --out runs/demo")
def demo(out: Out = Path("runs/demo"), *, overwrite: Overwrite = False, settings: DemoSettings) -> object:
    """The whole story on a rendered world: works in one room, fails in the next, why, the cure, and its proof."""
    from shapsight.studies.demo import study

    return study.demo(out, settings=settings, overwrite=overwrite, **told())
