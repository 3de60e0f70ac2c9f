"""`shapsight explain`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shapsight.cli.command import Model, Overwrite, command, told
from shapsight.studies.shared.settings import ExplainSettings


@command(
    "shapsight explain runs/lockers photos/hall --method deep --outputs x --out runs/why",
    "shapsight explain runs/lockers photos --all --store explanations.zarr --method deep --outputs x",
    "shapsight explain --arch squeezenet1_1 --weights squeezenet.safetensors --classes classes.json egret.jpg "
    '--method partition --masker "blur(128,128)" --max-evals 500 --outputs top4 --out runs/egret',
)
def explain(
    paths: Annotated[
        list[Path],
        typer.Argument(
            help="A run or bundle (not with --arch and --model), then images or folders of images.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for explanations, figures and the table.")
    ] = Path("runs/explain"),
    model: Model = None,
    *,
    overwrite: Overwrite = False,
    settings: ExplainSettings,
) -> object:
    """Explain images: which pixels raise and which lower each output, as figures, files and a table."""
    from shapsight.studies.explain import study

    if settings.whole != type(settings.whole)():
        from shapsight.studies.dataset.study import explain_paths, refuse_without_store

        refuse_without_store(settings)
        return explain_paths(paths, model=model, settings=settings, **told())

    return study.explain_files(paths, out, model=model, settings=settings, overwrite=overwrite, **told())
