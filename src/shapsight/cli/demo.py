"""`shapsight demo`."""

from __future__ import annotations

from pathlib import Path

from shapsight.cli.command import Out, Overwrite, command
from shapsight.cli.screen import told
from shapsight.studies.demo.settings import DemoSettings


@command("shapsight demo --out runs/demo")
def demo(out: Out = Path("runs/demo"), *, overwrite: Overwrite = False, settings: DemoSettings) -> list[str]:
    """The whole story on a rendered world: trained in one room, failing in the next, cured by more rooms."""
    from shapsight.studies.demo.study import demo as study

    return study(out, settings, overwrite=overwrite, **told())
