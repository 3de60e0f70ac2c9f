"""The first screen of a diagnosis: the verdict, what proves it, images that show it, and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from shapsight.drawing.style import number
from shapsight.drawing.viewer import Shown
from shapsight.report.page import Answer, Card
from shapsight.studies.diagnose.diagnosis import Diagnosis
from shapsight.studies.diagnose.look.pictures import EXPLAINED
from shapsight.studies.diagnose.verdict.facts import DiagnosisFacts
from shapsight.studies.diagnose.why.pictures import CHANGED
from shapsight.studies.shared.examples import plain_image
from shapsight.studies.shared.first_screen import cards, error_evidence, glance
from shapsight.studies.shared.words import called, shell, times

SWAPPED = (
    "mixed-rand",
    "mixed-same",
    "control",
)  # the first of these that there is stands on the first screen


def first_screen(diagnosed: Diagnosis) -> Answer:
    """The answer of a diagnosis."""
    examined, verdict = diagnosed.examined, diagnosed.verdict
    case, explained = examined.case, _images(diagnosed, "look", EXPLAINED)

    def shown(at: int) -> Shown | Mapping[str, Any]:
        row = case.rows.iloc[at].to_dict()
        return explained.get(row["path"]) or plain_image(case.images[at], row, case.manifest, case.bundle)

    found = [*cards(case.rows, case.manifest, examined.facts, shown), *swapped(diagnosed)]
    following, what = next_step(diagnosed)
    return Answer(
        verdict.headline,
        evidence(diagnosed.facts),
        found,
        glance(examined.errors, case.manifest, examined.facts),
        next=following,
        next_is=what,
        level=verdict.level,
    )


def evidence(facts: DiagnosisFacts) -> str:
    """One sentence with at most three numbers: the error elsewhere, and what another scene does to a prediction."""
    errors, why, look = facts.errors, facts.why, facts.look
    fails = (
        f"In {called(errors.worst or '')} its error is {times(errors.ratio)} as at home"
        if isfinite(errors.ratio)
        else ""
    )
    if why.scene_change.is_known and why.region_change.is_known:
        what = "the probability of its answer" if why.is_classes else why.output
        swapped = (
            f"another scene alone changes {what} by {number(why.scene_change.value, 2)}, another region of interest by "
            f"{number(why.region_change.value, 2)}"
        )
        return f"{fails}; {swapped}." if fails else f"{swapped[0].upper()}{swapped[1:]}."
    if fails and look.home.scene_share.is_known:
        return f"{fails}; at home the scene contributes {look.home.scene_share.value:.0%} of what moves {look.output}."
    return error_evidence(errors)


def next_step(diagnosed: Diagnosis) -> tuple[str, str]:
    """The command that tries the remedies advised, or else names a region of interest; and what it does."""
    examined, verdict = diagnosed.examined, diagnosed.verdict
    recipes = [advice.recipe for advice in verdict.advice if advice.recipe]
    what = "Try what may cure it"
    if not recipes:
        return _with_region(diagnosed)
    if examined.subject.folder is None:
        return f"shapsight.cure(your_training_function, photos, recipes={recipes})", what
    roi = [] if examined.roi is None else ["--roi", examined.roi]
    return shell("shapsight", "cure", examined.subject.folder, "--try", ",".join(recipes), *roi), what


def _with_region(diagnosed: Diagnosis) -> tuple[str, str]:
    """The same with a region of interest, the lower half for a start, where there was none and nothing was found."""
    examined = diagnosed.examined
    if examined.roi is not None or examined.subject.folder is None or diagnosed.verdict.level == "ok":
        return "", ""
    row = int(examined.case.rows["height"].median()) // 2
    said = "Say what it should use, such as all below a row: then scenes can be swapped"
    return shell("shapsight", "diagnose", examined.subject.folder, "--roi", f"below:{row}"), said


def _images(diagnosed: Diagnosis, part: str, title: str) -> dict[str, Mapping[str, Any]]:
    """The images of a picture by their keys; none where the part was not done."""
    found = diagnosed.parts.get(part)
    pictures = () if found is None else found.pictures
    images = [image for picture in pictures if picture.alt == title for image in picture.images]
    return {str(image["key"]): image for image in images if isinstance(image, Mapping)}


def swapped(diagnosed: Diagnosis) -> list[Card]:
    """The region of an image, best one of a trained place, before another scene, with what the prediction was."""
    images = _images(diagnosed, "why", CHANGED)
    manifest = diagnosed.examined.case.manifest
    groups = list(dict.fromkeys(key.rpartition("|")[0] for key in images))
    places = {group: _place_of(group, manifest.environments) for group in groups}
    for group in sorted(groups, key=lambda group: places[group] not in manifest.train_on):
        before = images.get(f"{group}|original")
        for name in SWAPPED:
            after = images.get(f"{group}|{name}")
            if before is None or after is None:
                continue
            was, now = (str(each["caption"]).partition(": ")[2] for each in (before, after))
            marks = [{**mark, "kind": "other"} for mark in before["marks"] if mark["kind"] == "prediction"]
            return [
                Card(
                    {**after, "marks": [*after["marks"], *marks], "key": f"first|{after['key']}"},
                    f"{called(places[group])}, another scene pasted in"
                    if places[group]
                    else "Another scene pasted in",
                    f"The model said {was}, now {now}.",
                )
            ]
    return []


def _place_of(group: str, environments: Sequence[str]) -> str:
    """The environment that the title of a group begins with, whose name may hold any sign; empty where it has none."""
    return max((name for name in environments if group.startswith(f"{name}: ")), key=len, default="")
