"""What a person is told of the trust in explanations as a whole; each measure has its own sentence beside it."""

from __future__ import annotations

from shapsight.diagnosis.estimate import Estimate
from shapsight.drawing.style import number
from shapsight.studies.diagnose.trust.facts import TrustFacts
from shapsight.studies.shared.words import count

ADVICE = {
    "good": "They can be relied on.",
    "mixed": "Rely on what many images have in common, not on a single heatmap.",
    "weak": "Do not draw conclusions from them.",
    "unknown": "That is too little to judge them by.",
}
COARSE = "They can be relied on block by block, not pixel by pixel."


def overall(facts: TrustFacts, what: str) -> str:
    """How many checks are passed, which are not, and what follows; `what` is explained, such as "x"."""
    first, _, last = facts.failed_checks.rpartition(", ")
    failed = f"{first} and {last}" if first else last
    misses = f"; they fail {failed}" if failed else ""
    is_coarse = facts.level == "good" and facts.max_sensitivity > 0.5
    return (
        f"The explanations of {what} pass {facts.checks_passed} of {facts.checks} checks on "
        f"{count(facts.images, 'image')}{misses}. {COARSE if is_coarse else ADVICE[facts.level]}"
    )


def note_of_curves(facts: TrustFacts) -> str:
    """What stands over the curves: how far the orders are apart, and how sure that is."""
    ratios = {"deletion": facts.deletion_ratio, "insertion": facts.insertion_ratio}
    return ", ".join(
        f"{curve} {number(ratio.value)} × random ({between(ratio)})"
        for curve, ratio in ratios.items()
        if ratio.is_known
    )


def between(estimate: Estimate) -> str:
    """`95 % 1.2 to 1.4`, or that it is not known."""
    if not estimate.has_interval:
        return "no interval"
    return f"95 % {number(estimate.low)} to {number(estimate.high)}"
