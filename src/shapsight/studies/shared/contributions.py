"""What scene and region contribute to explained images, beside exact values of the same images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy import ndarray
from torch import Tensor

from shapsight.diagnosis.contributions import PARTS, SCENE
from shapsight.diagnosis.estimate import NOT_MEASURED, Estimate
from shapsight.diagnosis.exact_parts import agreement_of
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
