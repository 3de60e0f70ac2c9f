"""The verdict: what the numbers of a diagnosis come to, in a few sentences, with the evidence behind each."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Literal

from shapsight.diagnosis.estimate import Estimate
from shapsight.studies.diagnose.look.facts import LookFacts
from shapsight.studies.diagnose.trust.facts import TrustFacts
from shapsight.studies.diagnose.verdict.advice import Advice, advise
from shapsight.studies.diagnose.verdict.facts import DiagnosisFacts
from shapsight.studies.diagnose.verdict.words import Evidence, contributions, errors, interventions
from shapsight.studies.diagnose.why.facts import WhyFacts
from shapsight.studies.shared.error_facts import ErrorFacts
from shapsight.studies.shared.words import times

Level = Literal["ok", "suspicious", "shortcut", "unknown"]
Judgement = tuple[Level, str, tuple[str, ...]]  # with a headline, and the reasons


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

    def __repr__(self) -> str:
        return "\n    ".join((f"Verdict: {self.level}: {self.headline}", *self.sentences))


def judge(facts: DiagnosisFacts, thresholds: Thresholds | None = None) -> Verdict:
    """Judge a model by the facts of the parts that were done.

        judge(DiagnosisFacts(ErrorFacts(...), look(case).facts, why(case).facts)).sentences

    A test counts more than a hint: where scenes were swapped, attribution outside the region makes no model suspicious.
    A part that is missing, or a fact that is not known, is no evidence for anything.
    """
    limits = Thresholds() if thresholds is None else thresholds
    if facts.errors.is_constant:
        return _constant(facts.errors)
    found = [errors(facts.errors), contributions(facts.look), interventions(facts.why)]
    evidence = tuple(part for part in found if part is not None)
    fails = fails_elsewhere(facts.errors, limits)
    level, headline, reasons = _level(facts, limits, fails)
    return Verdict(
        level=level,
        headline=headline,
        sentences=tuple(part.sentence for part in evidence),
        reasons=(*reasons, *_trust(facts.trust)),
        advice=advise(facts, level, fails=fails),
        evidence=evidence,
    )


def _level(facts: DiagnosisFacts, limits: Thresholds, fails: bool) -> Judgement:
    """The level, in words, and the reasons for it."""
    share, home = facts.why.scene_share, facts.why.scene_share_home
    if not share.is_known:
        return _untested(facts, limits, fails)
    part = f"the scene makes up {share.value:.0%} of the prediction's variance"
    harm, is_harmful = _harm(facts.why, limits)
    told, tells = _tells_at_home_only(facts.look, limits)
    said = f"The scene{part.removeprefix('the scene')}"
    takes_part = f"{said} ({limits.shortcut:.0%} or more counts as a shortcut if it does harm)."
    if share.value >= limits.shortcut and share.low >= limits.shortcut / 2 and is_harmful:
        return (
            "shortcut",
            "A shortcut: the scene takes part in deciding, and that does harm.",
            (takes_part, harm),
        )
    # What the scene contributes also says where the region is not, which is no shortcut: swapped scenes must agree.
    if tells and share.value >= limits.at_home and home >= limits.at_home:
        swapped = f"Swapped scenes agree: {part}, {home:.0%} where it was trained ({limits.at_home:.0%} is the limit)."
        return (
            "shortcut",
            "A shortcut: the scene tells the target at home, and only there.",
            (told, swapped),
        )
    if share.value >= limits.shortcut or (is_harmful and share.value >= limits.shortcut / 2):
        return "suspicious", "Suspicious: the evidence for a shortcut is mixed.", (takes_part, harm)
    return _below(said, share, limits, fails)


def _below(said: str, share: Estimate, limits: Thresholds, fails: bool) -> Judgement:
    """Where the scene's share is too small for a shortcut: whether it is cleared, and whether the model fails."""
    is_open = share.high > limits.clear
    reach = f"{said}, but its interval reaches up to {share.high:.0%}" if is_open else said
    if fails and is_open:
        return "suspicious", "It fails elsewhere; whether the scene is why stays open.", (
            f"{reach}: the scene can neither be blamed nor cleared by these images ({limits.clear:.0%} is the limit).",
        )  # fmt: skip
    if fails:
        return "suspicious", "It fails elsewhere, but the scene is not why.", (
            f"{reach}, less than {limits.shortcut:.0%}: what does not carry over lies inside the region of "
            "interest, such as light, floor or the region's own look.",
        )  # fmt: skip
    if is_open:
        return "suspicious", "No shortcut was found, but too few images to rule one out.", (
            f"{reach}; ok needs it below {limits.clear:.0%}.",
        )  # fmt: skip
    by_interval = (
        f" (up to {share.high:.0%} by its interval, less than {limits.clear:.0%})"
        if isfinite(share.high)
        else ""
    )
    return "ok", "No shortcut was found: the prediction follows the region of interest.", (
        f"{said}{by_interval}.",
    )  # fmt: skip


def _tells_at_home_only(look: LookFacts, limits: Thresholds) -> tuple[str, bool]:
    """Whether what the scene contributes tells the target where the model was trained, and not elsewhere."""
    part, home, away = look.home.scene_variance, look.home.scene_knows, look.elsewhere.scene_knows
    if not (part.is_known and isfinite(part.low) and home.has_interval and away.has_interval):
        return "", False

    def knowledge(value: float) -> float:
        """Of classes 0.5 is chance and 1 certainty, of targets 0 and 1."""
        return 2 * value - 1 if look.is_classes else value

    takes_part = part.value >= limits.part and part.low >= limits.part / 2
    tells = knowledge(home.value) >= limits.knows and knowledge(home.low) > 0
    forgets = knowledge(away.value) <= limits.forgets * knowledge(home.value) and away.high < home.low
    said = (
        f"Where it was trained the scene contributes {part.value:.0%} of the prediction's variance, and what it "
        f"contributes tells the target ({home.value:.2f}); elsewhere it does not ({away.value:.2f})."
    )
    return said, takes_part and tells and forgets


def _untested(facts: DiagnosisFacts, limits: Thresholds, fails: bool) -> Judgement:
    """Without swapped scenes there are hints only."""
    look = facts.look
    told, tells = _tells_at_home_only(look, limits)
    hints = [told] if tells else []
    for place, where in ((look.home, "Where it was trained"), (look.elsewhere, "Elsewhere")):
        if place.does_move is False:
            hints.append(f"{where}, the attribution stays at the same places whatever the target.")
    missing = "No scene was swapped, so nothing of this is a proof."
    if fails or hints:
        said = "It fails elsewhere" if fails else "Suspicious"
        return "suspicious", f"{said}, and whether the scene is why was not tested.", (*hints, missing)
    return "unknown", "Nothing was found, but too little was tested.", (missing,)


def _harm(why: WhyFacts, limits: Thresholds) -> tuple[str, bool]:
    """Whether swapped scenes make predictions worse than the cut alone does."""
    control, swapped, least = why.control_error.value, why.swapped_error.value, why.harm.low
    if not all(map(isfinite, (control, swapped, least))):
        return "Whether that does harm is not known.", False
    if least > 0 and swapped >= limits.harm * control:
        higher = f"{times(swapped / control)} as" if control > 0 else "higher than"
        said = f"the error is {higher} on the most alike ones ({swapped:.3g} against {control:.3g})"
        return f"On swapped scenes {said}.", True
    said = f"the error is {swapped:.3g}, on the most alike ones {control:.3g}: little harm"
    return f"On swapped scenes {said}.", False


def fails_elsewhere(errors: ErrorFacts, limits: Thresholds | None = None) -> bool:
    """Whether the error in another environment is higher than at home, beyond both intervals and by enough."""
    limits = Thresholds() if limits is None else limits
    is_beyond = errors.worst_error.low > errors.home_error.high
    is_higher = errors.ratio >= limits.fails or errors.home_error.value == 0  # any error is more than none
    return is_higher and is_beyond and errors.worst_unexplained >= limits.unexplained


def _trust(trust: TrustFacts) -> tuple[str, ...]:
    """What the tests of the explanations say of the hints."""
    if trust.level not in ("weak", "mixed"):
        return ()
    return (
        f"The explanations failed the tests of {trust.failed_checks}: where attribution lies is a weak hint here, and "
        "swapped scenes count.",
    )


def _constant(errors: ErrorFacts) -> Verdict:
    what = "class" if errors.output == "label" else errors.output
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
