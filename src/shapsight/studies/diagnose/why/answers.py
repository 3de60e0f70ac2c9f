"""What the model answered to every changed picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
from numpy import ndarray

from shapsight.diagnosis.changes import Effects
from shapsight.studies.diagnose.case import Report
from shapsight.studies.diagnose.why.crossing import Crossing, cross, spread_out
from shapsight.studies.diagnose.why.patches import Patches, rank_patches
from shapsight.studies.diagnose.why.swaps import (
    Swapping,
    asked_in_all,
    measure_variants,
    predict_variants,
    variant_table,
)

GRID = (4, 4)


@dataclass(frozen=True, eq=False)
class Answers:
    """All that the numbers, sentences and pictures of this part are made from.

    Attributes
        said: by variant, what the model says.
        effects: by target (or "label") and variant.
        variants: the same as a table.
    """

    swaps: Swapping
    said: Mapping[str, ndarray]
    effects: Mapping[str, Mapping[str, Effects]]
    variants: pd.DataFrame
    crossing: Crossing
    patches: Patches | None


def ask(swaps: Swapping, crossed: int, patch_images: int, evaluations: int, report: Report) -> Answers:
    """Ask the model about every changed picture; the progress counts pictures."""
    design = min(crossed, len(swaps.pieces))
    taken_apart = spread_out(swaps, min(patch_images, len(swaps.pieces)))
    total = asked_in_all(swaps) + design**2 + len(taken_apart) * evaluations
    asked = 0

    def done(images: int) -> None:
        nonlocal asked
        asked += images
        report(min(asked, total), total)

    said = predict_variants(swaps, done)
    effects = measure_variants(swaps, said)
    crossing = cross(swaps, design, done)
    patches = None
    if len(taken_apart):
        patches = rank_patches(swaps, taken_apart, GRID, evaluations, lambda *_: done(evaluations))
    report(total, total)
    return Answers(swaps, said, effects, variant_table(effects, swaps), crossing, patches)
