"""The ten lines that `debug` ends with."""

from __future__ import annotations

from pathlib import Path

from shapsight.studies.shared.narrator import duration
from shapsight.studies.shared.outcome import Outcome
from shapsight.studies.shared.sections import contribution_words, model_sentence
from shapsight.studies.shared.words import data_sentence, gap_sentence, labelled, skipped_sentence
from shapsight.studies.tasks.task import task_of


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
