"""`shapsight evaluate`: the errors of a model, on its own dataset or on another one."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from shapsight.data.manifest import Manifest
from shapsight.diagnosis.prediction_errors import error_per_image
from shapsight.drawing.viewer import Shown
from shapsight.models.devices import chosen_device
from shapsight.report.page import Answer, Page, Picture, Section
from shapsight.studies.shared.analysis import predicted
from shapsight.studies.shared.asked import Asked, study
from shapsight.studies.shared.examples import key_of, plain_image
from shapsight.studies.shared.first_screen import cards, error_evidence, error_verdict, glance
from shapsight.studies.shared.found import Found, Place
from shapsight.studies.shared.material import Material
from shapsight.studies.shared.outcome import Judged, save_judged
from shapsight.studies.shared.reading import source_of
from shapsight.studies.shared.recorded import recorded_in
from shapsight.studies.shared.run_folder import RunFolder
from shapsight.studies.shared.sections import left_out_section, made_with, write_page
from shapsight.studies.shared.settings import EvaluateSettings
from shapsight.studies.shared.subject import Subject, on_device, prediction_warnings, subject_of
from shapsight.studies.shared.words import labelled, shell
from shapsight.studies.tasks.task import task_of

WORST = 12  # images on the page


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Evaluation(Found):
    """The errors of a model: `.table`, `.plot()`, `.predictions` (a row an image), `.report("errors.html")`."""

    judged: Judged

    @property
    def table(self) -> pd.DataFrame:
        """A row for each environment, split and target: the errors with 95 % bootstrap intervals over images."""
        return self.judged.errors

    @property
    def predictions(self) -> pd.DataFrame:
        """A row an image: its path, environment and split, the truth, and what the model says."""
        return self.judged.predictions

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """`errors` and `predictions`."""
        return {"errors": self.table, "predictions": self.predictions}

    def plot(self) -> Any:
        """The errors by environment, as on the page."""
        section = task_of(self.judged.manifest).error_sections([self.judged])[0]
        return section.pictures[0].shown


@study(EvaluateSettings)
def evaluate(
    asked: Asked[EvaluateSettings],
    model: Any,
    data: Any = None,
    out: str | os.PathLike[str] | None = None,
    *,
    overwrite: bool = False,
) -> Evaluation:
    """Measure a model in every environment, with intervals.

        found = shapsight.evaluate(bundle, photos)                  # a model of your own, a dataset that was read
        found = shapsight.evaluate("runs/lockers")                  # a run on its own dataset, split by split
        found = shapsight.evaluate("runs/lockers", "new_photos")    # on another one, all of it unseen
        found.table; found.plot(); found.report("errors.html")

    `model` is a `Bundle`, a run or its folder, or "module:name" of a function that makes a bundle; `data` a manifest of
    `read_dataset` or whatever that reads. Tables and report.html go into `out`, by default RUN/evaluation, where they
    replace earlier ones, and of a bundle a temporary folder that goes with what is returned. Raises a `ShapsightError`
    for what a user can mend.
    """
    settings, narrator = asked.settings, asked.narrator
    chosen_device(settings.device)  # a wrong one is said before any work is done
    subject = subject_of(model, data, settings.reading, narrator, seed=settings.seed)
    place = Place.of(out, subject.folder, "evaluation")
    if settings.store is not None:
        recorded = recorded_in(settings.store, subject, narrator)
        subject, judged, pictures = recorded.subject, recorded.judged(settings.seed), recorded.pictures
    else:
        with on_device(subject.bundle, settings.device):
            material = Material.decoded(subject.manifest, subject.bundle.seen, narrator)
            judged = predicted(subject.name, subject.bundle, material, narrator, seed=settings.seed)
        pictures = material.of
    notes = (*subject.notes, *prediction_warnings(judged.predictions, subject.manifest))
    where = source_of(subject.manifest if data is None else data)
    card = {"run": str(subject.folder or subject.name), "data": where, "seed": settings.seed}
    card |= {} if settings.store is None else {"store": str(settings.store)}
    folder = RunFolder.start(
        place.path, command=asked.command, settings=card, overwrite=overwrite or out is None
    )
    try:
        save_judged(judged, folder)
        subject.manifest.save(folder.path)
        write_page(_page(judged, subject, data, pictures, notes, card, asked), folder)
    except BaseException:
        folder.discard()
        raise
    report = folder.finish("done") / "report.html"
    lines = [
        *task_of(judged.manifest).measured_lines([judged]),
        *labelled({"Note": subject.notes, "Report": str(report)}),
    ]
    headline = f"{judged.name}: how well does it do?"
    return Evaluation(
        place=place, judged=judged, lines=tuple(lines), headline=headline, sentences=tuple(_answer(judged))
    )


def _answer(judged: Judged) -> list[str]:
    lines = task_of(judged.manifest).measured_lines([judged])
    return [f"{' '.join(line.removeprefix('Accuracy').split())}." for line in lines]


def _page(
    judged: Judged,
    subject: Subject,
    data: Any,
    pictures: Callable[[pd.DataFrame], Tensor],
    notes: tuple[str, ...],
    settings: dict[str, Any],
    asked: Asked[EvaluateSettings],
) -> Page:
    task, card, manifest = task_of(judged.manifest), subject.bundle.card, judged.manifest
    rows, facts = judged.predictions, judged.facts

    def shown(at: int) -> Shown:
        picture = pictures(rows.iloc[[at]])[0]
        return plain_image(picture, rows.iloc[at].to_dict(), manifest, subject.bundle)

    typical = cards(rows, manifest, facts, shown)
    wrong = [shown(at) for at in _worst(rows, manifest)]
    return Page(
        title=f"{judged.name} on {Path(settings['data']).name}",
        answer=Answer(
            error_verdict(facts),
            error_evidence(facts),
            typical,
            glance(judged.errors, manifest, facts),
            next=_next(subject, data),
            next_is="Ask why",
        ),
        sections=[
            *task.error_sections([judged], [key_of(image) for image in wrong]),
            Section(
                "Where is it most wrong?",
                f"The {len(wrong)} images with the largest errors, as the model sees them.",
                [Picture(wrong, "The images with the largest errors")],
                notes=notes,
            ),
            left_out_section(judged),
        ],
        settings=made_with(
            {**settings, "model": subject.bundle.name}, asked.command, asked.seconds, card.versions
        ),
    )


def _worst(rows: pd.DataFrame, manifest: Manifest) -> list[int]:
    """Positions of the images with the largest errors, the largest first; of classes, those it was most sure of."""
    errors = error_per_image(rows, manifest)
    if manifest.class_names:
        errors = errors * rows["confidence"].to_numpy(float)
    order = np.argsort(-np.where(np.isfinite(errors), errors, -1), kind="stable")
    return [int(at) for at in order[:WORST]]


def _next(subject: Subject, data: Any) -> str:
    """How to go on from here; a run knows its own dataset, and one that is named would count as unseen."""
    if subject.folder is None:
        return 'shapsight.diagnose(bundle, photos).report("why.html")'
    return shell("shapsight", "diagnose", subject.folder, *([] if data is None else [source_of(data)]))
