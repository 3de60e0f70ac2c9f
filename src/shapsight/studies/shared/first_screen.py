"""The first screen of a report on one model: how wrong it is where, and an image of either place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from shapsight.data.manifest import Manifest
from shapsight.diagnosis.groups import EVERY
from shapsight.diagnosis.prediction_errors import error_per_image
from shapsight.drawing.charts.intervals import errors_at_a_glance
from shapsight.drawing.style import number
from shapsight.drawing.viewer import Shown
from shapsight.report.page import Card, Picture
from shapsight.studies.shared.error_facts import ErrorFacts
from shapsight.studies.shared.examples import images_of, key_of, marks_of, typical
from shapsight.studies.shared.outcome import Outcome
from shapsight.studies.shared.words import LETTERS, called, count, times

SAME = (0.9, 1.1)  # ratios of errors that are told as no difference


def error_verdict(facts: ErrorFacts) -> str:
    """How much higher the error is elsewhere, in at most twelve words."""
    if facts.is_constant:
        return "It says the same of every image."
    worst, home = facts.worst_error, facts.home_error
    there = where(facts.worst or "")
    if not worst.is_known and not home.is_known:
        return "Its error is not known."
    if not worst.is_known:
        return f"{_measured(facts, home.value)} at home; there is nothing to compare with."
    if not home.is_known:
        return f"{_measured(facts, worst.value)} {there}; there is nothing to compare with."
    if SAME[0] <= facts.ratio <= SAME[1] or worst.value == home.value:
        return f"It does as well {there} as at home."
    if home.value == 0:
        return f"No error at home, but {_measured(facts, worst.value)} {there}."
    if facts.ratio < SAME[0]:
        return "It does no worse elsewhere than at home."
    return f"{there[0].upper()}{there[1:]} its error is {times(facts.ratio)} as at home."


def error_evidence(facts: ErrorFacts) -> str:
    """The two errors, in a sentence."""
    home, worst = facts.home_error, facts.worst_error
    at_home, elsewhere = called(facts.home), called(facts.worst or "")
    if not (home.is_known and worst.is_known):
        if home.is_known:
            return f"Measured on {count(facts.home_images, 'held-out image')} of {at_home}."
        return f"Measured on {count(facts.worst_images, 'image')} of {elsewhere}." if worst.is_known else ""
    said = (
        f"{worst.value:.0%} of the labels are wrong in {elsewhere}, {home.value:.0%}"
        if facts.is_classes
        else f"{facts.measure.capitalize()} is {number(worst.value, 2)} in {elsewhere} and {number(home.value, 2)}"
    )
    return f"{said} on held-out images of {at_home}, where it was trained."


def where(place: str) -> str:
    """`"in room_3"`; of a name that is no short word `"elsewhere"`, so that a verdict stays short."""
    return f"in {place}" if 0 < len(place) <= LETTERS and len(place.split()) == 1 else "elsewhere"


def _measured(facts: ErrorFacts, value: float) -> str:
    return f"{value:.0%} wrong labels" if facts.is_classes else f"MSE {number(value, 2)}"


def glance(errors: pd.DataFrame, manifest: Manifest, facts: ErrorFacts) -> Picture | None:
    """The error in each environment, as one small chart; of the first target, on images that were not trained on."""
    rows = errors if facts.is_classes else errors[errors["target"] == facts.output]
    rows = rows[rows["environment"] != EVERY]
    rows = rows[rows["split"] != "train"] if (rows["split"] != "train").any() else rows
    if rows.empty:
        return None
    what = "Wrong labels" if facts.is_classes else f"Error of {facts.output}"
    return Picture(
        errors_at_a_glance(rows, manifest.train_on),
        f"{what} by environment",
        f"{what} by environment{'' if facts.is_classes else ' (MSE)'}",
    )


def typical_images(
    rows: pd.DataFrame, manifest: Manifest, facts: ErrorFacts, elsewhere: str | None = None
) -> dict[str, int]:
    """Title -> position of a row: an image at home, and one of another environment, by default the worst.

    Each has the error that is nearest to the mean of its environment.
    """
    errors = error_per_image(rows, manifest)
    places = rows["environment"].to_numpy(str)
    at_home = np.isin(places, list(manifest.train_on))
    held_out = at_home & (rows["split"].to_numpy(str) != "train")
    wanted = {"At home": held_out if held_out.any() else at_home}
    elsewhere = elsewhere or facts.worst
    if elsewhere is not None:
        wanted["Elsewhere"] = places == elsewhere
    found = {title: typical(errors, among) for title, among in wanted.items()}
    return {f"{title}: {called(places[at])}": at for title, at in found.items() if at is not None}


def cards(
    rows: pd.DataFrame,
    manifest: Manifest,
    facts: ErrorFacts,
    shown: Callable[[int], Shown | Mapping[Any, Any]],
) -> Sequence[Card]:
    """The typical images as cards; `shown` gives the image of a position of `rows`."""
    found = []
    for title, at in typical_images(rows, manifest, facts).items():
        found.append(Card(shown(at), title, said_of(rows.iloc[at].to_dict(), manifest)))
    return found


def cards_of_both(outcomes: Mapping[str, Outcome], environment: str) -> list[Card]:
    """A typical image of an environment, explained for two models, each with its own prediction marked."""
    first, _ = outcomes.values()
    rows, manifest = first.explained, first.manifest
    places = typical_images(rows, manifest, first.facts, environment).values()
    at = next((at for at in places if rows["environment"].iloc[at] == environment), None)
    if at is None:
        return []
    image, outputs = images_of(outcomes)[at], len(first.explanation.names()[0])
    found = []
    for at_side, (name, outcome) in enumerate(outcomes.items()):
        row = outcome.explained.iloc[at].to_dict()
        marks = marks_of(row, manifest, outcome.training.bundle)
        shown = replace(image, marks=marks, key=key_of(image) if at_side == 0 else f"{name}|{key_of(image)}")
        title = f"{called(name)}: {called(environment)}"
        found.append(Card(shown, title, said_of(row, manifest), map=at_side * outputs))
    return found


def said_of(row: Mapping[Any, Any], manifest: Manifest) -> str:
    """`"x is 0.45, the model says 0.31"`."""
    if manifest.class_names:
        sure = float(row["confidence"])
        return f"It is “{row['label']}”; the model says “{row['predicted_label']}”, {sure:.0%} sure."
    name = manifest.targets[0]
    true, said = (number(float(row[column]), 2) for column in (name, f"predicted_{name}"))
    return f"{name} is {true}; the model says {said}."
