"""The lines that `train` ends with."""

from __future__ import annotations

from pathlib import Path

from shapsight.studies.shared.narrator import duration
from shapsight.studies.shared.outcome import Trained
from shapsight.studies.shared.sections import model_sentence
from shapsight.studies.shared.words import data_sentence, labelled, skipped_sentence
from shapsight.studies.tasks.task import task_of


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
