"""The report of the demo: two models, side by side."""

from __future__ import annotations

from shapsight.report.page import KeyFigure, Page
from shapsight.studies.shared.outcome import Outcome
from shapsight.studies.shared.sections import (
    contribution_sections,
    contribution_words,
    settings_table,
    training_section,
)
from shapsight.studies.tasks import regression


def demo_page(before: Outcome, after: Outcome, *, command: str, seconds: float) -> Page:
    """The report of two models, side by side."""
    target = before.manifest.targets[0]
    errors = (f"{at.environment} MSE {at.said('.3g')}" for at in after.measured("mse", target))
    return Page(
        title="The same track in three rooms: what a model learned, and what more rooms change",
        answer=[
            regression.answer(before),
            *contribution_words(before),
            f"After training on {after.name}: {'; '.join(errors)}.",
            *contribution_words(after),
        ],
        key_figures=_key_figures(before, after),
        sections=[
            regression.comparison_section(before, after),
            *contribution_sections([before, after]),
            *regression.error_sections([before, after]),
            training_section([before, after]),
        ],
        settings=settings_table(before, command, seconds),
    )


def _key_figures(before: Outcome, after: Outcome) -> list[KeyFigure]:
    target = before.manifest.targets[0]
    change = f"trained on {before.name} → on {after.name}"
    errors, shares = (
        [{at.environment: at.found.value for at in each.measured("mse", target)} for each in (before, after)],
        [each.shares(target) for each in (before, after)],
    )
    return [
        KeyFigure(
            f"{what} {target} in {place}", " → ".join(f"{each[place]:{form}}" for each in found), change
        )
        for what, found, form in (("MSE of", errors, ".2g"), ("scene's share of", shares, ".0%"))
        for place in before.manifest.environments
        if all(place in each for each in found)
    ]
