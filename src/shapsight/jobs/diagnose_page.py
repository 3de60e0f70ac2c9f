"""The report of a diagnosis: the verdict first, then each question with its numbers and pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shapsight.diagnosis.verdict import Verdict
from shapsight.jobs.diagnosis.kept import Kept
from shapsight.jobs.diagnosis.settings import DiagnoseSettings
from shapsight.jobs.diagnosis.subject import Subject
from shapsight.report.page import Page


@dataclass(frozen=True, eq=False)
class Diagnosed:
    """All that the report is made from."""

    subject: Subject
    kept: Mapping[str, Kept]
    verdict: Verdict
    settings: DiagnoseSettings


def diagnose_page(diagnosed: Diagnosed, *, command: str, seconds: float) -> Page:
    """The report."""
    return Page("Diagnosis", list(diagnosed.verdict.sentences))


def summarise_diagnosis(diagnosed: Diagnosed, folder: Path, seconds: float) -> list[str]:
    """The verdict, for the terminal."""
    return list(diagnosed.verdict.sentences)
