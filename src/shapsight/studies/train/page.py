"""The report of `train`."""

from __future__ import annotations

import pandas as pd

from shapsight.report.page import Page
from shapsight.studies.shared.outcome import Trained
from shapsight.studies.shared.sections import settings_table, training_sections
from shapsight.studies.tasks.task import task_of


def train_page(trained: Trained, checks: pd.DataFrame, *, command: str, seconds: float) -> Page:
    """The report."""
    task = task_of(trained.manifest)
    return Page(
        title=f"Trained on {', '.join(trained.manifest.train_on)}: how well does it do?",
        answer=[task.answer(trained)],
        sections=[*task.error_sections([trained]), *training_sections(trained, checks)],
        settings=settings_table(trained, command, seconds),
    )
