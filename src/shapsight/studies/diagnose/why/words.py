"""What changing the picture did, in sentences."""

from __future__ import annotations

from shapsight.studies.diagnose.why.facts import WhyFacts


def sentences(facts: WhyFacts) -> tuple[str, ...]:
    """How far predictions moved, how wrong they became, where their variance comes from, and the place that matters."""
    said = [_moved(facts), _errors(facts), _variance(facts)]
    if facts.top_patch:
        said.append(
            f"Of the scene, the patch that matters most lies {facts.top_patch} and holds {facts.top_patch_share:.0%} "
            f"of the scene's RegionSHAP; the whole scene holds {facts.patches_scene:.0%} of that of scene and region "
            "together."
        )
    return tuple(said)


def _moved(facts: WhyFacts) -> str:
    what, turns, others = facts.output, "", ""
    scene, region = facts.scene_flips.value, facts.region_flips.value
    if facts.is_classes:
        what = "the probability of the class said"
        turns, others = (
            f" and changes the label of {scene:.0%} of the images",
            f" and changes {region:.0%}",
        )
    elif facts.has_two_sides:
        turns, others = f" and turns its sign in {scene:.0%} of the images", f" ({region:.0%} turn)"
    change = facts.scene_change
    return (
        f"Replacing only the scene moves {what} by {change.value:.2g}{change.in_brackets('.2g')} on average{turns}; "
        f"replacing only the region of interest moves it by {facts.region_change.value:.2g}{others}. The most alike "
        f"scene, which tells what the cut costs, moves it by {facts.control_change.value:.2g}."
    )


def _errors(facts: WhyFacts) -> str:
    what = "share of wrong labels" if facts.is_classes else f"squared error of {facts.output}"
    same = "label" if facts.is_classes else "environment"
    errors = {
        "as the images are": facts.error,
        "on the most alike scenes": facts.control_error,
        f"on scenes of the same {same}": facts.same_error,
        "on scenes of another one": facts.rand_error,
    }
    parts = ", ".join(f"{error.value:.3g} {where}" for where, error in errors.items() if error.is_known)
    gap = facts.background_gap
    said = f" The background gap is {gap.value:+.2g}{gap.in_brackets('+.2g')}." if gap.is_known else ""
    return f"The {what} with the region of interest kept: {parts}.{said}"


def _variance(facts: WhyFacts) -> str:
    share = facts.scene_share
    if not share.is_known:
        return "The prediction hardly varies over regions and scenes, so its variance has no shares."
    return (
        f"Over {facts.crossed} regions on {facts.crossed} scenes, {share.value:.0%} of the prediction's variance comes "
        f"from the scene{share.in_brackets('.0%')} and {facts.region_share:.0%} from the region of interest; "
        f"{facts.together_share:.0%} is their interaction, shared out evenly."
    )
