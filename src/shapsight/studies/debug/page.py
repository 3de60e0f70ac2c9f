"""The report of `debug`: which sections answer which question."""

from __future__ import annotations

import pandas as pd

from shapsight.report.page import Page
from shapsight.studies.debug.words import answer
from shapsight.studies.shared.outcome import Outcome
from shapsight.studies.shared.sections import (
    contribution_sections,
    settings_table,
    training_sections,
)
from shapsight.studies.tasks.task import task_of


def debug_page(outcome: Outcome, checks: pd.DataFrame, *, command: str, seconds: float) -> Page:
    """The report of one model."""
    task = task_of(outcome.manifest)
    return Page(
        title=task.title(outcome.manifest),
        answer=answer(outcome),
        key_figures=task.key_figures(outcome),
        sections=[
            *task.error_sections([outcome]),
            *contribution_sections([outcome]),
            task.picture_section(outcome),
            *training_sections(outcome, checks),
        ],
        settings=settings_table(outcome, command, seconds),
    )
