"""The ten lines that a command ends with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from shapsight.jobs.analysis import Outcome
from shapsight.jobs.findings import (
    count,
    duration,
    error_sentence,
    errors_of,
    gap_sentence,
    relevance_sentence,
)


def summarise(outcome: Outcome, run: Path, seconds: float) -> list[str]:
    """What one model's run came to."""
    manifest, training = outcome.manifest, outcome.training
    sizes = manifest.table["environment"].value_counts(sort=False)
    environments = ", ".join(f"{name} {size}" for name, size in sizes.items())
    return [
        f"Data       {count(len(manifest), 'image')} in {count(len(sizes), 'environment')}: {environments}",
        f"Model      {training.bundle.card.arch}, weights {training.bundle.card.training.get('weights', 'unknown')}, "
        f"best epoch {training.best_epoch} of {outcome.settings.epochs}",
        *_errors([outcome]),
        f"Answer     {error_sentence(outcome)}",
        f"           {relevance_sentence(outcome.relevance, manifest.targets[0])}",
        f"Explained  {gap_sentence(outcome)}",
        f"Left out   {_skipped(outcome)}",
        f"Report     {run / 'report.html'}   ({duration(seconds)})",
    ]


def summarise_comparison(before: Outcome, after: Outcome, run: Path, seconds: float) -> list[str]:
    """What two models' run came to, side by side."""
    target = before.manifest.targets[0]
    return [
        f"World      {count(len(before.manifest), 'image')} of {count(len(before.manifest.environments), 'room')}, "
        "rendered, the same track in each",
        f"Models     {before.training.bundle.card.arch} trained on {before.name}; the same trained on {after.name}",
        *_errors([before, after]),
        f"Before     {error_sentence(before)}",
        f"           {relevance_sentence(before.relevance, target)}",
        f"After      {relevance_sentence(after.relevance, target)}",
        f"Explained  {gap_sentence(after)}",
        f"Report     {run / 'report.html'}   ({duration(seconds)})",
    ]


def _errors(outcomes: Sequence[Outcome]) -> list[str]:
    """A line for each target, environment by environment."""
    lines = []
    for target in outcomes[0].manifest.targets:
        for outcome in outcomes:
            parts = ", ".join(
                f"{entry.environment} {entry.mse:.3g} ({entry.split})" for entry in errors_of(outcome, target)
            )
            lines.append(f"MSE of {target:<4}{f'{outcome.name}: ' if len(outcomes) > 1 else ''}{parts}")
    return lines


def _skipped(outcome: Outcome) -> str:
    skipped = len(outcome.manifest.skipped)
    return f"{count(skipped, 'file')}, with the reasons in skipped.csv" if skipped else "no file"
