"""What scene and region contribute to explained images, beside exact values; as tables and in sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy import ndarray
from torch import Tensor

from shapsight.diagnosis.contributions import PARTS, REGION, SCENE
from shapsight.diagnosis.estimate import NOT_MEASURED, Estimate
from shapsight.diagnosis.exact_parts import agreement_of
from shapsight.drawing.style import number
from shapsight.report.page import Column

PREDICTED = "the predicted class"
AGREEMENT = (
    Column("output"),
    Column("images", format="d"),
    Column("correlation_scene", "correlation, scene", ".2f"),
    Column("correlation_region", "correlation, region", ".2f"),
    Column("difference", "typical difference", ".3g"),
    Column("relative", "of prediction - base value", ".0%"),
    Column("quoted", "given here"),
)
ATTRIBUTIONS, EXACT = "DeepSHAP", "exact Shapley values"
NO_ROI = "No region of interest was given (--roi), so it is not known how much the scene contributes."
# Why the share of absolute attribution is a detail and no headline.
BLUNT = (
    "The share of absolute attribution inside the region counts single pixels without their sign; most of that is "
    "noise that cancels, so models that differ can have the same share."
)


@dataclass(frozen=True, eq=False)
class Contributions:
    """The contributions of scene and region, and how they compare with exact values.

    Attributes
        per_image: `contributions_per_image`, with two more columns: `sums` of the attributions, and the `exact` values;
            `value` is what is quoted: the sums where they agree with the exact values, the exact values otherwise.
        measures: `contributions_per_environment`.
        agreement: `output, images, correlation_scene, correlation_region, difference, relative, quoted`.
    """

    per_image: pd.DataFrame
    measures: pd.DataFrame
    agreement: pd.DataFrame

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """By the names that their files get."""
        return {
            "contributions": self.measures,
            "contributions_per_image": self.per_image,
            "agreement_with_exact": self.agreement,
        }

    @property
    def output(self) -> str:
        """What sentences are about: the first explained target, or the predicted class."""
        return str(self.agreement["output"].iloc[0])

    def of(self, outputs: Sequence[str]) -> Contributions:
        """Of some outputs alone."""
        chosen = (table[table["output"].isin(outputs)] for table in self.tables.values())
        measures, per_image, agreement = (table.reset_index(drop=True) for table in chosen)
        return Contributions(per_image, measures, agreement)

    def estimate(self, output: str, measure: str, *, part: str = SCENE, **where: str) -> Estimate:
        """`estimate_of` its measures."""
        return estimate_of(self.measures, output, measure, part=part, **where)


def estimate_of(
    measures: pd.DataFrame, output: str, measure: str, *, part: str = SCENE, **where: str
) -> Estimate:
    """A measure of one place; of several splits there the first.

    estimate_of(found.measures, "x", "share", environment="room_1", split="validation")
    """
    wanted = {"output": output, "part": part, "measure": measure, **where}
    rows = measures[(measures[list(wanted)] == pd.Series(wanted)).all(axis=1)]
    if rows.empty:
        return NOT_MEASURED
    value, low, high = map(float, rows.iloc[0][["value", "low", "high"]])
    return Estimate(value, low, high)


def agreement_row(output: str, sums: ndarray, exact: ndarray) -> dict[str, object]:
    """How well sums `(images, parts)` agree with exact values, and which are quoted.

    The parts share one sum, so that what one of them has too much the other has too little.
    """
    found = [agreement_of(sums[:, n], exact[:, n], exact.sum(1)) for n in range(len(PARTS))]
    worst = max(found, key=lambda one: one.difference)
    return {
        "output": output,
        "images": len(sums),
        **{f"correlation_{part}": one.correlation for part, one in zip(PARTS, found, strict=True)},
        "difference": worst.difference,
        "relative": worst.relative,
        "quoted": ATTRIBUTIONS if worst.is_close or np.isnan(worst.relative) else EXACT,
    }


def as_array(values: Tensor) -> ndarray:
    """A tensor's values in double precision, on the host."""
    return np.asarray(values.detach().cpu().double())


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
