"""`shapsight train`: a model with its errors in every environment, and a run that can go on after a kill."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from shapsight.data.manifest import Manifest
from shapsight.data.written_files import part_of
from shapsight.errors import DataError, RunError
from shapsight.models.devices import chosen_device
from shapsight.report.page import Answer, Page
from shapsight.studies.shared import analysis
from shapsight.studies.shared.asked import Asked, study
from shapsight.studies.shared.first_screen import error_evidence, error_verdict, glance
from shapsight.studies.shared.found import Place, Run, open_run
from shapsight.studies.shared.left_open import CompletedSettings, completed
from shapsight.studies.shared.material import Material, roi_of
from shapsight.studies.shared.narrator import Narrator, duration
from shapsight.studies.shared.outcome import Trained, save_judged
from shapsight.studies.shared.reading import dataset_of, source_of
from shapsight.studies.shared.run_folder import CHECKPOINTS, RunFolder
from shapsight.studies.shared.sections import model_sentence, settings_table, training_sections, write_page
from shapsight.studies.shared.settings import NOT_OF_TRAIN, TrainingSettings
from shapsight.studies.shared.words import data_sentence, labelled, skipped_sentence
from shapsight.studies.tasks.task import task_of

if TYPE_CHECKING:
    from lightning.pytorch.callbacks import Callback


@study(TrainingSettings, without=NOT_OF_TRAIN)
def train(
    asked: Asked[TrainingSettings],
    data: Any,
    out: str | os.PathLike[str] | None = None,
    *,
    resume: bool = False,
    overwrite: bool = False,
) -> Run:
    """Train a model on a dataset and measure it in every environment.

        run = shapsight.train(photos, train_on=["room_1"], arch="resnet18", epochs=5)
        run = shapsight.train("photos", "runs/lockers", train_on="lockers")
        run.bundle, run.errors, run.report("training.html")

    `data` is a manifest of `read_dataset` or whatever that reads. Everything goes into `out`, without it into a
    temporary folder that goes with what is returned. With `resume` a training that was killed or interrupted goes on
    from its last whole epoch. Raises a `ShapsightError` for what a user can mend, and `KeyboardInterrupt` after Ctrl-C,
    once what was reached is saved.
    """
    settings, narrator = asked.settings, asked.narrator
    place = Place.of(out)
    if _is_helper():
        return _help(data, place, settings)
    chosen_device(settings.device)  # a wrong one is said before any work is done
    _check_watching(settings, data)
    card = {"data": source_of(data), **settings.as_dict()}
    folder = RunFolder.start(
        place.path, command=asked.command, settings=card, overwrite=overwrite, resume=resume
    )
    try:
        settings, material = _material(data, settings, narrator)
        _same_data(folder, material.manifest)
        material.manifest.save(folder.path)
        checks = analysis.check(material, folder, narrator, seed=settings.seed)
        checkpoints = folder.path / CHECKPOINTS
        training = analysis.train(
            settings,
            material,
            narrator,
            save_to=folder.folder("model"),
            checkpoints=checkpoints,
            watching=_watching(settings, material),
        )
        name = f"trained on {', '.join(material.manifest.train_on)}"
        trained = analysis.judge(name, settings, training, material, narrator)
        save_judged(trained, folder)
        training.history.to_csv(folder.path / "history.csv", index=False)
        page = train_page(trained, checks, folder.target, command=asked.command, seconds=asked.seconds)
        write_page(page, folder)
        shutil.rmtree(checkpoints, ignore_errors=True)
        lines = summary(trained, folder.finish("done"), asked.seconds)
    except BaseException as error:
        _stop(folder, error, narrator, was_resumed=resume)
        raise
    return open_run(place, lines=tuple(lines), answer=(task_of(trained.manifest).answer(trained),))


def _material(
    data: Any, settings: TrainingSettings, narrator: Narrator
) -> tuple[CompletedSettings, Material]:
    """The settings with nothing left open, and the data; regions of interest only where a remedy may need them."""
    manifest = dataset_of(data, settings, narrator)
    chosen = completed(settings, manifest)
    has_remedies = settings.remedies is not None
    roi = roi_of(settings.roi, manifest.roi) if has_remedies or settings.watch_every is not None else None
    scenes = settings.scenes if has_remedies else None
    return chosen, Material.decoded(manifest, chosen.image_size, narrator, roi=roi, scenes=scenes)


def _check_watching(settings: TrainingSettings, data: Any) -> None:
    """Raise `DataError` where a training is to be watched without what that needs."""
    roi = settings.roi or getattr(data, "roi", None)
    needed = {
        "a log to write into": ("--logger csv", settings.logger),
        "to know the region of interest": ("--roi, such as ", roi),
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


def _help(data: Any, place: Place, settings: TrainingSettings) -> Run:
    """Take part in the training, and leave all writing to the first process."""
    quiet = Narrator(quiet=True)
    settings, material = _material(data, settings, quiet)
    training = analysis.train(settings, material, quiet, checkpoints=part_of(place.path) / CHECKPOINTS)
    how = settings.as_dict()
    return Run(place=place, bundle=training.bundle, manifest=material.manifest, settings=how)


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


def train_page(trained: Trained, checks: pd.DataFrame, run: Path, *, command: str, seconds: float) -> Page:
    """The report."""
    task, facts = task_of(trained.manifest), trained.facts
    return Page(
        title=f"Trained on {', '.join(trained.manifest.train_on)}",
        answer=Answer(
            error_verdict(facts),
            error_evidence(facts),
            chart=glance(trained.errors, trained.manifest, facts),
            next=f"shapsight diagnose {run}",
            next_is="Ask why",
        ),
        sections=[*task.error_sections([trained]), *training_sections(trained, checks)],
        settings=settings_table(trained, command, seconds),
    )


def summary(trained: Trained, run: Path, seconds: float) -> list[str]:
    """What a training came to."""
    task, resumed = task_of(trained.manifest), trained.training.bundle.card.training["resumed"]
    model = f"{model_sentence(trained)}, resumed {resumed} times"
    return [
        *labelled({"Data": data_sentence(trained.manifest), "Model": model}),
        *task.measured_lines([trained]),
        *labelled(
            {
                "Answer": task.answer(trained),
                "Left out": skipped_sentence(trained.manifest),
                "Next": f"shapsight evaluate {run} DATA   |   shapsight explain {run} IMAGES --method deep",
                "Report": f"{run / 'report.html'}   ({duration(seconds)})",
            }
        ),
    ]
