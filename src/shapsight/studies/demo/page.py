"""The demo's report and its lines: what fails, why, what was tried, and whether that is the cure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from shapsight.drawing.charts.intervals import errors_at_a_glance
from shapsight.drawing.style import number
from shapsight.report.page import Answer, Column, Page, Picture, Section, Table
from shapsight.studies.demo.facts import Attempt, Demo
from shapsight.studies.diagnose.diagnosis import Diagnosis
from shapsight.studies.diagnose.first_screen import evidence, swapped
from shapsight.studies.diagnose.why.pictures import CHANGED
from shapsight.studies.shared.first_screen import cards_of_both
from shapsight.studies.shared.narrator import duration
from shapsight.studies.shared.outcome import Outcome
from shapsight.studies.shared.sections import contribution_sections, settings_table, training_section
from shapsight.studies.shared.words import count, labelled
from shapsight.studies.tasks import regression

YOURS = "shapsight debug YOUR_PHOTOS --train-on ONE_ROOM --out runs/mine"


def demo_page(story: Demo, first: Outcome, last: Outcome, *, note: str, command: str, seconds: float) -> Page:
    """The report; `note` is what a reader has to know of the form that it was told in."""
    return Page(
        title="A car that drives by its camera, on one track in three rooms",
        answer=Answer(
            _verdict(story),
            _evidence(story),
            [
                *swapped(story.before),
                *cards_of_both({"Before": first, "After": last}, story.best.judged_in[-1]),
            ],
            Picture(
                _errors((*story.attempts[:1], story.best), ["before", "after"]),
                "The error in each room, before and after",
                f"Error of {first.manifest.targets[0]} before and after (MSE)",
            ),
            next=YOURS,
            next_is="Ask it of your own photographs",
            level=story.after.verdict.level if story.before.verdict.level == "shortcut" else "unknown",
        ),
        sections=[
            _verdict_section("Why does it fail?", story.before, "before", [note] if note else []),
            _attempt_section(story),
            _verdict_section(f"Is {_said(story)} the cure?", story.after, "after"),
            regression.comparison_section(first, last),
            *contribution_sections([first, last]),
            *regression.error_sections([first, last]),
            training_section([first, last]),
        ],
        settings=settings_table(first, command, seconds),
    )


def _verdict(story: Demo) -> str:
    """At most twelve words."""
    before, after = story.before.verdict.level, story.after.verdict.level
    if (before, after) == ("shortcut", "ok"):
        return f"It steered by the room; {_said(story)} cured it."
    return f"First verdict: {before}. After {_said(story)}: {after}."


def _said(story: Demo) -> str:
    """The best recipe in words: `"more-environments and swap-scene"`."""
    return " and ".join(story.best.recipe.split("+"))


def _evidence(story: Demo) -> str:
    """The error where no attempt was trained, before and after."""
    room, baseline = story.best.judged_in[-1], story.attempts[0]
    was, now = (number(each.errors[room].value, 2) for each in (baseline, story.best))
    return f"In {room}, which no training saw, the error of {story.manifest.targets[0]} falls from {was} to {now}."


def _errors(attempts: Sequence[Attempt], names: Sequence[str]) -> Any:
    """A chart of the errors of some attempts in each room."""
    rows = [
        {
            "environment": room,
            "split": "",
            "model": name,
            "mse": e.value,
            "mse_low": e.low,
            "mse_high": e.high,
        }
        for each, name in zip(attempts, names, strict=True)
        for room, e in each.errors.items()
    ]
    return errors_at_a_glance(pd.DataFrame(rows), attempts[0].trained_on)


def _verdict_section(heading: str, found: Diagnosis, which: str, notes: Sequence[str] = ()) -> Section:
    said = found.verdict
    why = found.parts.get("why")
    pictures = [] if why is None else [_named(each, which) for each in why.pictures if each.alt == CHANGED]
    return Section(
        heading,
        f"{said.headline} {evidence(found.facts)}",
        pictures,
        text="\n\n".join([f"Verdict: {said.level}.", *said.sentences, *said.reasons]),
        notes=notes,
    )


def _named(picture: Picture, which: str) -> Picture:
    """The same images of two models are two images."""
    images: list[Mapping[str, Any]] = [
        {
            **image,
            "key": f"{which}|{image['key']}",
            "beside": image["beside"] and f"{which}|{image['beside']}",
        }
        for image in picture.images
        if isinstance(image, Mapping)
    ]
    return Picture(images, f"{picture.alt}, {which}", picture.caption, picture.first)


def _attempt_section(story: Demo) -> Section:
    rooms = list(story.attempts[0].errors)
    rows = [
        {"recipe": each.recipe, "trained on": ", ".join(each.trained_on)}
        | {room: each.errors[room].value for room in rooms}
        for each in story.attempts
    ]
    unseen = " and ".join(story.best.judged_in)
    names = [each.recipe for each in story.attempts]
    return Section(
        "What was tried?",
        f"{_said(story)} has the lowest error in {unseen}, which none of the trainings saw.",
        [Picture(_errors(story.attempts, names), "The error in each room by recipe")],
        text=f"Each recipe was trained once, with as many images as the first model. They are compared by the error in "
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


def summary(story: Demo, said: Sequence[str], note: str, seconds: float) -> list[str]:
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
            "Before": story.before.verdict.headline,
            "After": story.after.verdict.headline,
            "Answer": said,
            f"MSE of {story.manifest.targets[0]}": tried,
            **({"Note": note} if note else {}),
            "Report": f"{story.report()}   ({duration(seconds)})",
        }
    )
