"""What a comparison comes to, in sentences, and the lines that it ends with."""

from __future__ import annotations

from pathlib import Path

from shapsight.studies.compare.facts import Compared
from shapsight.studies.shared.narrator import duration
from shapsight.studies.shared.sections import contribution_words
from shapsight.studies.shared.words import count, gap_sentence, labelled
from shapsight.studies.tasks.task import task_of

KINDS = ("lower", "higher", "not told apart from noise")


def sentences(compared: Compared) -> list[str]:
    """How the error changes, how much the scene contributes in both, and what to know of the images."""
    first, second = compared.first, compared.second
    shares = [f"{each.name}: {said}" for each in (first, second) for said in contribution_words(each)]
    return [_change_sentence(compared), *shares, *compared.notes]


def _change_sentence(compared: Compared) -> str:
    """Where the second model's error is lower, higher or not to be told apart from the first one's."""
    target = compared.targets[0]
    changes = compared.changes(target)
    places = {
        kind: [f"{each.environment} ({each.values()})" for each in changes if each.kind == kind]
        for kind in KINDS
    }
    said = "; ".join(f"{kind} in {', '.join(where)}" for kind, where in places.items() if where)
    what = task_of(compared.first.manifest).error_name(target)
    return f"The {what} of {compared.second.name}, beside {compared.first.name}: {said}."


def summary(compared: Compared, run: Path, seconds: float) -> list[str]:
    """What the comparison came to, for the terminal."""
    first, task = compared.first, task_of(compared.first.manifest)
    images = count(len(first.predictions), "image")
    changes = {
        task.error_label(target): ", ".join(
            f"{each.environment} {each.values()} ({each.by.low:+.2g} to {each.by.high:+.2g})"
            for each in compared.changes(target)
        )
        for target in compared.targets
    }
    return labelled(
        {
            "Images": f"{images} that neither was trained on, {len(first.explained)} of them explained",
            "Models": f"{first.name} → {compared.second.name}",
            **changes,
            "Answer": sentences(compared),
            "Explained": gap_sentence(compared.second.explanation),
            "Report": f"{run / 'report.html'}   ({duration(seconds)})",
        }
    )
