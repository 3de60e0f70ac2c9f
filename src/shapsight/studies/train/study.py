"""`shapsight train`: a model with its errors in every environment, and a run that can go on after a kill."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from shapsight.data.manifest import Manifest
from shapsight.data.written_files import part_of
from shapsight.errors import DataError, RunError
from shapsight.models.devices import chosen_device
from shapsight.studies.shared.analysis import check, judge, train
from shapsight.studies.shared.left_open import CompletedSettings, completed
from shapsight.studies.shared.material import Material, roi_of
from shapsight.studies.shared.narrator import Narrator
from shapsight.studies.shared.outcome import save_judged
from shapsight.studies.shared.reading import read
from shapsight.studies.shared.run_folder import CHECKPOINTS, RunFolder
from shapsight.studies.shared.sections import write_page
from shapsight.studies.shared.settings import TrainingSettings
from shapsight.studies.train.page import train_page
from shapsight.studies.train.words import summary

if TYPE_CHECKING:
    from lightning.pytorch.callbacks import Callback


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
    _check_watching(settings)
    card = {"data": os.fspath(data), **settings.as_dict()}
    run = RunFolder.start(out, command=command, settings=card, overwrite=overwrite, resume=resume)
    try:
        settings, material = _material(data, settings, narrator)
        _same_data(run, material.manifest)
        material.manifest.save(run.path)
        checks = check(material, run, narrator, seed=settings.seed)
        checkpoints = run.path / CHECKPOINTS
        training = train(
            settings,
            material,
            narrator,
            save_to=run.folder("model"),
            checkpoints=checkpoints,
            watching=_watching(settings, material),
        )
        name = f"trained on {', '.join(material.manifest.train_on)}"
        trained = judge(name, settings, training, material, narrator)
        save_judged(trained, run)
        training.history.to_csv(run.path / "history.csv", index=False)
        write_page(train_page(trained, checks, command=command, seconds=time.monotonic() - started), run)
        shutil.rmtree(checkpoints, ignore_errors=True)
        return summary(trained, run.finish("done"), time.monotonic() - started)
    except BaseException as error:
        _stop(run, error, narrator, was_resumed=resume)
        raise


def _material(
    data: str | os.PathLike[str], settings: TrainingSettings, narrator: Narrator
) -> tuple[CompletedSettings, Material]:
    """The settings with nothing left open, and the data; regions of interest only where a remedy may need them."""
    manifest = read(data, settings.reading, narrator, train_on=settings.train_on, seed=settings.seed)
    chosen = completed(settings, manifest)
    has_remedies = settings.remedies is not None
    needs_roi = has_remedies or settings.watch_every is not None
    roi = settings.roi or manifest.roi if needs_roi else None
    scenes = settings.scenes if has_remedies else None
    return chosen, Material.decoded(manifest, chosen.image_size, narrator, roi=roi_of(roi), scenes=scenes)


def _check_watching(settings: TrainingSettings) -> None:
    """Raise `DataError` where a training is to be watched without what that needs."""
    needed = {
        "a log to write into": ("--logger csv", settings.logger),
        "to know the region of interest": ("--roi, such as --roi below:112", settings.roi),
    }
    for need, (how, given) in needed.items():
        if settings.watch_every is not None and given is None:
            raise DataError(f"--watch-every needs {need}: pass {how}")


def _watching(settings: CompletedSettings, material: Material) -> list[Callback]:
    """What looks at the model while it is trained."""
    if settings.watch_every is None:
        return []
    from shapsight.studies.watch.study import watch_training

    return [
        watch_training(
            material,
            settings.watch_every,
            arch=settings.arch,
            references=settings.references,
            seed=settings.seed,
        )
    ]


def _is_helper() -> bool:
    """Whether Lightning started this process to train together with the one that writes the run."""
    return any(int(os.environ.get(name, "0")) > 0 for name in ("LOCAL_RANK", "NODE_RANK"))


def _help(data: str | os.PathLike[str], out: Path, settings: TrainingSettings) -> list[str]:
    """Take part in the training, and leave all writing to the first process."""
    quiet = Narrator(quiet=True)
    settings, material = _material(data, settings, quiet)
    train(settings, material, quiet, checkpoints=part_of(out) / CHECKPOINTS)
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


def _stop(run: RunFolder, error: BaseException, narrator: Narrator, *, was_resumed: bool) -> None:
    """A training with a whole epoch behind it stays where --resume finds it; anything else leaves nothing."""
    if isinstance(error, RunError) and was_resumed:
        return
    if (run.path / CHECKPOINTS).is_dir():
        narrator.note(
            f"stopped: go on with the same command and --resume (what was reached is in {run.path})"
        )
    else:
        run.discard()
