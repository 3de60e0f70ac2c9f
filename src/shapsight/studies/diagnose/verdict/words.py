"""The sentences of a verdict, each computed from the facts that stand behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Self

from shapsight.diagnosis.estimate import Estimate
from shapsight.studies.diagnose.look.facts import LookFacts
from shapsight.studies.diagnose.why.facts import WhyFacts
from shapsight.studies.shared.error_facts import ErrorFacts
from shapsight.studies.shared.facts import Fact, Facts
from shapsight.studies.shared.words import times

ENDS = ("_low", "_high")


@dataclass(frozen=True)
class Evidence:
    """A sentence of the verdict and the facts that it says, by part and name, such as "why.scene_share"."""

    sentence: str
    facts: Mapping[str, Fact]

    @classmethod
    def of(cls, sentence: str, part: str, facts: Facts, *names: str) -> Self:
        """With these facts; a star after a name stands for its interval: "scene_share*"."""
        flat = facts.to_json()
        said = [f"{name.rstrip('*')}{end}" for name in names for end in ("", *ENDS * name.endswith("*"))]
        return cls(sentence, {f"{part}.{name}": flat[name] for name in said})


def errors(found: ErrorFacts) -> Evidence | None:
    """How much higher the error is where the model was not trained."""
    home, worst = found.home_error, found.worst_error
    trained = f"Trained on {found.home}"
    if not home.is_known and not worst.is_known:
        return None
    if not found.home:
        said = (
            f"On these data, which count as unseen, the model has {_measured(found, worst)} in {found.worst}, where it "
            "is worst."
        )
    elif not home.is_known:
        said = f"{trained}, with no image held out, the model has {_measured(found, worst)} in {found.worst}."
    elif not worst.is_known:
        said = f"{trained}, the model has {_measured(found, home)} on held-out images; no other environment is left."
    else:
        between = f", {home.low:.2g} to {home.high:.2g}" if home.has_interval else ""
        said = (
            f"{trained}, the model's error in {found.worst} is {_compared(found.ratio)} ({_measured(found, worst)}, "
            f"against {home.value:.2g}{between})."
        )
    return Evidence.of(
        said, "errors", found, "home", "home_error*", "home_images", "worst", "worst_error*", "worst_images", "ratio"
    )  # fmt: skip


def _compared(ratio: float) -> str:
    if not isfinite(ratio):
        return "higher than at home"
    return "about as high as at home" if 0.9 <= ratio <= 1.1 else f"{times(ratio)} as at home"


def _measured(found: ErrorFacts, error: Estimate) -> str:
    """Such as MSE 0.31, 95 % 0.27 to 0.36."""
    form = ".0%" if found.is_classes else ".2g"
    value = f"{error.value:.0%} wrong labels" if found.is_classes else f"{found.metric} {error.value:.2g}"
    return f"{value}, {error.between(form)}" if error.has_interval else value


def contributions(look: LookFacts) -> Evidence | None:
    """How much of what moves the prediction comes from the scene, and whether that knows the target."""
    shares, knowledge, names = [], [], list[str]()
    for name, place, where in (
        ("home", look.home, "where it was trained"),
        ("elsewhere", look.elsewhere, "elsewhere"),
    ):
        share, knows = place.scene_share, place.scene_knows
        if not share.is_known:
            continue
        names.append(f"scene_share_{name}*")
        shares.append(f"{share.value:.0%} {where}{share.in_brackets('.0%')}")
        if knows.is_known:
            names.append(f"scene_knows_{name}")
            knowledge.append(f"{knows.value:.2f} {where}")
    if not shares:
        return None
    said = f"The scene contributes {' and '.join(shares)} of what moves {look.output}"
    if knowledge:
        of_classes = "how often its part puts the right label first"
        measure = of_classes if look.is_classes else "its correlation with the target"
        said += f"; {measure} is {' and '.join(knowledge)}"
    return Evidence.of(f"{said}.", "look", look, *names)


def interventions(why: WhyFacts) -> Evidence | None:
    """How far predictions move when only the scene is replaced, and when only the region is."""
    if not why.scene_change.is_known or not why.region_change.is_known:
        return None
    what = "the probability of its label" if why.is_classes else why.output
    turns = part = ""
    if why.scene_flips.is_known and why.has_two_sides:
        turned = "changes the label" if why.is_classes else "flips its sign"
        turns = f" and {turned} in {why.scene_flips.value:.0%} of images"
    if why.scene_share.is_known:
        part = f"; of the prediction's variance the scene makes up {why.scene_share.value:.0%}"
        part += why.scene_share.in_brackets(".0%")
    said = (
        f"Replacing only the scene moves {what} by {why.scene_change.value:.2g} on average{turns}; replacing only the "
        f"region of interest moves it by {why.region_change.value:.2g}{part}."
    )
    return Evidence.of(
        said, "why", why, "scene_change*", "scene_flips", "region_change", "control_change", "scene_share*", "harm*"
    )  # fmt: skip
