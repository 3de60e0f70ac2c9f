"""`shapsight compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shapsight.cli.command import OtherData, Overwrite, Run, command, told
from shapsight.studies.shared.settings import CompareSettings


@command("shapsight compare runs/lockers runs/all_scenes --roi below:112 --out runs/compared")
def compare(
    first: Run = None,
    second: Annotated[
        Path | None, typer.Argument(help="Another run, of the same targets.", show_default=False)
    ] = None,
    data: OtherData = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="Your own in place of a run, module:name as for evaluate; after the runs. Repeatable."
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for tables, explanations and report.html.")
    ] = Path("runs/compared"),
    *,
    overwrite: Overwrite = False,
    settings: CompareSettings,
) -> object:
    """Two models on the same images: errors and their change, what the scene contributes, explanations on one scale.

    The images are those of the first run's dataset, or the one named, that neither model was trained on.
    """
    from shapsight.studies.compare import study

    paths = [path for path in (first, second, data) if path is not None]
    models = [*paths[: max(0, 2 - len(model or ()))], *(model or ())]
    rest = paths[len(models) - len(model or ()) :]
    if len(models) != 2 or len(rest) > 1:
        raise typer.BadParameter("compare takes two models, runs or --model module:name, and then a dataset.")
    other = rest[0] if rest else None
    return study.compare(*models, other, out, settings=settings, overwrite=overwrite, **told())
