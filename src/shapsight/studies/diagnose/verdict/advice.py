"""What to try, from the remedies that there are, and why."""

from __future__ import annotations

from dataclasses import dataclass

from shapsight.studies.diagnose.strategies.facts import StrategyFacts
from shapsight.studies.diagnose.verdict.facts import DiagnosisFacts
from shapsight.studies.shared.error_facts import ErrorFacts
from shapsight.studies.shared.words import times

CONCENTRATED = 0.35  # of the scene's RegionSHAP in one patch of sixteen
JUMP = 2.0  # times the error in unseen environments, for a strategy to be named
UNEVEN = 0.3  # of the images: a strategy of fewer is a special case


@dataclass(frozen=True)
class Advice:
    """A recipe for `shapsight cure --try`, or nothing to train but something to do, and why."""

    recipe: str
    why: str


def advise(facts: DiagnosisFacts, level: str, *, fails: bool) -> tuple[Advice, ...]:
    """Remedies in the order in which to try them; none for a model without findings."""
    if level == "ok":
        return ()
    share = facts.why.scene_share
    found: list[Advice] = []
    is_scene = level == "shortcut" or share.value >= 0.05
    if is_scene:
        found += _against_scene(facts, is_sure=level == "shortcut")
    elif share.is_known and fails:
        found += _inside_region(share.value)
    elif not share.is_known and not facts.look.home.inside.is_known:
        said = "Name the region of interest (--roi): only then can the scene be swapped and the cause tested."
        found.append(Advice("", said))
    if fails or is_scene:
        wider = _environments(facts.errors)
        found = [*found, *wider] if is_scene else [*wider, *found]
    if level == "suspicious" and share.is_known and not found:
        said = "Look at more images (--images), or hold out more of them: too few were tested to be sure."
        found.append(Advice("", said))
    return (*found, *_strategy(facts.strategies))


def _against_scene(facts: DiagnosisFacts, *, is_sure: bool) -> list[Advice]:
    why, thing = facts.why, facts.look.object
    share = why.scene_share.value if why.scene_share.is_known else 0.0
    follows = "Its predictions follow the scene" if is_sure else "The scene may take part in its predictions"
    found = [
        Advice(
            "swap-scene",
            f"{follows} ({share:.0%} of their variance). Pasted on other scenes while training, the region is all that "
            "still tells the target.",
        ),
        Advice(
            "erase-scene",
            "The same without other pictures: scenes, or parts of them, become noise, blur or grey.",
        ),
    ]
    hides = ""
    if why.top_patch and why.top_patch_share >= CONCENTRATED:
        hides = (
            f"One place, {why.top_patch}, holds {why.top_patch_share:.0%} of what the scene does: boxes over the scene "
            "hide it at times."
        )
    elif thing:
        hides = f"Among the things outside the region, {thing} gets most attribution."
    return [
        *found,
        *([Advice("erase-objects", hides)] if hides else []),
        Advice(
            "right-reasons", "A penalty on gradients outside the region works without changing the pictures."
        ),
    ]


def _inside_region(share: float) -> list[Advice]:
    """In the order of docs/remedies.md's tables, where `noise` and `color-jitter` helped in neither case."""
    return [
        Advice(
            "flip",
            f"Swapped scenes hardly matter ({share:.0%} of the variance), so what differs elsewhere lies inside the "
            "region. Where the task is symmetric, mirror images show the region in twice as many places.",
        ),
        Advice("light", "The region may be lit otherwise elsewhere: vary light, shadow and white balance."),
    ]


def _environments(errors: ErrorFacts) -> list[Advice]:
    total, trained = errors.environments, len([name for name in errors.home.split(", ") if name])
    if not trained:  # another dataset than the model's own: what it saw is not known from here
        return []
    if total > trained:
        said = f"It saw {trained} of {total} environments. What differs between them cannot tell the target in all."
        return [Advice("more-environments", said)]
    said = "Take pictures in a second environment: only there can a shortcut be told from knowledge."
    return [Advice("", said)] if total == 1 else []


def _strategy(strategies: StrategyFacts) -> list[Advice]:
    jump, share = strategies.first_jump, strategies.first_share
    if jump is None or share is None or jump < JUMP or share > UNEVEN:
        return []
    said = (
        f"Look at the images of strategy 1 ({share:.0%} of them, error {times(jump)} in unseen "
        "environments): the model treats them differently."
    )
    return [Advice("", said)]
