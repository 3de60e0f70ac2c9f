"""`shapsight debug`: from a folder of images to a report of where a model fails and where it looks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd

from shapsight.models.devices import chosen_device
from shapsight.report.page import Answer, Page
from shapsight.studies.shared.analysis import analyse, check, train
from shapsight.studies.shared.asked import Asked, study
from shapsight.studies.shared.examples import images_of
from shapsight.studies.shared.first_screen import cards, error_evidence, error_verdict, glance
from shapsight.studies.shared.found import Place, Run, open_run
from shapsight.studies.shared.left_open import completed
from shapsight.studies.shared.material import Material, roi_of
from shapsight.studies.shared.narrator import duration
from shapsight.studies.shared.outcome import Outcome, save_outcome
from shapsight.studies.shared.reading import dataset_of, source_of
from shapsight.studies.shared.run_folder import RunFolder
from shapsight.studies.shared.sections import (
    contribution_sections,
    contribution_words,
    model_sentence,
    scene_lead,
    settings_table,
    training_sections,
    write_page,
)
from shapsight.studies.shared.settings import NOT_OF_DEBUG, TrainingSettings
from shapsight.studies.shared.words import data_sentence, gap_sentence, labelled, shell, skipped_sentence
from shapsight.studies.tasks.task import task_of


@study(TrainingSettings, without=NOT_OF_DEBUG)
def debug(
    asked: Asked[TrainingSettings],
    data: Any,
    out: str | os.PathLike[str] | None = None,
    *,
    overwrite: bool = False,
) -> Run:
    """Train on some environments, test on all, explain, and write a report.

        run = shapsight.debug("data", "runs/lockers", train_on=["lockers"], roi="below:112")
        run.bundle, run.errors, run.report("lockers.html")

    `data` is a manifest of `read_dataset` or whatever that reads; without `out` everything goes into a temporary folder
    that goes with what is returned. Raises a `ShapsightError` for data, weights or settings that cannot be used, before
    anything is written, and `KeyboardInterrupt` after Ctrl-C, once what was reached is saved.
    """
    settings, narrator = asked.settings, asked.narrator
    chosen_device(settings.device)  # a wrong one is said before any work is done
    place, card = Place.of(out), {"data": source_of(data), **settings.as_dict()}
    folder = RunFolder.start(place.path, command=asked.command, settings=card, overwrite=overwrite)
    try:
        roi = roi_of(settings.roi)  # a wrong one is said before any work is done
        manifest = dataset_of(data, settings, narrator)
        chosen = completed(settings, manifest)
        manifest.save(folder.path)
        roi = roi_of(roi, manifest.roi)
        material = Material.decoded(manifest, chosen.image_size, narrator, roi=roi)
        checks = check(material, folder, narrator, seed=settings.seed)
        training = train(chosen, material, narrator, save_to=folder.folder("model"))
        name = f"trained on {', '.join(manifest.train_on)}"
        outcome = analyse(name, chosen, training, material, narrator)
        save_outcome(outcome, folder)
        page = debug_page(outcome, checks, folder.target, command=asked.command, seconds=asked.seconds)
        write_page(page, folder)
        lines = summary(outcome, folder.finish("done"), asked.seconds)
    except BaseException as error:
        folder.keep_or_discard(error, narrator)
        raise
    return open_run(place, lines=tuple(lines), answer=tuple(answer(outcome)))


def debug_page(outcome: Outcome, checks: pd.DataFrame, run: Path, *, command: str, seconds: float) -> Page:
    """The report of one model."""
    task, facts, images = task_of(outcome.manifest), outcome.facts, images_of({"": outcome})
    return Page(
        title=f"Trained on {', '.join(outcome.manifest.train_on)}",
        answer=Answer(
            error_verdict(facts),
            scene_lead(outcome) if outcome.contributions is not None else error_evidence(facts),
            cards(outcome.explained, outcome.manifest, facts, images.__getitem__),
            glance(outcome.errors, outcome.manifest, facts),
            next=shell("shapsight", "diagnose", run),
            next_is="Ask whether that is why",
        ),
        sections=[
            *task.error_sections([outcome], list(outcome.explained["path"])),
            *contribution_sections([outcome]),
            task.picture_section(outcome),
            *training_sections(outcome, checks),
        ],
        settings=settings_table(outcome, command, seconds),
    )


def answer(outcome: Outcome) -> list[str]:
    """How large the error is, and what scene and region contribute."""
    return [task_of(outcome.manifest).answer(outcome), *contribution_words(outcome)]


def summary(outcome: Outcome, run: Path, seconds: float) -> list[str]:
    """What one model's run came to."""
    task = task_of(outcome.manifest)
    return [
        *labelled({"Data": data_sentence(outcome.manifest), "Model": model_sentence(outcome)}),
        *task.measured_lines([outcome]),
        *labelled(
            {
                "Answer": answer(outcome),
                "Explained": gap_sentence(outcome.explanation),
                "Left out": skipped_sentence(outcome.manifest),
                "Report": f"{run / 'report.html'}   ({duration(seconds)})",
            }
        ),
    ]
