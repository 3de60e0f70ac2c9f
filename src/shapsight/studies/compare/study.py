"""`shapsight compare`: two models on the same images that neither was trained on."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from shapsight.diagnosis.paired import paired_change
from shapsight.errors import DataError
from shapsight.models.devices import chosen_device
from shapsight.models.train import TrainingResult
from shapsight.studies.compare.facts import Compared
from shapsight.studies.compare.page import compare_page
from shapsight.studies.compare.settings import CompareSettings
from shapsight.studies.compare.words import summary
from shapsight.studies.shared.analysis import analyse, on_held_out
from shapsight.studies.shared.material import Material, roi_of
from shapsight.studies.shared.narrator import Narrator
from shapsight.studies.shared.outcome import Outcome, save_outcome, save_table
from shapsight.studies.shared.run_folder import RunFolder
from shapsight.studies.shared.sections import write_page
from shapsight.studies.shared.settings import TrainingSettings
from shapsight.studies.shared.trained_run import TrainedRun, open_run


def compare(
    first: str | os.PathLike[str],
    second: str | os.PathLike[str],
    out: str | os.PathLike[str],
    settings: CompareSettings | None = None,
    *,
    narrator: Narrator,
    command: str = "shapsight compare",
    overwrite: bool = False,
) -> list[str]:
    """Judge and explain two runs' models on the same images, side by side; gives a summary.

        compare("runs/lockers", "runs/all", "runs/compared", narrator=Narrator())

    The images are those of the first run that neither model was trained on. Raises a `ShapsightError` where there are
    none, or the models predict different things or see images of different sizes.
    """
    started = time.monotonic()
    settings = CompareSettings() if settings is None else settings
    if len(settings.names) not in (0, 2):
        raise DataError(f"names={','.join(settings.names)!r}: two runs need two names")
    device = chosen_device(settings.device)
    runs = open_run(first), open_run(second)
    _check(*runs)
    for run in runs:
        run.bundle.model.to(device)
    held_out, notes = held_out_of_both(*runs)
    spec = settings.roi or runs[0].roi or runs[1].roi
    roi = roi_of(spec)
    card = {"first": os.fspath(first), "second": os.fspath(second), "roi": spec, "seed": settings.seed}
    folder = RunFolder.start(out, command=command, settings=card, overwrite=overwrite)
    try:
        manifest = runs[0].manifest
        # Only explained images need a region: those of all are not drawn.
        material = replace(Material.decoded(manifest, runs[0].bundle.seen, narrator), roi=roi)
        one, two = _outcomes(runs, settings, material, held_out, narrator)
        change = paired_change(one.predictions, two.predictions, manifest.targets, seed=settings.seed)
        save_outcome(one, folder, "_first")
        save_outcome(two, folder, "_second")
        save_table(change, folder.path / "change")
        compared = Compared(one, two, change, tuple(notes))
        page = compare_page(compared, card, command=command, seconds=time.monotonic() - started)
        write_page(page, folder)
    except BaseException:
        folder.discard()
        raise
    return summary(compared, folder.finish("done"), time.monotonic() - started)


def held_out_of_both(first: TrainedRun, second: TrainedRun) -> tuple[pd.Series[bool], list[str]]:
    """Which rows of the first run's table neither model was trained on, and what a reader should know of that.

    An image that the second run does not know counts as not trained on. Raises `DataError` where no image is left.
    """
    table = first.manifest.table
    # Runs of the same folder know an image by its path in it; other runs by where the file lies.
    trained = [
        {str(run.manifest.root.resolve() / path) for path in run.manifest.split("train")["path"]}
        for run in (first, second)
    ]
    files = [str(first.manifest.root.resolve() / path) for path in table["path"]]
    held_out = pd.Series([file not in trained[0] | trained[1] for file in files], index=table.index)
    if not held_out.any():
        raise DataError(
            f"every image of {first.path} was trained on by one of the two models: nothing is left to compare them on"
        )
    missing = sorted(set(table["environment"]) - set(table.loc[held_out, "environment"]))
    notes = [f"No image of {', '.join(missing)} was held out of both models."] if missing else []
    return held_out, notes


def _check(first: TrainedRun, second: TrainedRun) -> None:
    one, two = first.bundle.card, second.bundle.card
    if one.output_names != two.output_names:
        raise DataError(
            f"{first.path} predicts {', '.join(one.output_names)}, {second.path} predicts "
            f"{', '.join(two.output_names)}: they cannot be compared"
        )
    if one.input_size != two.input_size:
        raise DataError(
            f"{first.path} sees images of {one.input_size} pixels a side, {second.path} of {two.input_size}: their "
            "explanations cannot be laid side by side. Train both with the same --image-size"
        )


def _outcomes(
    runs: Sequence[TrainedRun],
    settings: CompareSettings,
    material: Material,
    held_out: pd.Series[bool],
    narrator: Narrator,
) -> tuple[Outcome, Outcome]:
    """Both models judged on the first run's images; those to explain are chosen from the first one's predictions."""
    names = settings.names or _names(runs)
    how = TrainingSettings(explain=settings.explain, seed=settings.seed)
    first = analyse(names[0], how, _result(runs[0]), material, narrator, among=held_out)
    second = analyse(names[1], how, _result(runs[1]), material, narrator, explained=first.explained)
    return on_held_out(first, held_out), on_held_out(second, held_out)


def _names(runs: Sequence[TrainedRun]) -> tuple[str, ...]:
    names = [Path(run.path).resolve().name for run in runs]
    return tuple(names) if names[0] != names[1] else tuple(str(run.path) for run in runs)


def _result(run: TrainedRun) -> TrainingResult:
    """A bundle that was read again, in the form of a training's result."""
    history = pd.DataFrame(columns=["epoch", "train_loss", "validation_loss"])
    return TrainingResult(run.bundle, history, int(run.bundle.card.training.get("best_epoch", 0)))
