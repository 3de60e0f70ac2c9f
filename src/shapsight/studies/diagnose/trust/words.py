"""What a person is told of the trust in explanations: computed from the facts, one sentence a measure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from shapsight.drawing.style import number
from shapsight.studies.shared.facts import Fact
from shapsight.studies.shared.words import count

Numbers = Mapping[str, float]
ADVICE = {
    "good": "They can be relied on.",
    "mixed": "Rely on what many images have in common, not on a single heatmap.",
    "weak": "Do not draw conclusions from them.",
    "unknown": "That is too little to judge them by.",
}


def sentences_of(facts: Mapping[str, Fact], checks: Mapping[str, bool], unit: str, what: str) -> list[str]:
    """The judgement, then the evidence of every measure that there is.

    unit: of the first output. what: what is explained, such as "x" or "the predicted class".
    """
    known: dict[str, float] = {
        name: float(value) for name, value in facts.items() if isinstance(value, int | float)
    }
    writers: dict[str, Callable[[Numbers], str]] = {
        "completeness_of_change": _completeness,
        "deletion_ratio_low": _curves,
        "flipping_gap_low": lambda k: _flipping(k, unit),
        "infidelity_relative": _infidelity,
        "max_sensitivity": _sensitivity,
        "randomised_correlation": _randomised,
        "agreement_gradient": _agreement,
        "exact_correlation": _exact,
        "absence_correlation": _absence,
        "parts_relative": _parts,
    }
    return [_judgement(facts, checks, what), *(say(known) for name, say in writers.items() if name in known)]


def note_of_curves(facts: Mapping[str, Fact]) -> str:
    """What stands over the curves: how far the orders are apart, and how sure that is."""
    known = {name: float(value) for name, value in facts.items() if isinstance(value, int | float)}
    parts = [
        f"{curve} {number(known[f'{curve}_ratio'])} × random ({_interval(known, f'{curve}_ratio')})"
        for curve in ("deletion", "insertion")
        if f"{curve}_ratio" in known
    ]
    return ", ".join(parts)


def _judgement(facts: Mapping[str, Fact], checks: Mapping[str, bool], what: str) -> str:
    failed = [name for name, passed in checks.items() if not passed]
    misses = f"; they fail {_listed(failed)}" if failed else ""
    moves = facts.get("max_sensitivity")
    is_coarse = facts["level"] == "good" and isinstance(moves, float) and moves > 0.5
    advice = (
        "They can be relied on block by block, not pixel by pixel."
        if is_coarse
        else ADVICE[str(facts["level"])]
    )
    return (
        f"The explanations of {what} pass {len(checks) - len(failed)} of {len(checks)} checks on "
        f"{count(int(str(facts['images'])), 'image')}{misses}. {advice}"
    )


def _completeness(known: Numbers) -> str:
    return (
        f"The attributions miss prediction - base value by at most {known['completeness_of_change']:.1e} of the "
        "largest such difference."
    )


def _curves(known: Numbers) -> str:
    deletion, insertion = known["deletion_ratio"], known.get("insertion_ratio", float("nan"))
    return (
        f"Hiding blocks in the order of their attribution moves the prediction {number(deletion)} times as far as "
        f"hiding them in random order ({_interval(known, 'deletion_ratio')}; above 1 is better than chance); showing "
        f"them in that order leaves it {number(insertion)} times as far away ({_interval(known, 'insertion_ratio')}; "
        "below 1 is better)."
    )


def _flipping(known: Numbers, unit: str) -> str:
    gap = known["flipping_gap"]
    return (
        f"With the most relevant blocks hidden first the prediction is on average {number(abs(gap))} {unit} "
        f"{'lower' if gap > 0 else 'higher'} than with the least relevant first "
        f"({_interval(known, 'flipping_gap')}); it is lower in {known['flipping_right']:.0%} of the cases."
    )


def _infidelity(known: Numbers) -> str:
    said = (
        "Against hidden rectangles, whose effect the attributions inside should foretell, their squared error is "
        f"{number(known['infidelity_relative'])} of that of an explanation that says 0 everywhere"
    )
    if "infidelity_shuffled" in known:
        said += f" (their blocks shuffled: {number(known['infidelity_shuffled'])})"
    if "effect_correlation" in known:
        said += f"; the correlation of both is {number(known['effect_correlation'], 2)} in the median image"
    return f"{said}."


def _sensitivity(known: Numbers) -> str:
    return (
        f"Noise of at most 2 % of white changes the pixels of a heatmap by up to {known['max_sensitivity']:.0%} of its "
        f"norm and its blocks by up to {known['max_sensitivity_blocks']:.0%}, in the median image."
    )


def _randomised(known: Numbers) -> str:
    return (
        "With all layers randomised the heatmaps' pixels have a rank correlation of "
        f"{number(known['randomised_correlation'], 2)} with the trained model's (absolute values: "
        f"{number(known.get('randomised_absolute', float('nan')), 2)}; structural similarity: "
        f"{number(known.get('randomised_ssim', float('nan')), 2)}); a faithful method comes near 0 in the first."
    )


def _agreement(known: Numbers) -> str:
    return (
        "Block by block, the rank correlation of DeepSHAP is "
        f"{number(known['agreement_gradient'], 2)} with GradientSHAP and "
        f"{number(known.get('agreement_partition', float('nan')), 2)} with PartitionSHAP, in the median image."
    )


def _exact(known: Numbers) -> str:
    pearson, same = (known.get(name, float("nan")) for name in ("exact_pearson", "exact_same_sign"))
    return (
        f"Beside exact Shapley values, against references too, of {int(known['exact_regions'])} regions in "
        f"{count(int(known['exact_images']), 'image')} the rank correlation is "
        f"{number(known['exact_correlation'], 2)} on average (Pearson's {number(pearson, 2)}), and "
        f"{same:.0%} of their sum has the same sign."
    )


def _absence(known: Numbers) -> str:
    return (
        'What stands for "absent" is part of the question: exact values of the regions behind a blur instead of the '
        f"references have a rank correlation of {number(known['absence_correlation'], 2)} with those."
    )


def _parts(known: Numbers) -> str:
    return (
        "The sums over scene and region differ from exact Shapley values of the two by "
        f"{number(known['parts_difference'])}, {known['parts_relative']:.0%} of what is shared out."
    )


def _interval(known: Numbers, name: str) -> str:
    if f"{name}_low" not in known:
        return "no interval"
    return f"95 % {number(known[f'{name}_low'])} to {number(known[f'{name}_high'])}"


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
