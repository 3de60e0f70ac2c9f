"""The demo's report and its lines: what fails, why, what was tried, and whether that is the cure."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from shapsight.report.page import Column, KeyFigure, Page, Section, Table
from shapsight.studies.demo.facts import Attempt, Demo
from shapsight.studies.diagnose.study import Diagnosis
from shapsight.studies.shared.narrator import duration
from shapsight.studies.shared.outcome import Outcome
from shapsight.studies.shared.sections import contribution_sections, settings_table, training_section
from shapsight.studies.shared.words import count, labelled
from shapsight.studies.tasks import regression


def demo_page(story: Demo, first: Outcome, last: Outcome, *, command: str, seconds: float) -> Page:
    """The report."""
    target = first.manifest.targets[0]
    return Page(
        title="It works at home and fails elsewhere: why, and what cures it",
        answer=answer(story),
        key_figures=[
            *_error_figures(story, target),
            KeyFigure(
                "verdict", f"{story.before.verdict.level} → {story.after.verdict.level}", _change(story)
            ),
        ],
        sections=[
            _verdict_section("Why does it fail?", story.before),
            _attempt_section(story),
            _verdict_section(f"Is that the cure? ({story.best.recipe})", story.after),
            regression.comparison_section(first, last),
            *contribution_sections([first, last]),
            *regression.error_sections([first, last]),
            training_section([first, last]),
        ],
        settings=settings_table(first, command, seconds),
    )


def answer(story: Demo) -> list[str]:
    """The story in four sentences."""
    target = story.manifest.targets[0]
    room = story.best.judged_in[-1]
    baseline = story.attempts[0]
    before, after = story.before.verdict, story.after.verdict
    return [
        before.sentences[0],
        f"Verdict before: {before.level}. {before.headline}",
        f"Of {len(story.attempts) - 1} remedies {story.best.recipe} has the lowest error in {room}, which none of "
        f"them saw: MSE of {target} {_in(story.best, room)}, against {_in(baseline, room)} without a remedy.",
        f"Verdict after: {after.level}. {after.headline}",
    ]


def _in(attempt: Attempt, room: str) -> str:
    found = attempt.errors[room]
    return f"{found.value:.2g}{found.in_brackets('.2g')}"


def _change(story: Demo) -> str:
    return f"before → after {story.best.recipe}"


def _error_figures(story: Demo, target: str) -> list[KeyFigure]:
    baseline = story.attempts[0]
    return [
        KeyFigure(
            f"MSE of {target} in {room}",
            f"{baseline.errors[room].value:.2g} → {story.best.errors[room].value:.2g}",
            _change(story),
        )
        for room in baseline.errors
    ]


def _verdict_section(heading: str, found: Diagnosis) -> Section:
    said = found.verdict
    return Section(heading, "\n\n".join([f"{said.level}: {said.headline}", *said.sentences, *said.reasons]))


def _attempt_section(story: Demo) -> Section:
    rooms = list(story.attempts[0].errors)
    rows = [
        {"recipe": each.recipe, "trained on": ", ".join(each.trained_on)}
        | {room: each.errors[room].value for room in rooms}
        for each in story.attempts
    ]
    unseen = " and ".join(story.best.judged_in)
    return Section(
        "What was tried?",
        f"Each recipe was trained once, with as many images as the first model. They are compared by the error in "
        f"{unseen}, which none of them saw. One training each does not tell a remedy from luck: shapsight cure "
        "trains in turns and with several seeds.",
        tables=[
            Table(
                pd.DataFrame(rows),
                f"Mean squared error of {story.manifest.targets[0]}, on images that were not trained on",
                (Column("recipe"), Column("trained on"), *(Column(room, format=".2g") for room in rooms)),
            )
        ],
    )


def summary(story: Demo, said: Sequence[str], seconds: float) -> list[str]:
    """What the demo came to, for the terminal."""
    rooms = list(story.attempts[0].errors)
    wide = max(len(each.recipe) for each in story.attempts)
    world = f"{count(len(story.manifest), 'image')} of {count(len(rooms), 'room')}, rendered, the same track in each"
    model = f"{story.bundle.card.arch} trained on {', '.join(story.manifest.train_on)}"
    tried = [
        f"{each.recipe:<{wide}}  {', '.join(f'{room} {each.errors[room].value:.2g}' for room in rooms)}"
        for each in story.attempts
    ]
    return labelled(
        {
            "World": world,
            "Model": model,
            "Answer": said,
            f"MSE of {story.manifest.targets[0]}": tried,
            "Report": f"{story.report()}   ({duration(seconds)})",
        }
    )
