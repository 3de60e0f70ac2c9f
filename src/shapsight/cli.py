"""The command line: each command is a few lines that call the rooms above."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from shapsight import __version__
from shapsight.cli_options import (
    Arch,
    BatchSize,
    Device,
    Epochs,
    Explain,
    ImageSize,
    LearningRate,
    Out,
    Overwrite,
    References,
    ReferencesDrawn,
    RoiSpec,
    Seed,
    TrainOn,
    Weights,
    command_line,
    exit_codes,
    show,
    takes_data_options,
    takes_explain_options,
)
from shapsight.cli_remedies import add_commands as add_remedy_commands
from shapsight.cli_training import Data, add_commands

app = typer.Typer(
    help="Find out which pixels an image model uses, prove it, and cure a model that looks at the wrong ones.",
    epilog="Start with: shapsight demo --out runs/demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"shapsight {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Find out which pixels an image model uses, prove it, and cure a model that looks at the wrong ones."""


@app.command(
    epilog="Examples: shapsight debug photos --train-on lockers --roi below:112 --out runs/lockers   |   "
    "shapsight debug idx:/usr/share/datasets/fashion-mnist --task classification --out runs/fashion"
)
@takes_data_options
def debug(
    data: Data,
    out: Out,
    train_on: TrainOn = "all",
    arch: Arch = "auto",
    weights: Weights = "auto",
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    learning_rate: LearningRate = None,
    image_size: ImageSize = None,
    references: References = 25,
    references_drawn: ReferencesDrawn = False,
    explain: Explain = 8,
    roi: RoiSpec = None,
    seed: Seed = 0,
    device: Device = "auto",
    overwrite: Overwrite = False,
    *,
    how: dict[str, Any],
) -> None:
    """Train on some environments, test on all of them, explain the model with DeepSHAP, and write a report."""
    from shapsight.studies.debug.study import debug as run
    from shapsight.studies.shared.narrator import Narrator
    from shapsight.studies.shared.reading import DataOptions
    from shapsight.studies.shared.settings import TrainingSettings

    settings = TrainingSettings(
        train_on=train_on,
        arch=arch,
        weights=weights,
        epochs=epochs or 0,
        batch_size=batch_size or 0,
        learning_rate=learning_rate or 0.0,
        image_size=image_size or 0,
        references=references,
        references_drawn=references_drawn,
        explain=explain,
        roi=roi,
        seed=seed,
        device=device,
        reading=DataOptions(**how),
    )
    with exit_codes():
        show(run(data, out, settings, narrator=Narrator(), command=command_line(), overwrite=overwrite))


@app.command(epilog="Example: shapsight demo --out runs/demo")
def demo(
    out: Out = Path("runs/demo"),
    full: Annotated[
        bool, typer.Option("--full", help="224 pixels and 10 epochs: about as long as a coffee.")
    ] = False,
    seed: Seed = 0,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> None:
    """The whole story on a rendered world: trained in one room, failing in the next, cured by more rooms."""
    from shapsight.studies.demo.study import demo as run
    from shapsight.studies.shared.narrator import Narrator

    with exit_codes():
        lines = run(
            out,
            full=full,
            seed=seed,
            device=device,
            narrator=Narrator(),
            command=command_line(),
            overwrite=overwrite,
        )
        show(lines)


@app.command(
    epilog="Examples: shapsight explain runs/lockers photos/hall --method deep --outputs x --out runs/why   |   "
    "shapsight explain --arch squeezenet1_1 --weights squeezenet.safetensors --classes classes.json egret.jpg "
    '--method partition --masker "blur(128,128)" --max-evals 500 --outputs top4 --out runs/egret'
)
@takes_explain_options
def explain(
    paths: Annotated[
        list[Path],
        typer.Argument(
            help="A run or bundle (not with --arch), then images or folders of images.", show_default=False
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for explanations, figures and the table.")
    ] = Path("runs/explain"),
    overwrite: Overwrite = False,
    *,
    how: dict[str, Any],
) -> None:
    """Explain images: which pixels raise and which lower each output, as figures, files and a table."""
    from shapsight.studies.explain.study import ExplainSettings, explain_files
    from shapsight.studies.shared.narrator import Narrator

    with exit_codes():
        lines = explain_files(
            paths,
            out,
            ExplainSettings(**how),
            narrator=Narrator(),
            command=command_line(),
            overwrite=overwrite,
        )
        show(lines)


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    Console(stderr=True).print(f"  {message}", style="yellow", highlight=False, markup=False, soft_wrap=True)


add_commands(app)
add_remedy_commands(app)


def main() -> None:
    """Run a command."""
    from shapsight.attribution.shared.heap import keep_freed_memory

    keep_freed_memory()
    warnings.showwarning = _show_warning
    app()
