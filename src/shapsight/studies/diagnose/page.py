"""What a diagnosis came to, and its report: the verdict first, then each question with its numbers and pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

import pandas as pd

from shapsight.report.page import KeyFigure, Page, Picture, Section, Table
from shapsight.studies.diagnose.case import Case
from shapsight.studies.diagnose.examined import Examined
from shapsight.studies.diagnose.findings import Findings
from shapsight.studies.diagnose.parts import PARTS
from shapsight.studies.diagnose.verdict.facts import DiagnosisFacts
from shapsight.studies.diagnose.verdict.judge import Verdict
from shapsight.studies.shared.asked import written
from shapsight.studies.shared.found import Found
from shapsight.studies.shared.narrator import duration
from shapsight.studies.shared.sections import made_with
from shapsight.studies.shared.settings import DiagnoseSettings
from shapsight.studies.shared.words import count, labelled
from shapsight.studies.tasks.classification import ACCURACY
from shapsight.studies.tasks.regression import ERRORS


@dataclass(frozen=True, eq=False, kw_only=True)
class Diagnosis(Found):
    """What a diagnosis came to: `.verdict`, `.facts`, `.tables`, `.figures`, `.parts`, `.report("why.html")`.

        found.verdict.level                     # "ok", "suspicious", "shortcut" or "unknown"
        found.facts.why.scene_share             # Estimate(value, low, high)
        found.tables["why.variants"]            # a DataFrame
        found.figures["look.heatmaps"]          # a PNG file

    Attributes
        verdict: the level, the sentences, why, and what to try.
        facts: all numbers that the verdict reads: of the errors, and of each part.
        parts: what each part found: `look`, `why`, `strategies`, `trust`.
        examined: the model, its errors, and the images that were looked at.
    """

    examined: Examined
    parts: Mapping[str, Findings[Path]]
    facts: DiagnosisFacts
    verdict: Verdict
    settings: DiagnoseSettings

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """`errors`, `images` (those that were looked at), and the parts' tables as "PART.TABLE"."""
        of_parts = {
            f"{part}.{name}": t for part, found in self.parts.items() for name, t in found.tables.items()
        }
        return {"errors": self.examined.errors, "images": self.examined.case.rows, **of_parts}

    @property
    def figures(self) -> Mapping[str, Path]:
        """The parts' PNG files, as "PART.NAME"."""
        return {
            f"{part}.{path.stem.partition('_')[2]}": path
            for part, found in self.parts.items()
            for path in found.figures.values()
        }


def diagnose_page(diagnosed: Diagnosis, *, command: str, seconds: float) -> Page:
    """The report."""
    examined, verdict = diagnosed.examined, diagnosed.verdict
    return Page(
        title=verdict.headline.rstrip("."),
        answer=verdict.sentences,
        key_figures=_key_figures(diagnosed.facts),
        sections=[
            _verdict_section(verdict),
            _error_section(examined),
            *(_part_section(found) for found in diagnosed.parts.values()),
            _evidence_section(verdict),
            _left_out_section(diagnosed),
        ],
        settings=_settings(diagnosed, command, seconds),
    )


def summarise_diagnosis(diagnosed: Diagnosis, folder: Path, seconds: float) -> list[str]:
    """The verdict and where everything is, for the terminal."""
    verdict, examined = diagnosed.verdict, diagnosed.examined
    said: dict[str, str | list[str]] = {
        "Verdict": [f"{verdict.level}: {verdict.headline}", *verdict.sentences],
        "Because": [*verdict.reasons],
        "Try": [f"{each.recipe}: {each.why}" if each.recipe else each.why for each in verdict.advice],
    }
    recipes = ",".join(advice.recipe for advice in verdict.advice if advice.recipe)
    if recipes:
        roi, run = "" if examined.roi is None else f" --roi {examined.roi}", examined.subject.folder
        of_own = (
            "the model is your own: shapsight.cure(train, photos, recipes=[...]) takes your training function"
        )
        said["Next"] = of_own if run is None else f"shapsight cure {run} --try {recipes}{roi}"
    said |= {
        "Looked at": f"{count(len(examined.case.rows), 'image')} of {_looked_at(examined.case)}",
        "Report": f"{folder / 'report.html'}   ({duration(seconds)})",
    }
    return labelled(said)


def _looked_at(case: Case) -> str:
    counts = case.rows.groupby(["environment", "split"], sort=False).size().reset_index(name="images")
    places = [
        f"{row['images']} of {row['environment']} ({row['split']})" for row in counts.to_dict("records")
    ]
    return f"{len(case.manifest)}: {', '.join(places)}"


def _key_figures(facts: DiagnosisFacts) -> list[KeyFigure]:
    errors, look, why, trust = facts.errors, facts.look, facts.why, facts.trust
    figures = []
    if isfinite(errors.ratio):
        title = f"error in {errors.worst} over that at home"
        figures.append(KeyFigure(title, f"{errors.ratio:.2g} ×", errors.measure))
    shares = {
        f"scene's share of {look.output}, at home": look.home.scene_share,
        f"scene's share of {look.output}, elsewhere": look.elsewhere.scene_share,
        "of the prediction's variance from the scene": why.scene_share,
    }
    figures += [
        KeyFigure(title, f"{share.value:.0%}", share.between(".0%"))
        for title, share in shares.items()
        if share.is_known
    ]
    if trust.checks:
        passed = f"{trust.checks_passed} of {trust.checks}"
        figures.append(KeyFigure("tests that the explanations passed", passed, trust.level))
    return figures


def _verdict_section(verdict: Verdict) -> Section:
    """Why this level, and what to try."""
    tables = []
    if verdict.advice:
        advice = [{"recipe": entry.recipe or "–", "why": entry.why} for entry in verdict.advice]
        tables.append(Table(pd.DataFrame(advice), "What to try (shapsight cure --try RECIPE)"))
    intro = " ".join(verdict.reasons) or "There is nothing to give reasons for."
    if not verdict.advice:
        intro += "\n\nNothing needs to be tried."
    return Section("Why this verdict, and what to try?", intro, tables=tables)


def _evidence_section(verdict: Verdict) -> Section:
    """The facts behind each sentence, an interval beside its value."""
    rows = []
    for number, part in enumerate(verdict.evidence, start=1):
        for name, value in part.facts.items():
            if value is None or name.endswith(("_low", "_high")):
                continue
            low, high = (part.facts.get(f"{name}_{end}") for end in ("low", "high"))
            between = "" if low is None or high is None else f"{_written(low)} to {_written(high)}"
            rows.append({"sentence": number, "fact": name, "value": _written(value), "95 %": between})
    return Section(
        "What stands behind each sentence?",
        "The facts of the sentences at the top, by part and name; each part's facts.json holds all of them, and "
        "docs/diagnosis.md says what each means.",
        tables=[Table(pd.DataFrame(rows))] if rows else [],
    )


def _written(value: object) -> str:
    return f"{value:.3g}".replace("-", "−") if isinstance(value, float) else str(value)


def _error_section(examined: Examined) -> Section:
    columns = ACCURACY if examined.case.manifest.class_names else ERRORS
    table = Table(examined.errors, "", columns)
    return Section(
        "How large is the error?",
        "Of all images of the dataset. Intervals are 95 % bootstrap intervals over images.",
        tables=[table],
    )


def _part_section(found: Findings[Path]) -> Section:
    """A part's sentences, all of its pictures, and the tables that are worth reading on a page; all are files."""
    part, tables = PARTS[found.part], found.tables
    return Section(
        part.question,
        "\n\n".join([*found.sentences, *part.notes]),
        tables=[
            Table(shown.rows(tables[shown.name]), shown.caption, shown.present(tables[shown.name]))
            for shown in part.tables
            if shown.name in tables and len(tables[shown.name])
        ],
        pictures=[
            Picture(found.charts.get(title, path), title, title) for title, path in found.figures.items()
        ],
        notes=found.left_out,
    )


def _left_out_section(diagnosed: Diagnosis) -> Section:
    """What was not done, and why."""
    missing = [part.question for name, part in PARTS.items() if name not in diagnosed.parts]
    notes = (*diagnosed.examined.notes, *(f"{question} This was not asked (--only)." for question in missing))
    return Section("What was left out?", "" if notes else "Nothing.", notes=notes)


def _settings(diagnosed: Diagnosis, command: str, seconds: float) -> Mapping[str, str]:
    case, bundle = diagnosed.examined.case, diagnosed.examined.case.bundle
    given = {name: value for name, value in written(diagnosed.settings).items() if name != "reading"}
    took = "; ".join(f"{name} {duration(found.seconds)}" for name, found in diagnosed.parts.items())
    used = {
        "model": f"{bundle.name}, {bundle.fingerprint[:12]}",
        "images looked at": f"{len(case.rows)} of {_looked_at(case)}",
        "region of interest": diagnosed.examined.roi or "none",
        **given,
        "parts took": took or "nothing",
    }
    return made_with(used, command, seconds)
