"""Where does it look, in sentences computed from the facts."""

from __future__ import annotations

from collections.abc import Mapping

from shapsight.jobs.diagnosis.case import Fact

FAR = 0.9  # heatmaps of different targets that overlap this much of what chance lets them are told as staying put
WHERE = {"home": "where it was trained", "elsewhere": "in unseen environments"}


def sentences(facts: Mapping[str, Fact]) -> tuple[str, ...]:
    """What the numbers say, the most telling place first: unseen environments, or else those trained on."""
    place = "elsewhere" if facts["images_elsewhere"] else "home"
    found = [
        _outside(facts, place),
        _most_important(facts, place),
        _area(facts, place),
        _objects(facts),
        _moves(facts, place),
        _still(facts, place),
    ]
    return tuple(sentence for sentence in found if sentence)


def _outside(facts: Mapping[str, Fact], place: str) -> str:
    inside = facts[f"inside_{place}"]
    if not isinstance(inside, float):
        return ""
    low, high, chance, control = (
        _get(facts, f"inside_{place}_{end}") for end in "low high chance randomised".split()
    )
    interval = "" if low is None or high is None else f"95 % {1 - high:.0%} to {1 - low:.0%}, "
    beside = "" if control is None else f", randomised copies of the model {1 - control:.0%}"
    said = (
        f"{1 - inside:.0%} of {facts['output']}'s absolute attribution lies outside the region of interest "
        f"{WHERE[place]} ({interval}chance {1 - (chance or 0):.0%}{beside})"
    )
    home = _get(facts, "inside_home")
    return f"{said}; {WHERE['home']}, {1 - home:.0%}." if place != "home" and home is not None else f"{said}."


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
