"""What the strategies come to, in sentences: each is written here and nowhere else."""

from __future__ import annotations

from shapsight.studies.diagnose.strategies.facts import StrategyFacts

EXPLAINED = 0.5  # the share of a target's variance above which clusters may be its left and right


def sentences(facts: StrategyFacts, target: str) -> tuple[str, ...]:
    """How many groups there are, the one to look at first, and whether they are only low and high targets."""
    if facts.count == 1:
        return ("The heatmaps form one group: no second strategy stands out.",)
    jump = ""
    if facts.first_jump is not None:
        jump = f", {facts.first_jump:.2g} times as high in unseen environments as in seen"
    said = [
        f"The heatmaps form {facts.count} groups. The first holds {facts.first_images} images "
        f"({facts.first_share:.0%}; {facts.first_environments}); its error is {facts.first_error:.3g}{jump}."
    ]
    if facts.by_target is not None and facts.by_target > EXPLAINED:
        said.append(
            f"The groups part low from high {target} (they explain {facts.by_target:.0%} of its variance): they may be "
            "one strategy that follows the target."
        )
    return tuple(said)


def left_out(without_attribution: int, seen: int, unseen: int) -> tuple[str, ...]:
    """What could not be told, from how many images have no attribution and how many are of either kind of place."""
    said = []
    if without_attribution:
        said.append(f"{without_attribution} images have no attribution and belong to no strategy.")
    if not seen or not unseen:
        which = "seen" if unseen else "unseen"
        said.append(f"No image of {which} environments was explained: no jump of the error is known.")
    return tuple(said)
