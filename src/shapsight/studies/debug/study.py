"""`shapsight debug`: from a folder of images to a report of where a model fails and where it looks."""

from __future__ import annotations

import os
import time
from dataclasses import replace

from shapsight.data.checks import check_dataset
from shapsight.data.images import load_images
from shapsight.data.manifest import Manifest
from shapsight.data.roi import Roi, read_roi
from shapsight.models.devices import chosen_device
from shapsight.studies.shared.analysis import Interrupted, Outcome, analyse, save_outcome, train
from shapsight.studies.shared.left_open import CompletedSettings, completed
from shapsight.studies.shared.narrator import Narrator
from shapsight.studies.shared.pages import debug_page, write_page
from shapsight.studies.shared.reading import read
from shapsight.studies.shared.run_folder import RunFolder
from shapsight.studies.shared.settings import TrainingSettings
from shapsight.studies.shared.summary import summarise
from shapsight.studies.tasks.classification_page import class_page


def debug(
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    settings: TrainingSettings,
    *,
    narrator: Narrator,
    command: str = "shapsight debug",
    overwrite: bool = False,
) -> list[str]:
    """Train on some environments, test on all, explain, and write a report; gives a summary of some ten lines.

        debug("data", "runs/lockers", TrainingSettings(train_on="lockers", roi="below:112"), narrator=Narrator())

    Raises a `ShapsightError` for data, weights or settings that cannot be used, before anything is written.
    Raises `KeyboardInterrupt` after Ctrl-C, once what was reached is saved.
    """
    started = time.monotonic()
    chosen_device(settings.device)  # a wrong one is said before any work is done
    run = RunFolder.start(
        out, command=command, settings={"data": os.fspath(data), **settings.as_dict()}, overwrite=overwrite
    )
    try:
        roi = read_roi(settings.roi) if settings.roi is not None else None
        manifest = read(data, settings.reading, narrator, train_on=settings.train_on, seed=settings.seed)
        chosen = completed(settings, manifest)
        check_roi(roi, manifest)
        manifest.save(run.path)
        outcome = _train_and_analyse(chosen, manifest, roi, run, narrator)
        make_page = class_page if manifest.class_names else debug_page
        write_page(make_page(outcome, command=command, seconds=time.monotonic() - started), run)
        target = run.finish("done")
        return summarise(outcome, target, seconds=time.monotonic() - started)
    except BaseException as error:
        keep_or_discard(run, error, narrator)
        raise


def check_roi(roi: Roi | None, manifest: Manifest) -> None:
    """Draw every image's region once, so that a missing mask is found before the training and not after it."""
    if roi is not None:
        for row in manifest.table.to_dict("records"):
            roi.mask(row)


def _train_and_analyse(
    settings: CompletedSettings, manifest: Manifest, roi: Roi | None, run: RunFolder, narrator: Narrator
) -> Outcome:
    with narrator.step(f"Decoding {len(manifest)} images") as report:
        images = load_images(manifest, list(manifest.table["path"]), settings.image_size, progress=report)
    with narrator.step("Checking the data"):
        checks = check_dataset(manifest, images, seed=settings.seed)
        checks.to_csv(run.path / "checks.csv", index=False)
    try:
        training = train(settings, manifest, images, narrator)
    except Interrupted as interruption:
        interruption.training.bundle.save(run.folder("model"))
        raise KeyboardInterrupt from interruption
    training.bundle.save(run.folder("model"))
    name = f"trained on {', '.join(manifest.train_on)}"
    outcome = analyse(name, settings, training, manifest, images, narrator, roi=roi)
    outcome = replace(outcome, checks=checks)
    save_outcome(outcome, run)
    return outcome


def keep_or_discard(run: RunFolder, error: BaseException, narrator: Narrator) -> None:
    """After Ctrl-C or an error: a trained model is worth keeping, an empty folder is not."""
    status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
    if any((run.path / name / "card.json").is_file() for name in ("model", "model_all_rooms")):
        target = run.finish(status)
        narrator.note(f"{status}: what was reached so far is in {target}, the model in {target / 'model'}")
    else:
        run.discard()
        if status == "interrupted":
            narrator.note("interrupted before a first epoch was done: nothing was kept")
