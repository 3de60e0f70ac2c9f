"""The report of a diagnosis: the verdict first, then each question with its numbers and pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from shapsight.models.bundle import library_versions
from shapsight.report.page import KeyFigure, Page, Picture, Section, Table
from shapsight.studies.diagnose.kept_findings import Kept
from shapsight.studies.diagnose.parts import PARTS
from shapsight.studies.diagnose.settings import DiagnoseSettings
from shapsight.studies.diagnose.subject import Subject
from shapsight.studies.diagnose.verdict.judge import Verdict
from shapsight.studies.diagnose.verdict.words import known
from shapsight.studies.shared.narrator import duration
from shapsight.studies.shared.words import count
from shapsight.studies.tasks.classification import ACCURACY
from shapsight.studies.tasks.regression import ERRORS


@dataclass(frozen=True, eq=False)
class Diagnosed:
    """All that the report is made from."""

    subject: Subject
    kept: Mapping[str, Kept]
    verdict: Verdict
    settings: DiagnoseSettings


def diagnose_page(diagnosed: Diagnosed, *, command: str, seconds: float) -> Page:
    """The report."""
    subject, verdict = diagnosed.subject, diagnosed.verdict
    return Page(
        title=verdict.headline.rstrip("."),
        answer=verdict.sentences,
        key_figures=_key_figures(diagnosed),
        sections=[
            _verdict_section(diagnosed),
            _error_section(subject),
            *(_part_section(kept) for kept in diagnosed.kept.values()),
            _evidence_section(verdict),
            _left_out_section(diagnosed),
        ],
        settings=_settings(diagnosed, command, seconds),
    )


def summarise_diagnosis(diagnosed: Diagnosed, folder: Path, seconds: float) -> list[str]:
    """The verdict and where everything is, for the terminal."""
    verdict, subject = diagnosed.verdict, diagnosed.subject
    lines = [f"Verdict    {verdict.level}: {verdict.headline}"]
    lines += [f"           {sentence}" for sentence in verdict.sentences]
    lines += [
        f"{'Because' if not number else '':<11}{reason}" for number, reason in enumerate(verdict.reasons)
    ]
    for number, advice in enumerate(verdict.advice):
        said = f"{advice.recipe}: {advice.why}" if advice.recipe else advice.why
        lines.append(f"{'Try' if not number else '':<11}{said}")
    recipes = ",".join(advice.recipe for advice in verdict.advice if advice.recipe)
    if recipes:
        lines.append(f"Next       shapsight cure {subject.run} --try {recipes}{_roi_option(subject)}")
    return [
        *lines,
        f"Looked at  {count(len(subject.rows), 'image')} of {len(subject.manifest)}: {_places(subject)}",
        f"Report     {folder / 'report.html'}   ({duration(seconds)})",
    ]


def _roi_option(subject: Subject) -> str:
    return "" if subject.roi is None else f" --roi {subject.roi}"


def _places(subject: Subject) -> str:
    counts = subject.rows.groupby(["environment", "split"], sort=False).size().reset_index(name="images")
    return ", ".join(
        f"{row['images']} of {row['environment']} ({row['split']})" for row in counts.to_dict("records")
    )


def _key_figures(diagnosed: Diagnosed) -> list[KeyFigure]:
    facts = {"errors": diagnosed.subject.facts} | {name: kept.facts for name, kept in diagnosed.kept.items()}
    errors, look, why = (facts.get(part, {}) for part in ("errors", "look", "why"))
    figures = []
    ratio = known(errors, "ratio")
    if ratio is not None:
        figures.append(
            KeyFigure(
                f"error in {errors['worst']} over that at home", f"{ratio:.2g} ×", str(errors["measure"])
            )
        )
    for place, said in (("home", "at home"), ("elsewhere", "elsewhere")):
        share, low, high = (known(look, f"scene_share_{place}{end}") for end in ("", "_low", "_high"))
        if share is not None:
            interval = "" if low is None or high is None else f"95 % {low:.0%} to {high:.0%}"
            figures.append(KeyFigure(f"scene's share of {look['output']}, {said}", f"{share:.0%}", interval))
    share = known(why, "scene_share")
    if share is not None:
        interval = f"95 % {why['scene_share_low']:.0%} to {why['scene_share_high']:.0%}"
        figures.append(KeyFigure("of the prediction's variance from the scene", f"{share:.0%}", interval))
    trust = facts.get("trust", {})
    if trust.get("checks"):
        passed = f"{trust['checks_passed']} of {trust['checks']}"
        figures.append(KeyFigure("tests that the explanations passed", passed, str(trust["level"])))
    return figures


def _verdict_section(diagnosed: Diagnosed) -> Section:
    """Why this level, what to try, and the facts behind each sentence."""
    verdict = diagnosed.verdict
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


def _error_section(subject: Subject) -> Section:
    columns = ACCURACY if subject.manifest.class_names else ERRORS
    table = Table(subject.errors, "", columns)
    return Section(
        "How large is the error?",
        "Of all images of the dataset. Intervals are 95 % bootstrap intervals over images.",
        tables=[table],
    )


def _part_section(kept: Kept) -> Section:
    """A part's sentences, its main tables, and all of its pictures."""
    part = PARTS[kept.part]
    pictures = [Picture(path, title, title) for title, path in kept.figures.items()]
    return Section(
        part.question,
        "\n\n".join([*kept.sentences, *part.notes]),
        tables=_tables(kept),
        pictures=pictures,
        notes=kept.left_out,
    )


def _tables(kept: Kept) -> list[Table]:
    """The tables that are worth reading on a page, with the columns that are; all are files."""
    return [
        Table(shown.rows(kept.tables[shown.name]), shown.caption, shown.present(kept.tables[shown.name]))
        for shown in PARTS[kept.part].tables
        if shown.name in kept.tables and len(kept.tables[shown.name])
    ]


def _left_out_section(diagnosed: Diagnosed) -> Section:
    """What was not done, and why."""
    missing = [PARTS[name].question for name in PARTS if name not in diagnosed.kept]
    notes = [*diagnosed.subject.notes]
    notes += [f"{question} This was not asked (--only)." for question in missing]
    intro = "" if notes else "Nothing."
    return Section("What was left out?", intro, notes=tuple(notes))


def _settings(diagnosed: Diagnosed, command: str, seconds: float) -> Mapping[str, str]:
    subject = diagnosed.subject
    given = {
        name: str(value) for name, value in asdict(diagnosed.settings).items() if value not in (None, ())
    }
    given.pop("reading", None)
    took = "; ".join(f"{name} {duration(kept.seconds)}" for name, kept in diagnosed.kept.items())
    versions = ", ".join(f"{name} {version}" for name, version in library_versions().items())
    return {
        "command": command,
        "model": f"{subject.bundle.card.arch}, weights {subject.bundle.card.model_hash[:12]}",
        "images looked at": f"{len(subject.rows)} of {len(subject.manifest)}: {_places(subject)}",
        "region of interest": subject.roi or "none",
        **given,
        "versions": versions,
        "parts took": took or "nothing",
        "took": duration(seconds),
    }
