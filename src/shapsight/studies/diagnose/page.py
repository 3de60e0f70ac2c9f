"""The report of a diagnosis: the verdict first, then each question with its pictures and numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from shapsight.diagnosis.groups import EVERY
from shapsight.drawing.charts.intervals import accuracy_bars, error_bars
from shapsight.report.page import Page, Picture, Section, Table
from shapsight.studies.diagnose.case import Case
from shapsight.studies.diagnose.diagnosis import Diagnosis
from shapsight.studies.diagnose.examined import Examined
from shapsight.studies.diagnose.findings import Findings
from shapsight.studies.diagnose.first_screen import first_screen, next_step
from shapsight.studies.diagnose.parts import PARTS
from shapsight.studies.diagnose.verdict.judge import Verdict
from shapsight.studies.shared.asked import written
from shapsight.studies.shared.first_screen import error_evidence
from shapsight.studies.shared.narrator import duration
from shapsight.studies.shared.sections import made_with
from shapsight.studies.shared.words import count, labelled
from shapsight.studies.tasks.classification import ACCURACY
from shapsight.studies.tasks.regression import ERRORS


def diagnose_page(diagnosed: Diagnosis, to_come: Sequence[str] = (), *, command: str, seconds: float) -> Page:
    """The report; `to_come` are parts that are still being made."""
    examined, verdict = diagnosed.examined, diagnosed.verdict
    names = ", ".join(to_come)
    return Page(
        title=f"{examined.subject.name}, diagnosed{f' so far; still to come: {names}' if to_come else ''}",
        answer=first_screen(diagnosed),
        sections=[
            _verdict_section(verdict),
            _error_section(examined),
            *(_part_section(found) for found in diagnosed.parts.values()),
            _evidence_section(verdict),
            _left_out_section(diagnosed, to_come),
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
    if following := next_step(diagnosed)[0]:
        said["Next"] = following
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


def _verdict_section(verdict: Verdict) -> Section:
    """Why this level, and what to try."""
    tried = [f"{each.recipe}: {each.why}" if each.recipe else each.why for each in verdict.advice]
    return Section(
        "Why this verdict, and what to try?",
        verdict.reasons[0] if verdict.reasons else "There is nothing to give reasons for.",
        text="\n\n".join(verdict.sentences),
        notes=[*verdict.reasons[1:], *(tried or ["Nothing needs to be tried."])],
    )


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
        text="The facts of the verdict's sentences, by part and name; each part's facts.json holds all of them, and "
        "docs/diagnosis.md says what each means.",
        tables=[Table(pd.DataFrame(rows), "Facts")] if rows else [],
    )


def _written(value: object) -> str:
    return f"{value:.3g}".replace("-", "−") if isinstance(value, float) else str(value)


def _error_section(examined: Examined) -> Section:
    is_classes = bool(examined.case.manifest.class_names)
    single = examined.errors[examined.errors["environment"] != EVERY]
    if is_classes:
        drawn = Picture(accuracy_bars(single), "Accuracy by environment", "Share of images told right.")
    else:
        drawn = Picture(error_bars(single), "Mean squared error by environment")
    return Section(
        "How large is the error?",
        error_evidence(examined.facts),
        [drawn],
        [Table(examined.errors, "Errors", ACCURACY if is_classes else ERRORS)],
        text="Of all images of the dataset. Intervals are 95 % bootstrap intervals over images.",
    )


def _part_section(found: Findings) -> Section:
    """A part's answer, all of its pictures, and the tables that are worth reading on a page; all are files."""
    part, tables = PARTS[found.part], found.tables
    return Section(
        part.question,
        part.lead(found.facts),
        found.pictures,
        [
            Table(shown.rows(tables[shown.name]), shown.caption, shown.present(tables[shown.name]))
            for shown in part.tables
            if shown.name in tables and len(tables[shown.name])
        ],
        text="\n\n".join([*found.sentences, *part.notes]),
        notes=found.left_out,
    )


def _left_out_section(diagnosed: Diagnosis, to_come: Sequence[str]) -> Section:
    """What was not done, and why."""
    why = dict.fromkeys(to_come, "is still being made: look again later")
    missing = [
        f"{part.question} This {why.get(name, 'was not asked (--only)')}."
        for name, part in PARTS.items()
        if name not in diagnosed.parts
    ]
    notes = (*diagnosed.examined.notes, *missing)
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
