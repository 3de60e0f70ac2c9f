"""`shapsight doctor`."""

from __future__ import annotations

from typing import Annotated

import typer

from shapsight.cli.command import app, as_json, show


@app.command(epilog="Example: shapsight doctor --json")
def doctor(
    *, json: Annotated[bool, typer.Option("--json", help="Print the checks as JSON.")] = False
) -> None:
    """Say what this machine has: versions, devices, memory, what is missing. Exit code 1 for a problem."""
    from shapsight.studies.doctor import study

    checkup = study.doctor()
    typer.echo(as_json(checkup)) if json else show(checkup)
    if not checkup.is_well:
        raise typer.Exit(1)
