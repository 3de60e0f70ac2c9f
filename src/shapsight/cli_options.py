"""Options that several commands share."""

from __future__ import annotations

import functools
import inspect
import sys
import typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from shapsight.errors import ShapsightError

Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for the model, the numbers and report.html.")]
TrainOn = Annotated[
    str, typer.Option(help="Environments to train on, by comma; the others stay unseen. Or: all.")
]
Arch = Annotated[
    str, typer.Option(help="auto; a torchvision network; small_cnn; timm:NAME; or your own, module:name.")
]
Weights = Annotated[str, typer.Option(help="auto, imagenet, none, or a file (safetensors, or a state dict).")]
Epochs = Annotated[
    int | None, typer.Option(min=1, help="Passes over the training images; by default 10, of many images 5.")
]
BatchSize = Annotated[
    int | None, typer.Option(min=1, help="Images in a training step; by default 8, of many images 128.")
]
LearningRate = Annotated[float | None, typer.Option(min=1e-9, help="Adam's step size; by default 3e-4.")]
ImageSize = Annotated[
    int | None,
    typer.Option(
        min=16, help="Images are resized to this many pixels squared; by default 224, small ones as they are."
    ),
]
References = Annotated[int, typer.Option(min=1, help="Training images that stand for 'feature absent'.")]
ReferencesDrawn = Annotated[
    bool,
    typer.Option("--references-drawn", help="Draw them; by default those that stand for all are chosen."),
]
Explain = Annotated[int, typer.Option(min=1, help="Images to explain in each environment.")]
RoiSpec = Annotated[
    str | None,
    typer.Option("--roi", help="What the model should use: below:ROW, a folder of masks, a polygon file."),
]
Seed = Annotated[int, typer.Option(help="Same seed, same splits, weights and draws.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run in --out.")]


def _data_options(
    task: Annotated[
        str | None, typer.Option(help="regression or classification; else as the data look.")
    ] = None,
    pattern: Annotated[
        str | None,
        typer.Option(help="Names that hold targets, such as {speed}_{angle}_{id} or {x}_{y}_{id}."),
    ] = None,
    targets: Annotated[str | None, typer.Option(help="Columns to predict, by comma.")] = None,
    scale: Annotated[
        list[str] | None,
        typer.Option(
            help="TARGET=LOW:HIGH:UNIT, or =width, =height for pixels, =half for -1 to +1. Repeatable."
        ),
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Rule for the class: folder:1, column:NAME, name:REGEX.")
    ] = None,
    classes: Annotated[str | None, typer.Option(help="Class names in order, by comma or a file.")] = None,
    environment: Annotated[
        str | None, typer.Option(help="Rule for the environment: folder:1, column:NAME, name:REGEX.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Rule for the split, where the data have one.")] = None,
    group: Annotated[
        str | None, typer.Option(help="Rule for what stays in one split: folder:2, column:NAME, block:50.")
    ] = None,
    hold_out: Annotated[str | None, typer.Option(help="Environments that stay unseen, by comma.")] = None,
    validation_share: Annotated[
        float, typer.Option(min=0, max=0.99, help="Share of the training environments to judge epochs by.")
    ] = 0.2,
    test_share: Annotated[float, typer.Option(min=0, max=0.99, help="Share to test on at the end.")] = 0.0,
    path_column: Annotated[str | None, typer.Option(help="The column of paths in a table.")] = None,
    allow_outside: Annotated[
        bool, typer.Option("--allow-outside", help="Follow a table's paths out of its folder.")
    ] = False,
) -> None:
    """How a dataset is read; the fields of `DataOptions`."""


def _explain_options(
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
        str, typer.Option(help="partition: regions follows colours, axis halves rectangles, as shap does.")
    ] = "regions",
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
        typer.Option(
            help="deep, gradient: images that stand for 'feature absent'; of more than 25, 25 are chosen. A run has "
            "its own."
        ),
    ] = None,
    references_drawn: Annotated[
        bool, typer.Option("--references-drawn", help="deep, gradient: compare with all of --references.")
    ] = False,
    arch: Annotated[
        str | None,
        typer.Option(
            help="A classifier of torchvision or timm (timm:NAME), instead of a run.", show_default=False
        ),
    ] = None,
    weights: Weights = "imagenet",
    classes: Annotated[
        Path | None, typer.Option(help="With --arch: class names in order, JSON list or one a line.")
    ] = None,
    as_probability: Annotated[
        bool, typer.Option("--probability", help="With --arch: explain softmax probabilities, not logits.")
    ] = False,
    detail: Annotated[
        str,
        typer.Option(
            help="Figures: sums over regions of the image (regions) or under a Gaussian (smooth), or pixels. "
            "auto: pixels in images of up to 32 a side and of --method partition and regions, else regions."
        ),
    ] = "auto",
    cmap: Annotated[
        str | None,
        typer.Option(help="Figures: a colour map of matplotlib, such as coolwarm.", show_default=False),
    ] = None,
    show_noise: Annotated[
        bool,
        typer.Option(
            "--show-noise", help="Figures, partition: draw what cannot be told from the coins' noise."
        ),
    ] = False,
    image_size: Annotated[
        int | None, typer.Option(min=16, help="With --arch: pixels squared; by default the network's own.")
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """What is explained and how; the fields of `studies.explain.Settings`."""


def takes_data_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of how data are read; it receives them as the dictionary `how`."""

    def with_scales(*, how: dict[str, Any], **given: Any) -> None:
        command(**given, how=how | {"scale": tuple(how["scale"] or ())})

    return _takes(_data_options, "how", command, with_scales)


def takes_explain_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of how images are explained; it receives them as the dictionary `how`."""
    return _takes(_explain_options, "how", command, command)


def _takes(
    options: Callable[..., None], name_of_all: str, command: Callable[..., None], called: Callable[..., None]
) -> Callable[..., None]:
    """A command with more options, which `called` receives as one dictionary."""
    shared = inspect.signature(options).parameters
    hints = typing.get_type_hints(options, include_extras=True)

    @functools.wraps(command)
    def wrapper(**given: Any) -> None:
        of_all = {name: given.pop(name) for name in shared}
        called(**given, **{name_of_all: of_all})

    own = typing.get_type_hints(command, include_extras=True, localns={}) | hints
    own.pop(name_of_all)
    kept = [p for name, p in inspect.signature(command).parameters.items() if name != name_of_all]
    every = [*kept, *shared.values()]
    wrapper.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [p.replace(kind=p.KEYWORD_ONLY, annotation=own[p.name]) for p in every]
    )
    wrapper.__annotations__ = own
    del wrapper.__wrapped__
    return wrapper


def trainer_flags(
    devices: str | None, precision: str | None, strategy: str | None, num_nodes: int | None
) -> dict[str, Any]:
    """Lightning's own flags, those that were given."""
    given = {
        "devices": int(devices) if devices is not None and devices.lstrip("-").isdigit() else devices,
        "precision": precision,
        "strategy": strategy,
        "num_nodes": num_nodes,
    }
    return {name: value for name, value in given.items() if value is not None}


def show(lines: list[str]) -> None:
    """Print what a command came to."""
    console = Console()
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)


def command_line() -> str:
    """The command as it was typed, for the report."""
    import shlex

    return shlex.join(["shapsight", *sys.argv[1:]])


def _show_error(message: str) -> None:
    console = Console(stderr=True)
    console.print("error", style="bold red", end=" ")
    console.print(message, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def exit_codes() -> Iterator[None]:
    """A user's mistake gets one clear message and exit code 1; Ctrl-C gets exit code 130."""
    try:
        yield
    except ShapsightError as error:
        _show_error(str(error))
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
