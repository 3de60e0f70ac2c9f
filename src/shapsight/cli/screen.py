"""What a command shows: its lines, warnings, and a user's mistake with its exit code."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console

from shapsight.errors import ShapsightError


def told() -> dict[str, Any]:
    """How a study tells what it does, and what was typed to start it."""
    from shapsight.studies.shared.narrator import Narrator

    return {"progress": Narrator(), "command": shlex.join(["shapsight", *sys.argv[1:]])}


def show(lines: Sequence[Any]) -> None:
    """Print what a command came to."""
    console = Console()
    for line in lines:
        console.print(line, highlight=False, soft_wrap=isinstance(line, str))


def show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """Print a warning, without where in our code it came from."""
    Console(stderr=True).print(f"  {message}", style="yellow", highlight=False, markup=False, soft_wrap=True)


@contextmanager
def exit_codes() -> Iterator[None]:
    """A user's mistake gets one clear message and exit code 1; Ctrl-C gets exit code 130."""
    try:
        yield
    except ShapsightError as error:
        console = Console(stderr=True)
        console.print("error", style="bold red", end=" ")
        console.print(str(error), highlight=False, markup=False, soft_wrap=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
