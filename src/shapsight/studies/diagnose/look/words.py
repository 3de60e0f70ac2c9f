"""Where does it look, in sentences computed from the facts."""

from __future__ import annotations

from math import isfinite

from shapsight.drawing.style import number
from shapsight.studies.diagnose.look.facts import LookFacts, PlaceFacts
from shapsight.studies.shared.contributions import EXACT

FAR = 0.9  # heatmaps of different targets that overlap this much of what chance lets them are told as staying put
AT_HOME, ELSEWHERE = "where it was trained", "in unseen environments"


def sentences(facts: LookFacts) -> tuple[str, ...]:
    """What the numbers say, the most telling place first: unseen environments, or else those trained on."""
    place, where = (facts.elsewhere, ELSEWHERE) if facts.elsewhere.images else (facts.home, AT_HOME)
    found = [
        _contributes(facts),
        _knows(facts),
        _agrees(facts),
        *_concentrates(place),
        _objects(facts),
        _moves(place, where, has_region=facts.has_region),
        _still(place),
    ]
    return tuple(sentence for sentence in found if sentence)


def lead(facts: LookFacts) -> str:
    """The scene's share, in plain words; without a region of interest, how much of the image is looked at."""
    home, away = facts.home, facts.elsewhere
    shares = [
        f"{place.scene_share.value:.0%} {where}"
        for place, where in ((home, AT_HOME), (away, ELSEWHERE))
        if place.scene_share.is_known
    ]
    if shares:
        return f"Of what moves {facts.output}, the scene contributes {' and '.join(shares)}."
    place = away if away.images else home
    if place.area.is_known:
        return f"Nine tenths of the attribution lie on {place.area.value:.0%} of the pixels."
    return "Too little is known to say."


def _contributes(facts: LookFacts) -> str:
    """How much of what moves the prediction comes from the scene, at home and elsewhere."""
    parts = []
    for place, where in ((facts.home, AT_HOME), (facts.elsewhere, ELSEWHERE)):
        share, scene, region = place.scene_share, place.scene_size, place.region_size
        if share.is_known and scene.is_known and region.is_known:
            between = f"{share.between('.0%')}; " if share.has_interval else ""
            sizes = f"{number(scene.value)} against the region's {number(region.value)}"
            parts.append(f"{share.value:.0%} {where} ({between}{sizes})")
    return f"Of what moves {facts.output}, the scene contributes {' and '.join(parts)}." if parts else ""


def _knows(facts: LookFacts) -> str:
    """Whether the scene's part goes along with the target, at home and elsewhere."""
    known = {AT_HOME: facts.home.scene_knows, ELSEWHERE: facts.elsewhere.scene_knows}
    parts = [f"{number(knows.value, 2)} {where}" for where, knows in known.items() if knows.is_known]
    if not parts:
        return ""
    if facts.is_classes:
        return (
            "What the scene contributes puts the picture's own label before another class with a probability of "
            f"{', '.join(parts)} (0.5 is chance)."
        )
    return f"What the scene contributes has a correlation with the target of {', '.join(parts)}."


def _agrees(facts: LookFacts) -> str:
    """Whether exact values of scene and region say the same."""
    if not (isfinite(facts.exact_difference) and isfinite(facts.exact_relative)):
        return ""
    said = f"typical difference {number(facts.exact_difference)}, {facts.exact_relative:.0%} of what is shared out"
    if facts.contributions_from == EXACT:
        return (
            f"Exact Shapley values of scene and region differ from the sums of the attributions ({said}), so the exact "
            "ones are told."
        )
    return f"Exact Shapley values of scene and region in the same images agree ({said})."


def _concentrates(place: PlaceFacts) -> list[str]:
    """How much of the most important pixels lies in the region, and how few pixels hold the attribution."""
    said = []
    if place.rank_accuracy.is_known and place.pointing.is_known:
        said.append(
            f"Of the most important pixels, as many as the region has, {place.rank_accuracy.value:.0%} lie inside it, "
            f"and the single most important one does in {place.pointing.value:.0%} of images (chance "
            f"{place.rank_accuracy_chance:.0%} for both)."
        )
    if place.area.is_known:
        control = place.area_randomised
        beside = f", randomised copies {control:.0%}" if isfinite(control) else ""
        said.append(
            f"90 % of the attribution lies on {place.area.value:.0%} of the pixels (spread evenly, it would be "
            f"90 %{beside})."
        )
    return said


def _objects(facts: LookFacts) -> str:
    if not facts.object:
        return ""
    return (
        f"Of the annotated objects, {facts.object} gets most: {facts.object_share:.0%} of the attribution on "
        f"{facts.object_chance:.0%} of the area."
    )


def _moves(place: PlaceFacts, where: str, *, has_region: bool) -> str:
    same, shuffled = place.same_place, place.same_place_shuffled
    if not (isfinite(same) and isfinite(shuffled)):
        return ""
    said = f"The attribution moves {'' if same < FAR * shuffled else 'little '}with the target {where}"
    if not place.does_move:
        # With a region, the shares above say better whether it is the scene.
        hint = "" if has_region else ", which points to the scene"
        said = f"The attribution stays at the same place whatever the target {where}{hint}"
        if same < FAR * shuffled:
            said = f"Whether the attribution moves with the target {where} cannot be told"
    return f"{said}: mean heatmaps of different targets overlap by {same:.0%}, of shuffled targets by {shuffled:.0%}."


def _still(place: PlaceFacts) -> str:
    if not (isfinite(place.still) and isfinite(place.still_chance)):
        return ""
    hint = (
        ", more than their share, which points to the scene"
        if place.still > 1.25 * place.still_chance
        else ""
    )
    return (
        f"The {place.still_chance:.0%} of pixels that vary least within an environment get {place.still:.0%} of the "
        f"attribution{hint}."
    )
