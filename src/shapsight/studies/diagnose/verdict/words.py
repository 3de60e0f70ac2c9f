"""The sentences of a verdict, each computed from the facts that stand behind it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from shapsight.studies.shared.facts import Fact

Facts = Mapping[str, Mapping[str, Fact]]


@dataclass(frozen=True)
class Evidence:
    """A sentence of the verdict and the facts that it says, by part and name, such as "why.scene_share"."""

    sentence: str
    facts: Mapping[str, Fact]


def known(facts: Mapping[str, Fact], name: str) -> float | None:
    """A fact that is a finite number; None for any other."""
    value = facts.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def errors(facts: Facts) -> Evidence | None:
    """How much higher the error is where the model was not trained."""
    found = facts.get("errors", {})
    home, worst = known(found, "home_error"), known(found, "worst_error")
    trained = f"Trained on {found.get('home')}"
    if worst is None and home is None:
        return None
    if not found.get("home"):
        said = (
            f"On another dataset than its own, the model has {_measured(found, 'worst')} in {found.get('worst')}, "
            "where it is worst."
        )
    elif home is None:
        said = f"{trained}, with no image held out, the model has {_measured(found, 'worst')} in {found.get('worst')}."
    elif worst is None:
        said = f"{trained}, the model has {_measured(found, 'home')} on held-out images; no other environment is left."
    else:
        ratio = known(found, "ratio")
        if ratio is None:
            compared = "higher than"
        elif 0.9 <= ratio <= 1.1:
            compared = "about as high as at home"
        else:
            compared = f"{ratio:.2g} times as high as at home"
        said = (
            f"{trained}, the model's error is {compared} in {found.get('worst')} "
            f"({_measured(found, 'worst')}, against {home:.2g}{_interval(found, 'home')})."
        )
        said = said.replace(" higher than in", " higher in")
    names = ("home", "home_error", "home_error_low", "home_error_high", "home_images", "worst", "worst_error")
    return Evidence(
        said,
        _named("errors", found, (*names, "worst_error_low", "worst_error_high", "worst_images", "ratio")),
    )


def _measured(found: Mapping[str, Fact], name: str) -> str:
    """Such as MSE 0.31, 95 % 0.27 to 0.36."""
    value = known(found, f"{name}_error")
    if found.get("is_classes"):
        low, high = known(found, f"{name}_error_low"), known(found, f"{name}_error_high")
        between = "" if low is None or high is None else f", 95 % {low:.0%} to {high:.0%}"
        return f"{value:.0%} wrong labels{between}"
    low, high = known(found, f"{name}_error_low"), known(found, f"{name}_error_high")
    between = "" if low is None or high is None else f", 95 % {low:.2g} to {high:.2g}"
    return f"{found.get('short')} {value:.2g}{between}"


def _interval(found: Mapping[str, Fact], name: str) -> str:
    low, high = known(found, f"{name}_error_low"), known(found, f"{name}_error_high")
    return "" if low is None or high is None else f", {low:.2g} to {high:.2g}"


def contributions(facts: Facts) -> Evidence | None:
    """How much of what moves the prediction comes from the scene, and whether that knows the target."""
    look = facts.get("look", {})
    shares, knowledge, names = [], [], []
    for place, where in (("home", "where it was trained"), ("elsewhere", "elsewhere")):
        share, low, high = (known(look, f"scene_share_{place}{end}") for end in ("", "_low", "_high"))
        if share is None:
            continue
        names += [f"scene_share_{place}{end}" for end in ("", "_low", "_high")]
        between = "" if low is None or high is None else f" (95 % {low:.0%} to {high:.0%})"
        shares.append(f"{share:.0%} {where}{between}")
        knows = known(look, f"scene_knows_{place}")
        if knows is not None:
            names.append(f"scene_knows_{place}")
            knowledge.append(f"{knows:.2f} {where}")
    if not shares:
        return None
    said = f"The scene contributes {' and '.join(shares)} of what moves {look.get('output')}"
    if knowledge:
        of_classes = "how often its part puts the right label first"
        measure = of_classes if look.get("is_classes") else "its correlation with the target"
        said += f"; {measure} is {' and '.join(knowledge)}"
    return Evidence(f"{said}.", _named("look", look, names))


def interventions(facts: Facts) -> Evidence | None:
    """How far predictions move when only the scene is replaced, and when only the region is."""
    why = facts.get("why", {})
    scene, region = known(why, "scene_change"), known(why, "region_change")
    if scene is None or region is None:
        return None
    flips = known(why, "scene_flips")
    is_classes = bool(why.get("is_classes"))
    what = "the probability of its label" if is_classes else str(why.get("output"))
    turns = ""
    if flips is not None and why.get("has_two_sides"):
        turns = f" and {'changes the label' if is_classes else 'flips its sign'} in {flips:.0%} of images"
    share, low, high = (known(why, name) for name in ("scene_share", "scene_share_low", "scene_share_high"))
    part = ""
    if share is not None:
        between = "" if low is None or high is None else f" (95 % {low:.0%} to {high:.0%})"
        part = f"; of the prediction's variance the scene makes up {share:.0%}{between}"
    said = (
        f"Replacing only the scene moves {what} by {scene:.2g} on average{turns}; replacing only the region of "
        f"interest moves it by {region:.2g}{part}."
    )
    names = (
        "scene_change",
        "scene_change_low",
        "scene_change_high",
        "scene_flips",
        "region_change",
        "control_change",
    )
    shares = ("scene_share", "scene_share_low", "scene_share_high", "harm", "harm_low", "harm_high")
    return Evidence(said, _named("why", why, (*names, *shares)))


def _named(part: str, facts: Mapping[str, Fact], names: tuple[str, ...] | list[str]) -> dict[str, Fact]:
    return {f"{part}.{name}": facts.get(name) for name in names}
