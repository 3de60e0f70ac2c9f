"""Where does it look, in sentences computed from the facts."""

from __future__ import annotations

from collections.abc import Mapping

from shapsight.drawing.style import number
from shapsight.studies.shared.contributions import EXACT
from shapsight.studies.shared.facts import Fact

FAR = 0.9  # heatmaps of different targets that overlap this much of what chance lets them are told as staying put
WHERE = {"home": "where it was trained", "elsewhere": "in unseen environments"}


def sentences(facts: Mapping[str, Fact]) -> tuple[str, ...]:
    """What the numbers say, the most telling place first: unseen environments, or else those trained on."""
    place = "elsewhere" if facts["images_elsewhere"] else "home"
    found = [
        _contributes(facts),
        _knows(facts),
        _agrees(facts),
        _most_important(facts, place),
        _area(facts, place),
        _objects(facts),
        _moves(facts, place),
        _still(facts, place),
    ]
    return tuple(sentence for sentence in found if sentence)


def _contributes(facts: Mapping[str, Fact]) -> str:
    """How much of what moves the prediction comes from the scene, at home and elsewhere."""
    parts = []
    for place in ("home", "elsewhere"):
        share, low, high = (_get(facts, f"scene_share_{place}{end}") for end in ("", "_low", "_high"))
        scene, region = (_get(facts, f"{part}_size_{place}") for part in ("scene", "region"))
        if share is None or scene is None or region is None:
            continue
        between = "" if low is None or high is None else f"95 % {low:.0%} to {high:.0%}; "
        parts.append(
            f"{share:.0%} {WHERE[place]} ({between}{number(scene)} against the region's {number(region)})"
        )
    if not parts:
        return ""
    return f"Of what moves {facts['output']}, the scene contributes {' and '.join(parts)}."


def _knows(facts: Mapping[str, Fact]) -> str:
    """Whether the scene's part goes along with the target, at home and elsewhere."""
    known = {place: _get(facts, f"scene_knows_{place}") for place in ("home", "elsewhere")}
    parts = [f"{number(value, 2)} {WHERE[place]}" for place, value in known.items() if value is not None]
    if not parts:
        return ""
    if facts["is_classes"]:
        return (
            "What the scene contributes puts the picture's own label before another class with a probability of "
            f"{', '.join(parts)} (0.5 is chance)."
        )
    return f"What the scene contributes has a correlation with the target of {', '.join(parts)}."


def _agrees(facts: Mapping[str, Fact]) -> str:
    """Whether exact values of scene and region say the same."""
    difference, relative = _get(facts, "exact_difference"), _get(facts, "exact_relative")
    if difference is None or relative is None:
        return ""
    said = f"typical difference {number(difference)}, {relative:.0%} of what is shared out"
    if facts["contributions_from"] == EXACT:
        return (
            f"Exact Shapley values of scene and region differ from the sums of the attributions ({said}), so the exact "
            "ones are told."
        )
    return f"Exact Shapley values of scene and region in the same images agree ({said})."


def _most_important(facts: Mapping[str, Fact], place: str) -> str:
    rank, point, chance = (
        _get(facts, name)
        for name in (f"rank_accuracy_{place}", f"pointing_{place}", f"rank_accuracy_{place}_chance")
    )
    if rank is None or point is None or chance is None:
        return ""
    return (
        f"Of the most important pixels, as many as the region has, {rank:.0%} lie inside it, and the single most "
        f"important one does in {point:.0%} of images (chance {chance:.0%} for both)."
    )


def _area(facts: Mapping[str, Fact], place: str) -> str:
    area, control = _get(facts, f"area_{place}"), _get(facts, f"area_{place}_randomised")
    if area is None:
        return ""
    beside = "" if control is None else f", randomised copies {control:.0%}"
    return (
        f"90 % of the attribution lies on {area:.0%} of the pixels (spread evenly, it would be 90 %{beside})."
    )


def _objects(facts: Mapping[str, Fact]) -> str:
    share, chance = _get(facts, "object_share"), _get(facts, "object_chance")
    if share is None or chance is None:
        return ""
    return (
        f"Of the annotated objects, {facts['object']} gets most: {share:.0%} of the attribution on {chance:.0%} of the "
        "area."
    )


def _moves(facts: Mapping[str, Fact], place: str) -> str:
    same, shuffled = _get(facts, f"same_place_{place}"), _get(facts, f"same_place_{place}_shuffled")
    if same is None or shuffled is None:
        return ""
    beside = (
        f"mean heatmaps of different targets overlap by {same:.0%}, of shuffled targets by {shuffled:.0%}"
    )
    moves = bool(facts[f"does_move_{place}"])
    if same < FAR * shuffled:
        if moves:
            return f"The attribution moves with the target {WHERE[place]}: {beside}."
        return f"Whether the attribution moves with the target {WHERE[place]} cannot be told: {beside}."
    if moves:
        return f"The attribution moves little with the target {WHERE[place]}: {beside}."
    # With a region, the shares above say better whether it is the scene.
    hint = "" if facts["has_region"] else ", which points to the scene"
    return f"The attribution stays at the same place whatever the target {WHERE[place]}{hint}: {beside}."


def _still(facts: Mapping[str, Fact], place: str) -> str:
    still, chance = _get(facts, f"still_{place}"), _get(facts, f"still_{place}_chance")
    if still is None or chance is None:
        return ""
    said = (
        f"The {chance:.0%} of pixels that vary least within an environment get {still:.0%} of the attribution"
    )
    return (
        f"{said}, more than their share, which points to the scene." if still > 1.25 * chance else f"{said}."
    )


def _get(facts: Mapping[str, Fact], name: str) -> float | None:
    value = facts[name]
    return float(value) if isinstance(value, float | int) else None
