"""The command line: one file a command, its options generated from the settings of its study."""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from shapsight import __version__
from shapsight.cli.command import app, exit_codes, show_warning
from shapsight.cli.project_file import FILE, defaults_of

__all__ = ["app", "main"]
# In the order of `shapsight --help`.
COMMANDS = ("debug", "demo", "explain", "train", "evaluate", "check", "diagnose", "cure", "compare")
for _name in (*COMMANDS, "init", "doctor"):
    importlib.import_module(f"shapsight.cli.{_name}")
importlib.import_module("shapsight.cli.store")  # commands of its own, about what explain wrote


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"shapsight {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Find out which pixels an image model uses, prove it, and cure a model that looks at the wrong ones."""
    if Path(FILE).is_file() and context.invoked_subcommand in COMMANDS:
        group: Any = typer.main.get_command(app)
        with exit_codes():
            context.default_map = defaults_of(Path(FILE), {name: group.commands[name] for name in COMMANDS})


def main() -> None:
    """Run a command."""
    from shapsight.attribution.shared.heap import keep_freed_memory

    keep_freed_memory()
    warnings.showwarning = show_warning
    app()
