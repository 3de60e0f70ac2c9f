"""What several studies say."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from shapsight.attribution.explanation import Explanation
from shapsight.data.manifest import Manifest
from shapsight.drawing.charts.theme import cut
from shapsight.drawing.style import number

LETTERS = 28  # of a name in a sentence of a first screen
MOST_NAMED = 4  # outputs whose base values a sentence tells


def count(number: int, noun: str) -> str:
    """`"1 image"`, `"12 images"`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def times(ratio: float) -> str:
    """`"6.4 times as high"`, `"190 times as high"`."""
    said = number(ratio, 2)
    return f"{said if ratio < 99.5 else f'{float(said):.0f}'} times as high"


def called(name: str) -> str:
    """A user's name for something, without its middle where it is long: both ends tell it from others."""
    return cut(name, LETTERS)


def shell(*words: object) -> str:
    """A command to paste into a shell, whatever stands in its words: `"shapsight diagnose 'runs/my run'"`."""
    return shlex.join(map(str, words))


def labelled(said: Mapping[str, str | Sequence[str]]) -> list[str]:
    """Lines for the terminal, each with a label; further lines of one label stand below its first."""
    return [
        f"{'' if number else label:<10} {line}"
        for label, lines in said.items()
        for number, line in enumerate([lines] if isinstance(lines, str) else lines)
    ]


def data_sentence(manifest: Manifest) -> str:
    """`"104 images in 3 environments: hall 44, lockers 33, mural 27"`."""
    sizes = manifest.table["environment"].value_counts(sort=False)
    environments = ", ".join(f"{name} {size}" for name, size in sizes.items())
    return f"{count(len(manifest), 'image')} in {count(len(sizes), 'environment')}: {environments}"


def skipped_sentence(manifest: Manifest) -> str:
    """How many files were left out."""
    skipped = len(manifest.skipped)
    return f"{count(skipped, 'file')}, with the reasons in skipped.csv" if skipped else "no file"


def gap_sentence(explanation: Explanation) -> str:
    """How exactly the attributions sum to what they explain."""
    gap = explanation.completeness_gap.abs()
    change = (explanation.predictions - explanation.base_values).abs()
    size = explanation.values.abs().flatten(2).sum(2)
    used = explanation.settings.get("references")
    against = "" if used is None else f" against {count(int(used), 'reference')}{_chosen_from(explanation)}"
    return (
        f"{count(len(explanation), 'image')} explained with {explanation.method}{against}; the sums miss "
        f"prediction - base value by at most {gap.max().item():.1e} of differences up to {change.max().item():.2g} "
        f"({(gap / size.clamp_min(1e-30)).max().item():.1e} of the absolute attribution)"
    )


def _chosen_from(explanation: Explanation) -> str:
    """How many the references were chosen from, and the base values beside those of all of them."""
    chosen_from, means = (explanation.settings.get(n) for n in ("references_chosen_from", "pool_base_values"))
    if chosen_from is None:
        return ""
    names = explanation.names()[0]
    if not isinstance(means, dict) or len(names) > MOST_NAMED or not set(names) <= set(means):
        return f" chosen from {chosen_from}"
    bases = explanation.base_values[0].tolist()
    said = [f"{base:.3g} for {name} ({means[name]:.3g})" for name, base in zip(names, bases, strict=True)]
    return (
        f" chosen from {chosen_from} (base values, in brackets those of all {chosen_from}: {', '.join(said)})"
    )
