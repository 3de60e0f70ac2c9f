"""`shapsight train`: a model with its errors in every environment, and a run that can go on after a kill."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

from jaxtyping import UInt8
from torch import Tensor

from shapsight.data.checks import check_dataset
from shapsight.data.images import load_images
from shapsight.data.manifest import Manifest
from shapsight.data.written_files import part_of
from shapsight.errors import RunError
from shapsight.models.devices import chosen_device
from shapsight.models.train import TrainingResult
from shapsight.report.page import Page
from shapsight.studies.shared.analysis import Interrupted, Trained, judge, save_judged, train
from shapsight.studies.shared.error_sections import error_section
from shapsight.studies.shared.left_open import completed
from shapsight.studies.shared.narrator import Narrator
from shapsight.studies.shared.pages import (
    checks_sections,
    left_out_section,
    settings_table,
    training_section,
    write_page,
)
from shapsight.studies.shared.reading import read
from shapsight.studies.shared.run_folder import CHECKPOINTS, RunFolder
from shapsight.studies.shared.settings import TrainingSettings
from shapsight.studies.shared.summary import answer, summarise_training
from shapsight.studies.tasks.classification_page import accuracy_section, judged_predictions, mistakes_section


def train_run(
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    settings: TrainingSettings,
    *,
    narrator: Narrator,
    command: str = "shapsight train",
    overwrite: bool = False,
    resume: bool = False,
) -> list[str]:
    """Train on a dataset and measure the model in every environment; gives a summary of some lines.

        train_run("data", "runs/lockers", TrainingSettings(train_on="lockers"), narrator=Narrator())

    With `resume` a training that was killed or interrupted goes on from its last whole epoch. Raises a
    `ShapsightError` for what a user can mend, and `KeyboardInterrupt` after Ctrl-C, once what was reached is saved.
    """
    if _is_helper():
        return _help(data, Path(out), settings)
    started = time.monotonic()
    chosen_device(settings.device)  # a wrong one is said before any work is done
    card = {"data": os.fspath(data), **settings.as_dict()}
    run = RunFolder.start(out, command=command, settings=card, overwrite=overwrite, resume=resume)
    try:
        manifest = read(data, settings.reading, narrator, train_on=settings.train_on, seed=settings.seed)
        chosen = completed(settings, manifest)
        _same_data(run, manifest)
        manifest.save(run.path)
        with narrator.step(f"Decoding {len(manifest)} images") as report:
            images = load_images(manifest, list(manifest.table["path"]), chosen.image_size, progress=report)
        training = _train(chosen, manifest, images, run, narrator)
        name = f"trained on {', '.join(manifest.train_on)}"
        trained = judge(name, chosen, training, manifest, images, narrator)
        trained = replace(trained, checks=check_dataset(manifest, images, seed=chosen.seed))
        _save(trained, run)
        write_page(_page(trained, command=command, seconds=time.monotonic() - started), run)
        shutil.rmtree(run.path / CHECKPOINTS, ignore_errors=True)
        return summarise_training(trained, run.finish("done"), time.monotonic() - started)
    except BaseException as error:
        _stop(run, error, narrator, was_resumed=resume)
        raise


def _is_helper() -> bool:
    """Whether Lightning started this process to train together with the one that writes the run."""
    return any(int(os.environ.get(name, "0")) > 0 for name in ("LOCAL_RANK", "NODE_RANK"))


def _help(data: str | os.PathLike[str], out: Path, settings: TrainingSettings) -> list[str]:
    """Take part in the training, and leave all writing to the first process."""
    quiet = Narrator(quiet=True)
    manifest = read(data, settings.reading, quiet, train_on=settings.train_on, seed=settings.seed)
    chosen = completed(settings, manifest)
    images = load_images(manifest, list(manifest.table["path"]), chosen.image_size)
    train(chosen, manifest, images, quiet, checkpoints=part_of(out) / CHECKPOINTS)
    return []


def _same_data(run: RunFolder, manifest: Manifest) -> None:
    """A resumed training needs the data that it was begun with."""
    digest = hashlib.sha256(manifest.table.to_csv(index=False).encode()).hexdigest()
    now = {"images": len(manifest), "training images": len(manifest.rows("train")), "table": digest}
    before = run.card.setdefault("dataset", now)
    if before != now:
        counts = ", ".join(f"{before[name]} {name} then, {now[name]} now" for name in list(now)[:2])
        raise RunError(
            f"the data of {run.target} are not those that it was begun with ({counts}), so it cannot go on: start "
            "anew with --overwrite"
        )
    run.write_card()


def _train(
    settings: TrainingSettings,
    manifest: Manifest,
    images: UInt8[Tensor, "images 3 size size"],
    run: RunFolder,
    narrator: Narrator,
) -> TrainingResult:
    try:
        training = train(settings, manifest, images, narrator, checkpoints=run.path / CHECKPOINTS)
    except Interrupted as interruption:
        interruption.training.bundle.save(run.folder("model"))
        raise KeyboardInterrupt from interruption
    training.bundle.save(run.folder("model"))
    return training


def _save(trained: Trained, run: RunFolder) -> None:
    save_judged(trained, run)
    trained.training.history.to_csv(run.path / "history.csv", index=False)
    if trained.checks is not None:
        trained.checks.to_csv(run.path / "checks.csv", index=False)


def _page(trained: Trained, *, command: str, seconds: float) -> Page:
    manifest = trained.manifest
    names = manifest.class_names
    if names:
        measured = [accuracy_section(trained.errors), mistakes_section(judged_predictions(trained), names)]
    else:
        measured = [error_section([trained])]
    return Page(
        title=f"Trained on {', '.join(manifest.train_on)}: how well does it do?",
        answer=[answer(trained)],
        sections=[
            *measured,
            training_section([trained]),
            *checks_sections(trained),
            left_out_section(trained),
        ],
        settings=settings_table(trained, command, seconds),
    )


def _stop(run: RunFolder, error: BaseException, narrator: Narrator, *, was_resumed: bool) -> None:
    """A training with a whole epoch behind it stays where --resume finds it; anything else leaves nothing."""
    part: Path = run.path
    if isinstance(error, RunError) and was_resumed:
        return
    if (part / CHECKPOINTS).is_dir():
        narrator.note(f"stopped: go on with the same command and --resume (what was reached is in {part})")
    else:
        run.discard()
