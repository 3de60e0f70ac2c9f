"""The report of `train`, and the lines that it ends with."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from shapsight.report.page import Page
from shapsight.studies.shared.narrator import duration
from shapsight.studies.shared.outcome import Trained
from shapsight.studies.shared.sections import (
    checks_section,
    left_out_section,
    settings_table,
    training_section,
    weights_of,
)
from shapsight.studies.shared.words import data_sentence, labelled, skipped_sentence
from shapsight.studies.tasks.task import task_of


def train_page(trained: Trained, checks: pd.DataFrame, *, command: str, seconds: float) -> Page:
    """The report."""
    task = task_of(trained.manifest)
    return Page(
        title=f"Trained on {', '.join(trained.manifest.train_on)}: how well does it do?",
        answer=[task.answer(trained)],
        sections=[
            *task.error_sections([trained]),
            training_section([trained]),
            checks_section(checks),
            left_out_section(trained),
        ],
        settings=settings_table(trained, command, seconds),
    )


def summary(trained: Trained, run: Path, seconds: float) -> list[str]:
    """What a training came to."""
    task, training = task_of(trained.manifest), trained.training
    card = training.bundle.card
    model = (
        f"{card.arch}, weights {weights_of(trained)}, best epoch {training.best_epoch} of {trained.settings.epochs}, "
        f"resumed {card.training['resumed']} times"
    )
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
