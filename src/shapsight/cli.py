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


@app.command(
    epilog="Examples: shapsight explain runs/lockers photos/hall --method deep --outputs x --out runs/why   |   "
    "shapsight explain --arch squeezenet1_1 --weights squeezenet.safetensors --classes classes.json egret.jpg "
    '--method partition --masker "blur(128,128)" --max-evals 500 --outputs top4 --out runs/egret'
)
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
    method: Annotated[str, typer.Option(help="deep, gradient, partition or regions.")] = "partition",
    outputs: Annotated[str, typer.Option(help="topK, all, or names or numbers by comma.")] = "top4",
    masker: Annotated[
        str,
        typer.Option(
            help="partition, regions: what stands where pixels are hidden: blur(W,H), inpaint_telea, inpaint_ns, "
            "inpaint_diffuse, mean, constant(V)."
        ),
    ] = "inpaint_telea",
    max_evals: Annotated[
        int, typer.Option(help="partition, regions: masked images that the model sees.")
    ] = 500,
    tree: Annotated[
        str, typer.Option(help="partition: axis halves rectangles, regions follows colours.")
    ] = "axis",
    contexts: Annotated[
        str, typer.Option(help="partition: auto gets farthest, both gives shap's numbers; 0, 1.")
    ] = "auto",
    regions: Annotated[str, typer.Option(help="regions: grid(ROWS,COLUMNS) or slic(COUNT).")] = "grid(4,4)",
    estimator: Annotated[
        str, typer.Option(help="regions: exact (16 at most), kernel or permutation.")
    ] = "exact",
    samples: Annotated[int, typer.Option(min=1, help="gradient: points on the way for each image.")] = 200,
    references: Annotated[
        Path | None,
        typer.Option(help="deep, gradient: images that stand for 'feature absent'; a run has its own."),
    ] = None,
    arch: Annotated[
        str | None, typer.Option(help="A torchvision classifier, instead of a run.", show_default=False)
    ] = None,
    weights: Weights = "imagenet",
    classes: Annotated[
        Path | None, typer.Option(help="With --arch: class names in order, JSON list or one a line.")
    ] = None,
    probability: Annotated[
        bool, typer.Option("--probability", help="With --arch: explain softmax probabilities, not logits.")
    ] = False,
    image_size: Annotated[
        int | None, typer.Option(min=16, help="With --arch: pixels squared; by default the network's own.")
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Explain images: which pixels raise and which lower each output, as figures, files and a table."""
    from shapsight.jobs.explain import Settings, explain_files
    from shapsight.jobs.narrator import Narrator

    settings = Settings(
        method=method,
        outputs=outputs,
        masker=masker,
        tree=tree,
        contexts=contexts,
        max_evals=max_evals,
        regions=regions,
        estimator=estimator,
        samples=samples,
        references=references,
        arch=arch,
        weights=weights,
        classes=classes,
        as_probability=probability,
        image_size=image_size,
        seed=seed,
        device=device,
    )
    with _exit_codes():
        lines = explain_files(
            paths, out, settings, narrator=Narrator(), command=_command_line(), overwrite=overwrite
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
