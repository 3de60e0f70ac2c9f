"""The command line: each command is a few lines that call the rooms above."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from shapsight import __version__
from shapsight.errors import ShapsightError

app = typer.Typer(
    help="Find out which pixels an image model uses, prove it, and cure a model that looks at the wrong ones.",
    epilog="Start with: shapsight demo --out runs/demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for the model, the numbers and report.html.")]
TrainOn = Annotated[
    str, typer.Option(help="Environments to train on, by comma; the others stay unseen. Or: all.")
]
Arch = Annotated[str, typer.Option(help="Any torchvision classification network.")]
Weights = Annotated[str, typer.Option(help="imagenet, none, or a file (safetensors, or a state dict).")]
Epochs = Annotated[int, typer.Option(min=1, help="Passes over the training images.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Images in a training step.")]
LearningRate = Annotated[float, typer.Option(min=0, help="Adam's step size.")]
ImageSize = Annotated[int, typer.Option(min=16, help="Images are resized to this many pixels squared.")]
References = Annotated[int, typer.Option(min=1, help="Training images that stand for 'feature absent'.")]
Explain = Annotated[int, typer.Option(min=1, help="Images to explain in each environment.")]
RoiSpec = Annotated[
    str | None,
    typer.Option("--roi", help="What the model should use: below:ROW, a folder of masks, a polygon file."),
]
Seed = Annotated[int, typer.Option(help="Same seed, same splits, weights and draws.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run in --out.")]


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


@app.command(epilog="Example: shapsight debug photos --train-on lockers --roi below:112 --out runs/lockers")
def debug(
    data: Annotated[
        Path, typer.Argument(help="A folder of environments, each a folder of images X_Y_anything.jpg.")
    ],
    out: Out,
    train_on: TrainOn = "all",
    arch: Arch = "resnet18",
    weights: Weights = "imagenet",
    epochs: Epochs = 10,
    batch_size: BatchSize = 8,
    learning_rate: LearningRate = 3e-4,
    image_size: ImageSize = 224,
    references: References = 100,
    explain: Explain = 8,
    roi: RoiSpec = None,
    seed: Seed = 0,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Train on some environments, test on all of them, explain the model with DeepSHAP, and write a report."""
    from shapsight.jobs.analysis import Settings
    from shapsight.jobs.debug import debug as run
    from shapsight.jobs.narrator import Narrator

    settings = Settings(
        train_on=train_on,
        arch=arch,
        weights=weights,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        image_size=image_size,
        references=references,
        explain=explain,
        roi=roi,
        seed=seed,
        device=device,
    )
    with _exit_codes():
        _show(run(data, out, settings, narrator=Narrator(), command=_command_line(), overwrite=overwrite))


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
    from shapsight.jobs.demo import demo as run
    from shapsight.jobs.narrator import Narrator

    with _exit_codes():
        lines = run(
            out,
            full=full,
            seed=seed,
            device=device,
            narrator=Narrator(),
            command=_command_line(),
            overwrite=overwrite,
        )
        _show(lines)


def _show(lines: list[str]) -> None:
    console = Console()
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)


def _command_line() -> str:
    """The command as it was typed, for the report."""
    import shlex

    return shlex.join(["shapsight", *sys.argv[1:]])


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    Console(stderr=True).print(f"  {message}", style="yellow", highlight=False, markup=False, soft_wrap=True)


def _show_error(message: str) -> None:
    console = Console(stderr=True)
    console.print("error", style="bold red", end=" ")
    console.print(message, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def _exit_codes() -> Iterator[None]:
    """A user's mistake gets one clear message and exit code 1; Ctrl-C gets exit code 130."""
    try:
        yield
    except ShapsightError as error:
        _show_error(str(error))
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def main() -> None:
    """Run a command."""
    warnings.showwarning = _show_warning
    app()
