"""The commands around a model: check the data, train, evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from shapsight.cli_options import (
    Arch,
    BatchSize,
    Device,
    Epochs,
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
    trainer_flags,
)

Data = Annotated[
    Path,
    typer.Argument(
        help="A folder of environments or classes, a CSV, Parquet or JSON-lines table, idx:FOLDER, or a folder that "
        "Hugging Face datasets saved."
    ),
]


@takes_data_options
def train(
    data: Data,
    out: Out,
    train_on: TrainOn = "all",
    arch: Arch = "auto",
    weights: Weights = "auto",
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    learning_rate: LearningRate = None,
    schedule: Annotated[str, typer.Option(help="auto, constant or one-cycle.")] = "auto",
    warm_up: Annotated[
        int, typer.Option(min=0, help="First epochs that train the last layer only; for small sets.")
    ] = 0,
    early_stop: Annotated[
        int | None, typer.Option(min=1, help="Stop after so many epochs without a lower loss.")
    ] = None,
    class_weights: Annotated[
        bool, typer.Option("--class-weights/--no-class-weights", help="Let rare classes count more.")
    ] = True,
    jitter: Annotated[
        bool | None, typer.Option("--jitter/--no-jitter", help="Vary the colours of training images.")
    ] = None,
    remedies: Annotated[
        str | None,
        typer.Option(
            help="A recipe in place of the jitter, by comma: flip, swap-scene, erase-scene, erase-objects, light, "
            "color-jitter, noise, right-reasons, balance; shapsight cure finds out which."
        ),
    ] = None,
    roi: RoiSpec = None,
    scenes: Annotated[
        Path | None, typer.Option(help="swap-scene: a folder of photographs to paste in as well.")
    ] = None,
    image_size: ImageSize = None,
    references: References = 25,
    references_drawn: ReferencesDrawn = False,
    seed: Seed = 0,
    device: Device = "auto",
    devices: Annotated[str | None, typer.Option(help="Lightning's: how many or which devices.")] = None,
    precision: Annotated[str | None, typer.Option(help="Lightning's: 16-mixed, bf16-mixed, 32-true.")] = None,
    strategy: Annotated[str | None, typer.Option(help="Lightning's: ddp, fsdp, and others.")] = None,
    num_nodes: Annotated[int | None, typer.Option(min=1, help="Lightning's: machines.")] = None,
    logger: Annotated[str | None, typer.Option(help="csv or tensorboard, into RUN/logs.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a training that was killed or interrupted.")
    ] = False,
    overwrite: Overwrite = False,
    *,
    how: dict[str, Any],
) -> None:
    """Train a model on a dataset and measure it in every environment; goes on after a kill with --resume."""
    from shapsight.studies.shared.narrator import Narrator
    from shapsight.studies.shared.reading import DataOptions
    from shapsight.studies.shared.settings import TrainingSettings
    from shapsight.studies.train.study import train_run

    with exit_codes():
        settings = TrainingSettings(
            train_on=train_on,
            arch=arch,
            weights=weights,
            epochs=epochs or 0,
            batch_size=batch_size or 0,
            learning_rate=learning_rate or 0.0,
            schedule=schedule,
            warm_up=warm_up,
            patience=early_stop,
            class_weights=class_weights,
            color_jitter=jitter,
            remedies=remedies,
            roi=roi,
            scenes=None if scenes is None else str(scenes),
            image_size=image_size or 0,
            references=references,
            references_drawn=references_drawn,
            seed=seed,
            device=device,
            reading=DataOptions(**how),
            logger=logger,
            trainer=trainer_flags(devices, precision, strategy, num_nodes),
        )
        show(
            train_run(
                data,
                out,
                settings,
                narrator=Narrator(),
                command=command_line(),
                overwrite=overwrite,
                resume=resume,
            )
        )


@takes_data_options
def evaluate(
    run: Annotated[Path, typer.Argument(help="A run, or a folder with a model.")],
    data: Annotated[
        Path | None, typer.Argument(help="Another dataset than the run's own.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for tables and report; by default RUN/evaluation."),
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
    *,
    how: dict[str, Any],
) -> None:
    """Measure a model: MSE, MAE, R² and right side, or accuracy, F1 and calibration, per environment."""
    from shapsight.studies.evaluate.study import evaluate_run
    from shapsight.studies.shared.narrator import Narrator
    from shapsight.studies.shared.reading import DataOptions

    with exit_codes():
        show(
            evaluate_run(
                run,
                data,
                out=out,
                options=DataOptions(**how),
                device=device,
                seed=seed,
                narrator=Narrator(),
                command=command_line(),
            )
        )


@takes_data_options
def check(
    data: Data,
    train_on: TrainOn = "all",
    csv: Annotated[Path | None, typer.Option(help="Write the table to this file.")] = None,
    seed: Seed = 0,
    *,
    how: dict[str, Any],
) -> None:
    """Look for what spoils training or flatters a test: duplicates across splits, odd files, few images, drift."""
    from rich.console import Console

    from shapsight.studies.check.study import as_rich_table, check_data
    from shapsight.studies.shared.narrator import Narrator
    from shapsight.studies.shared.reading import DataOptions

    with exit_codes():
        checks = check_data(
            data, DataOptions(**how), train_on=train_on, seed=seed, csv=csv, narrator=Narrator()
        )
        Console().print(as_rich_table(checks))


def add_commands(app: typer.Typer) -> None:
    """Put these commands into the command line."""
    app.command(
        epilog="Examples: shapsight train photos --train-on lockers --out runs/lockers   |   shapsight train "
        "drives.csv --targets steering,speed --scale speed=0:30:km/h --group column:drive --out runs/drive"
    )(train)
    app.command(
        epilog="Examples: shapsight evaluate runs/lockers   |   "
        "shapsight evaluate runs/lockers new_photos --out runs/new"
    )(evaluate)
    app.command(
        epilog="Examples: shapsight check photos --train-on lockers   |   "
        "shapsight check idx:/usr/share/datasets/fashion-mnist"
    )(check)
