"""What to try, from the remedies that there are, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shapsight.studies.diagnose.strategies.facts import StrategyFacts
from shapsight.studies.diagnose.verdict.words import known
from shapsight.studies.shared.facts import Fact

Facts = Mapping[str, Mapping[str, Fact]]
CONCENTRATED = 0.35  # of the scene's RegionSHAP in one patch of sixteen
JUMP = 2.0  # times the error in unseen environments, for a strategy to be named
UNEVEN = 0.3  # of the images: a strategy of fewer is a special case


@dataclass(frozen=True)
class Advice:
    """A recipe for `shapsight cure --try`, or nothing to train but something to do, and why."""

    recipe: str
    why: str


def advise(facts: Facts, level: str, *, fails: bool) -> tuple[Advice, ...]:
    """Remedies in the order in which to try them; none for a model without findings."""
    if level == "ok":
        return ()
    why, look = facts.get("why", {}), facts.get("look", {})
    share = known(why, "scene_share")
    found: list[Advice] = []
    is_scene = level == "shortcut" or (share is not None and share >= 0.05)
    if is_scene:
        found += _against_scene(why, look, is_sure=level == "shortcut")
    elif share is not None and fails:
        found += _inside_region(share)
    elif share is None and known(look, "inside_home") is None:
        found.append(
            Advice(
                "",
                "Name the region of interest (--roi): only then can the scene be swapped and the cause tested.",
            )
        )
    errors = facts.get("errors", {})
    if (fails or is_scene) and isinstance(errors.get("environments"), int):
        wider = _environments(errors)
        found = [*found, *wider] if is_scene else [*wider, *found]
    if level == "suspicious" and share is not None and not found:
        found.append(
            Advice(
                "",
                "Look at more images (--images), or hold out more of them: too few were tested to be sure.",
            )
        )
    return (*found, *_strategy(StrategyFacts.from_json(facts.get("strategies", {}))))


def _against_scene(why: Mapping[str, Fact], look: Mapping[str, Fact], *, is_sure: bool) -> list[Advice]:
    share = known(why, "scene_share") or 0.0
    takes_part = (
        "Its predictions follow the scene" if is_sure else "The scene may take part in its predictions"
    )
    found = [
        Advice(
            "swap-scene",
            f"{takes_part} ({share:.0%} of their variance). Pasted on other scenes while training, "
            "the region is all that still tells the target.",
        ),
        Advice(
            "erase-scene",
            "The same without other pictures: scenes, or parts of them, become noise, blur or grey.",
        ),
    ]
    patch, top = why.get("top_patch"), known(why, "top_patch_share")
    thing = look.get("object")
    if patch is not None and top is not None and top >= CONCENTRATED:
        found.append(
            Advice(
                "erase-objects",
                f"One place, {patch}, holds {top:.0%} of what the scene does: boxes over the scene hide it at times.",
            )
        )
    elif isinstance(thing, str) and thing:
        found.append(
            Advice("erase-objects", f"Among the things outside the region, {thing} gets most attribution.")
        )
    found.append(
        Advice(
            "right-reasons", "A penalty on gradients outside the region works without changing the pictures."
        )
    )
    return found


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


def _environments(errors: Mapping[str, Fact]) -> list[Advice]:
    total, home = int(errors["environments"] or 0), str(errors.get("home") or "")
    trained = len([name for name in home.split(", ") if name])
    if not trained:  # another dataset than the model's own: what it saw is not known from here
        return []
    if total > trained:
        return [
            Advice(
                "more-environments",
                f"It saw {trained} of {total} environments. What differs between them cannot tell the target in all.",
            )
        ]
    if total == 1:
        return [
            Advice(
                "", "Take pictures in a second environment: only there can a shortcut be told from knowledge."
            )
        ]
    return []


def _strategy(strategies: StrategyFacts) -> list[Advice]:
    jump, share = strategies.first_jump, strategies.first_share
    if jump is None or share is None or jump < JUMP or share > UNEVEN:
        return []
    return [
        Advice(
            "",
            f"Look at the images of strategy 1 ({share:.0%} of them, error {jump:.2g} times as high in unseen "
            "environments): the model treats them differently.",
        )
    ]
