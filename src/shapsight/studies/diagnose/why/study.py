"""Is that why it fails? The picture is changed, scene and region each on its own, and the prediction watched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Int
from matplotlib.figure import Figure
from numpy import ndarray

from shapsight.diagnosis.changes import Effects
from shapsight.diagnosis.interventions import can_be_cut
from shapsight.studies.diagnose.case import Case, Findings, Report, silent
from shapsight.studies.diagnose.why.crossing import Crossing, cross, spread_out
from shapsight.studies.diagnose.why.facts import facts_of, sentences_of
from shapsight.studies.diagnose.why.patches import Patches, rank_patches
from shapsight.studies.diagnose.why.swaps import (
    Swapping,
    asked_in_all,
    measure_variants,
    predict_variants,
    swapping,
    variant_table,
)
from shapsight.studies.shared.sampling import spread_over_environments
from shapsight.studies.shared.words import count

PART = "why"
FEWEST = 4  # images without which nothing is swapped
GRID = (4, 4)


@dataclass(frozen=True, eq=False)
class Tested:
    """All that the part's numbers, sentences and pictures are made from."""

    swaps: Swapping
    said: Mapping[str, ndarray]
    effects: Mapping[str, Mapping[str, Effects]]
    variants: pd.DataFrame
    crossing: Crossing
    patches: Patches | None


def why(
    case: Case,
    report: Report = silent,
    *,
    most: int = 100,
    draws: int = 2,
    crossed: int = 20,
    patch_images: int = 6,
    patch_evaluations: int = 200,
) -> Findings:
    """Change scene and region of up to `most` images and tell what the prediction follows.

        why(case).facts["scene_share"]

    Arguments
        draws: how many other scenes each image gets in the mixed variants.
        crossed: regions and scenes of the crossed design, which asks about `crossed` squared images.
        patch_images, patch_evaluations: images whose scene is taken apart by RegionSHAP, and questions for each.

    Tables: `variants` (a row a target, variant and environment), `crossed` (shares of the variance), `patches` (ranked)
    and `images` (each image's change by each variant). Facts: see `facts_of`.
    """
    left_out = []
    if case.masks is None:
        return Findings(PART, {}, {}, (), {}, ("No region of interest (--roi): nothing can be swapped.",))
    usable = can_be_cut(case.masks)
    if not usable.all():
        left_out.append(
            f"The region of interest of {count(int((~usable).sum()), 'image')} is empty or fills the picture: "
            "not swapped."
        )
    numbers = _balanced(case, np.flatnonzero(usable), most)
    if len(numbers) < FEWEST:
        left_out.append(f"{FEWEST} images with a region of interest are needed to swap scenes.")
        return Findings(PART, {}, {}, (), {}, tuple(left_out))
    tested = _test(swapping(case, numbers, draws), crossed, patch_images, patch_evaluations, report)
    if len(set(tested.swaps.groups)) < 2:
        what = "label" if case.bundle.card.class_names else "environment"
        left_out.append(f"All images are of one {what}: mixed-rand and the background gap are left out.")
    facts = facts_of(tested)
    return Findings(PART, _tables(tested), facts, sentences_of(facts), _figures(tested), tuple(left_out))


def _test(swaps: Swapping, crossed: int, patch_images: int, evaluations: int, report: Report) -> Tested:
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
    return Tested(swaps, said, effects, variant_table(effects, swaps), crossing, patches)


def _balanced(case: Case, usable: Int[ndarray, "images"], most: int) -> Int[ndarray, "images"]:
    """At most so many positions, drawn as evenly from the environments as can be."""
    if len(usable) <= most:
        return usable
    environments = case.rows["environment"].to_numpy(str)[usable]
    return np.sort(usable[spread_over_environments(environments, most, case.seed)])


def _tables(tested: Tested) -> dict[str, pd.DataFrame]:
    rows = tested.swaps.rows[["path", "environment", "split"]].reset_index(drop=True)
    images = [
        rows.assign(target=target, variant=variant, change=e.change, flips=e.flips, error=e.error)
        for target, effects in tested.effects.items()
        for variant, e in effects.items()
    ]
    tables = {
        "variants": tested.variants,
        "crossed": tested.crossing.shares,
        "images": pd.concat(images, ignore_index=True),
    }
    return tables if tested.patches is None else tables | {"patches": tested.patches.ranking}


def _figures(tested: Tested) -> dict[str, Figure]:
    from shapsight.studies.diagnose.why.pictures import figures_of

    return figures_of(tested)
