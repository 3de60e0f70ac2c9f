"""The lines that the demo ends with."""

from __future__ import annotations

from pathlib import Path

from shapsight.studies.shared.narrator import duration
from shapsight.studies.shared.outcome import Outcome
from shapsight.studies.shared.sections import contribution_words
from shapsight.studies.shared.words import count, gap_sentence, labelled
from shapsight.studies.tasks import regression


def summary(before: Outcome, after: Outcome, run: Path, seconds: float) -> list[str]:
    """What two models' run came to, side by side."""
    rooms = count(len(before.manifest.environments), "room")
    world = f"{count(len(before.manifest), 'image')} of {rooms}, rendered, the same track in each"
    models = f"{before.training.bundle.card.arch} trained on {before.name}; the same trained on {after.name}"
    return [
        *labelled({"World": world, "Models": models}),
        *regression.measured_lines([before, after]),
        *labelled(
            {
                "Before": [regression.answer(before), *contribution_words(before)],
                "After": [regression.answer(after), *contribution_words(after)],
                "Explained": gap_sentence(after.explanation),
                "Report": f"{run / 'report.html'}   ({duration(seconds)})",
            }
        ),
    ]
