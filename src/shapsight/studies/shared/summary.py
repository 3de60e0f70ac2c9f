"""The ten lines that a command ends with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from shapsight.studies.shared.analysis import Judged, Outcome, Trained
from shapsight.studies.shared.contribution_words import contribution_sentences
from shapsight.studies.shared.error_words import (
    count,
    error_sentence,
    errors_of,
    gap_sentence,
)
from shapsight.studies.shared.narrator import duration
from shapsight.studies.tasks.classification_words import accuracies, accuracy_sentence


def summarise(outcome: Outcome, run: Path, seconds: float) -> list[str]:
    """What one model's run came to."""
    training = outcome.training
    return [
        _data(outcome),
        f"Model      {training.bundle.card.arch}, weights {training.bundle.card.training.get('weights', 'unknown')}, "
        f"best epoch {training.best_epoch} of {outcome.settings.epochs}",
        *measures(outcome),
        f"Answer     {answer(outcome)}",
        *_contributions(outcome),
        f"Explained  {gap_sentence(outcome)}",
        f"Left out   {_skipped(outcome)}",
        f"Report     {run / 'report.html'}   ({duration(seconds)})",
    ]


def summarise_training(trained: Trained, run: Path, seconds: float) -> list[str]:
    """What a training came to."""
    card = trained.training.bundle.card
    return [
        _data(trained),
        f"Model      {card.arch}, weights {card.training.get('weights', 'unknown')}, best epoch "
        f"{trained.training.best_epoch} of {trained.settings.epochs}, resumed {card.training['resumed']} times",
        *measures(trained),
        f"Answer     {answer(trained)}",
        f"Left out   {_skipped(trained)}",
        f"Next       shapsight evaluate {run} DATA   |   shapsight explain {run} IMAGES --method deep",
        f"Report     {run / 'report.html'}   ({duration(seconds)})",
    ]


def answer(judged: Judged) -> str:
    """One sentence."""
    return accuracy_sentence(judged) if judged.manifest.class_names else error_sentence(judged)


def measures(judged: Judged) -> list[str]:
    """A line for each target, or for each place of a classification."""
    return _accuracies(judged) if judged.manifest.class_names else _errors([judged])


def _data(judged: Judged) -> str:
    sizes = judged.manifest.table["environment"].value_counts(sort=False)
    environments = ", ".join(f"{name} {size}" for name, size in sizes.items())
    images = count(len(judged.manifest), "image")
    return f"Data       {images} in {count(len(sizes), 'environment')}: {environments}"


def summarise_comparison(before: Outcome, after: Outcome, run: Path, seconds: float) -> list[str]:
    """What two models' run came to, side by side."""
    return [
        f"World      {count(len(before.manifest), 'image')} of {count(len(before.manifest.environments), 'room')}, "
        "rendered, the same track in each",
        f"Models     {before.training.bundle.card.arch} trained on {before.name}; the same trained on {after.name}",
        *_errors([before, after]),
        f"Before     {error_sentence(before)}",
        *_contributions(before),
        f"After      {error_sentence(after)}",
        *_contributions(after),
        f"Explained  {gap_sentence(after)}",
        f"Report     {run / 'report.html'}   ({duration(seconds)})",
    ]


def _errors(outcomes: Sequence[Judged]) -> list[str]:
    """A line for each target, environment by environment."""
    lines = []
    wide = max(3, *map(len, outcomes[0].manifest.targets)) + 1
    for target in outcomes[0].manifest.targets:
        for outcome in outcomes:
            parts = ", ".join(
                f"{entry.environment} {entry.mse:.3g} ({entry.split})" for entry in errors_of(outcome, target)
            )
            lines.append(f"MSE of {target:<{wide}}{f'{outcome.name}: ' if len(outcomes) > 1 else ''}{parts}")
    return lines


def _accuracies(outcome: Judged) -> list[str]:
    return [f"Accuracy   {place} {accuracy}" for place, accuracy in accuracies(outcome)]


def _contributions(outcome: Outcome) -> list[str]:
    sentences = contribution_sentences(
        outcome.contributions,
        outcome.manifest.output_names[0],
        home=outcome.manifest.train_on,
        is_classes=bool(outcome.manifest.class_names),
    )
    return [f"           {sentence}" for sentence in sentences]


def _skipped(outcome: Judged) -> str:
    skipped = len(outcome.manifest.skipped)
    return f"{count(skipped, 'file')}, with the reasons in skipped.csv" if skipped else "no file"
