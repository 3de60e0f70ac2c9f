"""What scene and region contribute, in plain sentences, each computed from the tables of a run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from shapsight.diagnosis.contributions import REGION
from shapsight.drawing.style import number
from shapsight.studies.shared.contributions import EXACT, Contributions

NO_ROI = "No region of interest was given (--roi), so it is not known how much the scene contributes."
# Why the share of absolute attribution is a detail and no headline.
BLUNT = (
    "The share of absolute attribution inside the region counts single pixels without their sign; most of that is "
    "noise that cancels, so models that differ can have the same share."
)


def contribution_sentences(found: Contributions | None, *, home: Sequence[str]) -> list[str]:
    """How much of what moves the first output comes from the scene, and whether exact values say the same.

    home: the environments that were trained on; they are told first.
    """
    return (
        [NO_ROI]
        if found is None
        else [_share(found, found.output, home), _agreement(found.agreement.iloc[0])]
    )


def _share(found: Contributions, output: str, home: Sequence[str]) -> str:
    """`"The scene contributes 42% of what moves x in room_1 and 34% in room_2 (room_1: 0.118, the region 0.164)."`."""
    places = _places(found, output, home)
    shares = [
        (place, found.estimate(output, "share", environment=place, split=split)) for place, split in places
    ]
    known = [(place, f"{share.value:.0%}") for place, share in shares if share.is_known]
    said = [
        f"{share}{'' if number else f' of what moves {output}'} in {place}"
        for number, (place, share) in enumerate(known)
    ]
    return f"The scene contributes {_listed(said)}{_sizes(found, output, *places[0])}."


def _sizes(found: Contributions, output: str, environment: str, split: str) -> str:
    """The mean absolute contributions in one place, in the output's unit."""
    scene = found.estimate(output, "size", environment=environment, split=split)
    region = found.estimate(output, "size", part=REGION, environment=environment, split=split)
    if not scene.is_known or not region.is_known:
        return ""
    return f" ({environment}: {number(scene.value)} on average, the region {number(region.value)})"


def _agreement(row: pd.Series[Any]) -> str:
    """Whether the exact Shapley values of the same images say the same as the sums, and which are quoted."""
    correlation = float(row["correlation_scene"])
    known = "" if math.isnan(correlation) else f"correlation {number(correlation, 2)}, "
    said = f"({known}typical difference {number(float(row['difference']), 2)})"
    if row["quoted"] == EXACT:
        return (
            f"The attributions' own sums differ from exact Shapley values {said}, so the exact ones are told."
        )
    return f"Exact Shapley values of the same images agree {said}."


def _places(found: Contributions, output: str, home: Sequence[str]) -> list[tuple[str, str]]:
    """Environments and their splits, those that were trained on first; of several splits the held-out one."""
    measures = found.measures
    rows = measures[(measures["output"] == output) & (measures["environment"] != "all")]
    splits: dict[str, str] = {}
    for environment, split in zip(rows["environment"], rows["split"], strict=True):
        if splits.get(environment, "train") == "train":
            splits[environment] = split
    return sorted(splits.items(), key=lambda place: place[0] not in home)


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
