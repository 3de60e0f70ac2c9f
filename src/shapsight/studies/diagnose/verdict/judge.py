"""The verdict: what the numbers of a diagnosis come to, in a few sentences, with the evidence behind each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from shapsight.studies.diagnose.verdict.advice import Advice, advise
from shapsight.studies.diagnose.verdict.words import (
    Evidence,
    contributions,
    errors,
    interventions,
    known,
)
from shapsight.studies.shared.facts import Fact

Facts = Mapping[str, Mapping[str, Fact]]
Level = Literal["ok", "suspicious", "shortcut", "unknown"]


@dataclass(frozen=True)
class Thresholds:
    """Where levels begin, and why there.

    Attributes
        shortcut: the scene's Shapley share of the prediction's variance from which it takes part in deciding. A tenth
            of the variance is a third of the prediction's standard deviation: enough to turn a steering.
        clear: the share below which, as far as its interval reaches, the scene is cleared.
        harm: how many times as high the error becomes on swapped scenes as on the most alike ones, whose cut is the
            same. Below it, a dependence on the scene does not cost much where it was tested.
        fails: how many times as high the error is in another environment, beyond both intervals, to say that a model
            fails there; `unexplained` the share of the target's variance that it must amount to besides, since twice
            a tiny error is a small error (of classes: the share of wrong labels).
        part: the share of the prediction's variance that the scene contributes where the model was trained (from the
            attributions, checked against exact values), from which what it knows counts as evidence. A tenth, as above.
        knows: the correlation of the scene's contribution with the target where the model was trained, from which it
            is said to know the target: 0.3 is about a tenth of the target's variance. Of classes 0.3 of the way from
            chance to certainty.
        at_home: the scene's share of the variance on swapped scenes inside the places that were trained on, from which
            what it contributes is more than where the region is not (which a scene says as well, and is no shortcut).
            Twice what 17 worlds without a shortcut reached at most, 1 %; it was 5 % at first, which missed 3 of 17
            shortcuts. Scenes of other places are left out: new ones may move a prediction by being new.
        forgets: the share of that correlation that may be left elsewhere, beyond both intervals, for what the scene
            knows to be knowledge of the trained places only. Half: what carries over better is no shortcut.
    """

    shortcut: float = 0.10
    clear: float = 0.10
    harm: float = 1.5
    fails: float = 2.0
    unexplained: float = 0.10
    part: float = 0.10
    knows: float = 0.30
    at_home: float = 0.02
    forgets: float = 0.50


@dataclass(frozen=True)
class Verdict:
    """What a diagnosis comes to.

    Attributes
        level: "shortcut": swapping the scene changes predictions and makes them worse; or it changes them, and what the
            scene contributes tells the target where the model was trained and not elsewhere. "suspicious": some of the
            evidence points there, or the model fails elsewhere and the scene is not why. "ok": the tests were made and
            nothing was found. "unknown": too little could be tested.
        headline: the level in words; sentences: one to three, computed from the facts.
        reasons: why this level and no other; advice: what to try, and why.
        evidence: the facts behind each sentence.
    """

    level: Level
    headline: str
    sentences: tuple[str, ...]
    reasons: tuple[str, ...]
    advice: tuple[Advice, ...]
    evidence: tuple[Evidence, ...]


def judge(facts: Facts, thresholds: Thresholds | None = None) -> Verdict:
    """Judge a model by the facts of the parts that were done.

        judge({"errors": {...}, "look": {...}, "why": {...}}).sentences

    A test counts more than a hint: where scenes were swapped, attribution outside the region makes no model suspicious.
    A part that is missing, or a fact that is None, is no evidence for anything.
    """
    limits = Thresholds() if thresholds is None else thresholds
    if facts.get("errors", {}).get("is_constant"):
        return _constant(facts)
    found = [part for part in (errors(facts), contributions(facts), interventions(facts)) if part is not None]
    level, headline, reasons = _level(facts, limits)
    return Verdict(
        level=level,
        headline=headline,
        sentences=tuple(part.sentence for part in found),
        reasons=(*reasons, *_trust(facts)),
        advice=advise(facts, level, fails=fails_elsewhere(facts, limits)),
        evidence=tuple(found),
    )


def _level(facts: Facts, limits: Thresholds) -> tuple[Level, str, tuple[str, ...]]:
    """The level, in words, and the reasons for it."""
    fails = fails_elsewhere(facts, limits)
    why = facts.get("why", {})
    share, high = known(why, "scene_share"), known(why, "scene_share_high")
    if share is None:
        return _untested(facts, limits, fails)
    part = f"the scene makes up {share:.0%} of the prediction's variance"
    harm, is_harmful = _harm(why, limits)
    told, tells = _tells_at_home_only(facts, limits)
    is_open = high is not None and high > limits.clear
    reach = f"{_capital(part)}, but its interval reaches up to {high:.0%}" if is_open else _capital(part)
    takes_part = f"{_capital(part)} ({limits.shortcut:.0%} or more counts as a shortcut if it does harm)."
    is_sure = share >= limits.shortcut and (known(why, "scene_share_low") or 0) >= limits.shortcut / 2
    if is_sure and is_harmful:
        return (
            "shortcut",
            "A shortcut: the scene takes part in deciding, and that does harm.",
            (takes_part, harm),
        )
    home = known(why, "scene_share_home") or 0.0
    # What the scene contributes also says where the region is not, which is no shortcut: swapped scenes must agree.
    if tells and min(share, home) >= limits.at_home:
        swapped = f"Swapped scenes agree: {part}, {home:.0%} where it was trained ({limits.at_home:.0%} is the limit)."
        return (
            "shortcut",
            "A shortcut: the scene tells the model the target where it was trained, and only there.",
            (told, swapped),
        )
    if share >= limits.shortcut or (is_harmful and share >= limits.shortcut / 2):
        return "suspicious", "Suspicious: the evidence for a shortcut is mixed.", (takes_part, harm)
    if fails and is_open:
        return "suspicious", "It fails elsewhere, and the evidence that the scene takes part is weak.", (
            f"{reach}: the scene can neither be blamed nor cleared by these images ({limits.clear:.0%} is the limit).",
        )  # fmt: skip
    if fails:
        return "suspicious", "It fails elsewhere, but the scene is not why.", (
            f"{reach}, less than {limits.shortcut:.0%}: what does not carry over lies inside the region of "
            "interest, such as light, floor or the region's own look.",
        )  # fmt: skip
    if is_open:
        return "suspicious", "No shortcut was found, but too few images were tested to rule one out.", (
            f"{reach}; ok needs it below {limits.clear:.0%}.",
        )  # fmt: skip
    return "ok", "No shortcut was found: the prediction follows the region of interest.", (
        f"{_capital(part)} (up to {high:.0%} by its interval, less than {limits.clear:.0%})."
        if high is not None
        else f"{_capital(part)}.",
    )  # fmt: skip


def _tells_at_home_only(facts: Facts, limits: Thresholds) -> tuple[str, bool]:
    """Whether what the scene contributes tells the target where the model was trained, and not elsewhere."""
    look = facts.get("look", {})
    part, part_low = known(look, "scene_variance_home"), known(look, "scene_variance_home_low")
    names = [f"scene_knows_{place}{end}" for place in ("home", "elsewhere") for end in ("", "_low", "_high")]
    knowledge = [known(look, name) for name in names]
    if part is None or part_low is None or any(value is None for value in knowledge):
        return "", False
    values = [value for value in knowledge if value is not None]
    # Of classes 0.5 is chance and 1 certainty, of targets 0 and 1.
    home, home_low, _, away, _, away_high = [2 * v - 1 for v in values] if look.get("is_classes") else values
    takes_part = part >= limits.part and part_low >= limits.part / 2
    tells = home >= limits.knows and home_low > 0 and away <= limits.forgets * home and away_high < home_low
    said = (
        f"Where it was trained the scene contributes {part:.0%} of the prediction's variance, and what it contributes "
        f"tells the target ({values[0]:.2f}); elsewhere it does not ({values[3]:.2f})."
    )
    return said, takes_part and tells


def _untested(facts: Facts, limits: Thresholds, fails: bool) -> tuple[Level, str, tuple[str, ...]]:
    """Without swapped scenes there are hints only."""
    look = facts.get("look", {})
    told, tells = _tells_at_home_only(facts, limits)
    hints = [told] if tells else []
    for place, said in (("home", "Where it was trained"), ("elsewhere", "Elsewhere")):
        if look.get(f"does_move_{place}") is False:
            hints.append(f"{said}, the attribution stays at the same places whatever the target.")
    missing = "No scene was swapped, so nothing of this is a proof."
    if fails or hints:
        said = "It fails elsewhere" if fails else "Suspicious"
        return "suspicious", f"{said}, and whether the scene is why was not tested.", (*hints, missing)
    return "unknown", "Nothing was found, but too little was tested.", (missing,)


def _harm(why: Mapping[str, Fact], limits: Thresholds) -> tuple[str, bool]:
    """Whether swapped scenes make predictions worse than the cut alone does."""
    control, swapped = known(why, "control_error"), known(why, "swapped_error")
    low = known(why, "harm_low")
    if control is None or swapped is None or low is None:
        return "Whether that does harm is not known.", False
    is_harmful = low > 0 and swapped >= limits.harm * control
    times = f"{swapped / control:.2g} times as high" if control > 0 else "higher"
    if is_harmful:
        return (
            f"On swapped scenes the error is {times} as on the most alike ones ({swapped:.3g} against {control:.3g}).",
            True,
        )
    return (
        f"On swapped scenes the error is {swapped:.3g}, on the most alike ones {control:.3g}: little harm.",
        False,
    )


def fails_elsewhere(facts: Facts, limits: Thresholds | None = None) -> bool:
    """Whether the error in another environment is higher than at home, beyond both intervals and by enough."""
    limits = Thresholds() if limits is None else limits
    found = facts.get("errors", {})
    ratio, low, high = known(found, "ratio"), known(found, "worst_error_low"), known(found, "home_error_high")
    part = known(found, "worst_unexplained")
    if ratio is None or part is None or low is None or high is None:
        return False
    return ratio >= limits.fails and low > high and part >= limits.unexplained


def _trust(facts: Facts) -> tuple[str, ...]:
    """What the tests of the explanations say of the hints."""
    trust = facts.get("trust", {})
    if trust.get("level") in ("weak", "mixed"):
        return (
            f"The explanations failed the tests of {trust.get('failed_checks')}: where attribution lies is a weak hint "
            "here, and swapped scenes count.",
        )
    return ()


def _constant(facts: Facts) -> Verdict:
    output = facts["errors"].get("output")
    what = "class" if output == "label" else str(output)
    return Verdict(
        "unknown",
        "The model says the same of every image.",
        (
            f"The model says the same {what} of every image, so no pixel matters to it and nothing can be explained.",
        ),
        (),
        (Advice("", "Look at the training first: losses, learning rate, and whether the targets vary."),),
        (),
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
