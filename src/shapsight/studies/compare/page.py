"""What a comparison of two models comes to, its sentences, and its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from shapsight.diagnosis.estimate import Estimate
from shapsight.diagnosis.groups import EVERY
from shapsight.drawing.charts.intervals import errors_at_a_glance
from shapsight.drawing.style import number
from shapsight.report.page import Answer, Column, Page, Picture, Section, Table, plain
from shapsight.studies.shared.first_screen import cards_of_both
from shapsight.studies.shared.found import Found
from shapsight.studies.shared.narrator import duration
from shapsight.studies.shared.outcome import Outcome
from shapsight.studies.shared.sections import contribution_sections, contribution_words, made_with
from shapsight.studies.shared.words import LETTERS, called, count, gap_sentence, labelled, shell
from shapsight.studies.tasks.task import task_of

KINDS = ("lower", "higher", "not told apart from noise")
OF_EACH = ("errors", "predictions")
SURE, UNSURE = "more than the choice of images explains", "no more than the choice of images explains"


def compare_page(
    compared: Comparison, settings: Mapping[str, object], *, command: str, seconds: float
) -> Page:
    """The report."""
    first, second = both = compared.first, compared.second
    task = task_of(first.manifest)
    return Page(
        title=f"{first.name} and {second.name} on the same images",
        answer=_answer(compared),
        sections=[
            _change_section(compared),
            task.comparison_section(first, second),
            *contribution_sections(both),
            *task.error_sections(both),
        ],
        settings=made_with(settings, command, seconds),
    )


def _answer(compared: Comparison) -> Answer:
    first, second = compared.first, compared.second
    changes = compared.changes(compared.targets[0])
    most = max(changes, key=lambda each: abs(each.by.value))
    what, second_folder = task_of(first.manifest).error_label(compared.targets[0]), compared.folder_of_second
    return Answer(
        verdict=_verdict(compared, changes),
        evidence=f"{what} in {called(most.environment)}: {number(most.first, 2)} with {called(first.name)}, "
        f"{number(most.second, 2)} with "
        f"{called(second.name)}; the difference is {SURE if most.is_sure else UNSURE}.",
        cards=cards_of_both({first.name: first, second.name: second}, most.environment),
        chart=Picture(
            errors_at_a_glance(_both(compared), first.manifest.train_on),
            f"{what} of both models by environment",
            f"{what} by environment",
        ),
        next="" if second_folder is None else shell("shapsight", "diagnose", second_folder),
        next_is=f"Ask where {called(second.name)} looks",
    )


def _verdict(compared: Comparison, changes: Sequence[Change]) -> str:
    """At most twelve words."""
    lower, higher = (sum(each.kind == kind for each in changes) for kind in KINDS[:2])
    if not lower and not higher:
        return "The two models cannot be told apart."
    names = [compared.second.name, compared.first.name]
    if not all(0 < len(name) <= LETTERS and len(name.split()) <= 2 for name in names):
        names = ["The second", "the first"]
        if lower < higher:
            names = ["The first", "the second"]
    elif lower < higher:
        names.reverse()
    better, worse = names
    return f"{better} does better than {worse} in {max(lower, higher)} of {len(changes)} environments."


def _both(compared: Comparison) -> pd.DataFrame:
    """The errors of both models under each other, of the first target."""
    table = compared.table[compared.table["target"] == compared.targets[0]]
    rows = table[table["environment"] != EVERY]
    return pd.concat(
        [
            rows.assign(mse=rows[end], mse_low=np.nan, mse_high=np.nan, split="", model=each.name)
            for end, each in (("first", compared.first), ("second", compared.second))
        ],
        ignore_index=True,
    )


def _change_section(compared: Comparison) -> Section:
    columns = (
        *plain("environment", "target"),
        Column("images", format="d"),
        Column("first", compared.first.name, ".3g"),
        Column("second", compared.second.name, ".3g"),
        Column("change", "change", "+.2g", low="change_low", high="change_high"),
    )
    return Section(
        "Which model has the lower error?",
        _change_sentence(compared),
        text="Mean squared errors (for labels: shares of wrong ones) on the same held-out images, which neither model "
        "was trained on. The change is taken image by image; its interval is 95 % percentile bootstrap over images and "
        "does not hold the luck of the two trainings.",
        tables=[Table(compared.table, "Errors and their change", columns)],
        notes=compared.notes,
    )


def sentences(compared: Comparison) -> list[str]:
    """How the error changes, how much the scene contributes in both, and what to know of the images."""
    first, second = compared.first, compared.second
    shares = [f"{each.name}: {said}" for each in (first, second) for said in contribution_words(each)]
    return [_change_sentence(compared), *shares, *compared.notes]


def _change_sentence(compared: Comparison) -> str:
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


def summary(compared: Comparison, run: Path, seconds: float) -> list[str]:
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


@dataclass(frozen=True)
class Change:
    """The error of one target in one environment, of both models on the same images."""

    environment: str
    first: float
    second: float
    by: Estimate

    @property
    def kind(self) -> str:
        """Whether it is lower or higher beyond the luck of the images."""
        return "lower" if self.by.high < 0 else "higher" if self.by.low > 0 else "not told apart from noise"

    @property
    def is_sure(self) -> bool:
        """Whether it is told apart from noise."""
        return self.kind != KINDS[2]

    def values(self, form: str = ".3g") -> str:
        """`"0.31 → 0.12"`."""
        return f"{self.first:{form}} → {self.second:{form}}"


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Comparison(Found):
    """Two models on the same images: `.table` (the errors and their change), `.first`, `.second`, `.report(path)`.

    Attributes
        first, second: both models, judged and explained.
        table: a row for each environment and target: both errors, and their change with its interval.
        notes: what a reader should know of the images.
    """

    first: Outcome
    second: Outcome
    table: pd.DataFrame
    notes: tuple[str, ...]
    folder_of_second: Path | None = None

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """`change`, and the `errors` and `predictions` of both."""
        both = {"first": self.first, "second": self.second}
        named = {f"{kind}_{end}": getattr(each, kind) for end, each in both.items() for kind in OF_EACH}
        return {"change": self.table, **named}

    @property
    def targets(self) -> tuple[str, ...]:
        """What is predicted; sentences are about the first. Labels are one target."""
        return tuple(dict.fromkeys(self.table["target"].astype(str)))

    def changes(self, target: str) -> list[Change]:
        """The change of one target, environment by environment."""
        rows = self.table[self.table["target"] == target]
        single = rows[rows["environment"] != EVERY]
        return [
            Change(row["environment"], row["first"], row["second"], Estimate.in_row(row, "change"))
            for row in (single if len(single) else rows).to_dict("records")
        ]
