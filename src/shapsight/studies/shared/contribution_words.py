"""What scene and region contribute, in plain sentences, each computed from the tables of a run."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from shapsight.diagnosis.contributions import REGION
from shapsight.drawing.style import number
from shapsight.studies.shared.contributions import EXACT, PREDICTED, Contributions, value_of

NO_ROI = "No region of interest was given (--roi), so it is not known how much the scene contributes."
# Why the share of absolute attribution is a detail and no headline.
BLUNT = (
    "The share of absolute attribution inside the region counts single pixels without their sign; most of that is "
    "noise that cancels, so models that differ can have the same share."
)


def contribution_sentences(
    found: Contributions | None, output: str, *, home: Sequence[str], is_classes: bool = False
) -> list[str]:
    """How much of what moves an output comes from the scene, and whether exact values say the same.

    home: the environments that were trained on; they are told first.
    """
    if found is None:
        return [NO_ROI]
    output = PREDICTED if is_classes else output
    return [share_sentence(found.measures, output, home), agreement_sentence(found.agreement, output)]


def share_sentence(measures: pd.DataFrame, output: str, home: Sequence[str]) -> str:
    """`"The scene contributes 42% of what moves x in room_1 and 34% in room_2 (room_1: 0.118, the region 0.164)."`."""
    parts: list[str] = []
    for environment, split in _places(measures, output, home):
        share = value_of(measures, output, "share", environment=environment, split=split)
        if share is not None:
            moved = f" of what moves {output}" if not parts else ""
            parts.append(f"{share['value']:.0%}{moved} in {environment}")
    return f"The scene contributes {_listed(parts)}{_sizes(measures, output, home)}."


def _sizes(measures: pd.DataFrame, output: str, home: Sequence[str]) -> str:
    """The mean absolute contributions behind the first share, in the output's unit."""
    environment, split = _places(measures, output, home)[0]
    where = {"environment": environment, "split": split}
    scene = value_of(measures, output, "size", **where)
    region = value_of(measures, output, "size", part=REGION, **where)
    if scene is None or region is None:
        return ""
    return f" ({environment}: {number(scene['value'])} on average, the region {number(region['value'])})"


def agreement_sentence(agreement: pd.DataFrame, output: str) -> str:
    """Whether the exact Shapley values of the same images say the same as the sums, and which are quoted."""
    row = agreement[agreement["output"] == output].iloc[0]
    correlation = float(row["correlation_scene"])
    known = "" if math.isnan(correlation) else f"correlation {number(correlation, 2)}, "
    said = f"({known}typical difference {number(float(row['difference']), 2)})"
    if row["quoted"] == EXACT:
        return (
            f"The attributions' own sums differ from exact Shapley values {said}, so the exact ones are told."
        )
    return f"Exact Shapley values of the same images agree {said}."


def _places(measures: pd.DataFrame, output: str, home: Sequence[str]) -> list[tuple[str, str]]:
    """Environments and splits, those that were trained on first; of several splits the held-out one."""
    rows = measures[(measures["output"] == output) & (measures["environment"] != "all")]
    found: dict[str, str] = {}
    for environment, split in zip(rows["environment"], rows["split"], strict=True):
        if found.get(environment, "train") == "train":
            found[environment] = split
    return sorted(found.items(), key=lambda place: place[0] not in home)


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
