"""The report of a comparison: errors, regions and explanations of two models, side by side."""

from __future__ import annotations

from collections.abc import Mapping

from shapsight.report.page import Column, KeyFigure, Page, Section, Table
from shapsight.studies.compare.facts import Compared
from shapsight.studies.compare.words import sentences
from shapsight.studies.shared.sections import contribution_sections, made_with
from shapsight.studies.tasks.task import task_of


def compare_page(compared: Compared, settings: Mapping[str, object], *, command: str, seconds: float) -> Page:
    """The report."""
    first, second = both = compared.first, compared.second
    task = task_of(first.manifest)
    return Page(
        title=f"{first.name} and {second.name} on the same images",
        answer=sentences(compared),
        key_figures=_key_figures(compared),
        sections=[
            _change_section(compared),
            *task.error_sections(both),
            *contribution_sections(both),
            task.comparison_section(first, second),
        ],
        settings=made_with(settings, command, seconds),
    )


def _key_figures(compared: Compared) -> list[KeyFigure]:
    target = compared.targets[0]
    what = task_of(compared.first.manifest).error_label(target)
    return [
        KeyFigure(
            f"{what} in {each.environment}",
            each.values(".2g"),
            f"change {each.by.value:+.2g}, 95 % {each.by.low:+.2g} to {each.by.high:+.2g}",
        )
        for each in compared.changes(target)
    ]


def _change_section(compared: Compared) -> Section:
    columns = (
        Column("environment"),
        Column("target"),
        Column("images", format="d"),
        Column("first", compared.first.name, ".3g"),
        Column("second", compared.second.name, ".3g"),
        Column("change", "change", "+.2g", low="change_low", high="change_high"),
    )
    return Section(
        "Which model has the lower error?",
        "Mean squared errors (for labels: shares of wrong ones) on the same held-out images, which neither model was "
        "trained on. The change is taken image by image; its interval is 95 % percentile bootstrap over images, and "
        "does not hold the luck of the two trainings.",
        tables=[Table(compared.change, "Errors and their change", columns)],
        notes=compared.notes,
    )
