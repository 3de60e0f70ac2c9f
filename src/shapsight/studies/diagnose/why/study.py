"""Is that why it fails? The picture is changed, scene and region each on its own, and the prediction watched."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Int
from matplotlib.figure import Figure
from numpy import ndarray

from shapsight.diagnosis.interventions import can_be_cut
from shapsight.studies.diagnose.case import Case, Report, silent
from shapsight.studies.diagnose.findings import Findings
from shapsight.studies.diagnose.why.answers import Answers, ask
from shapsight.studies.diagnose.why.facts import WhyFacts, facts_of
from shapsight.studies.diagnose.why.pictures import pictures
from shapsight.studies.diagnose.why.swaps import swapping
from shapsight.studies.diagnose.why.words import sentences
from shapsight.studies.shared.sampling import spread_over_environments
from shapsight.studies.shared.words import count

PART = "why"
FEWEST = 4  # images without which nothing is swapped


def why(
    case: Case,
    report: Report = silent,
    *,
    most: int = 100,
    draws: int = 2,
    crossed: int = 20,
    patch_images: int = 6,
    patch_evaluations: int = 200,
) -> Findings[Figure]:
    """Change scene and region of up to `most` images and tell what the prediction follows.

        why(case).facts.scene_share

    Arguments
        draws: how many other scenes each image gets in the mixed variants.
        crossed: regions and scenes of the crossed design, which asks about `crossed` squared images.
        patch_images, patch_evaluations: images whose scene is taken apart by RegionSHAP, and questions for each.

    Tables: `variants` (a row a target, variant and environment), `crossed` (shares of the variance), `patches` (ranked)
    and `images` (each image's change by each variant). Facts: see `WhyFacts`.
    """
    left_out: list[str] = []
    if case.masks is None:
        return _nothing("No region of interest (--roi): nothing can be swapped.")
    usable = can_be_cut(case.masks)
    if not usable.all():
        left_out.append(
            f"The region of interest of {count(int((~usable).sum()), 'image')} is empty or fills the picture: "
            "not swapped."
        )
    numbers = _balanced(case, np.flatnonzero(usable), most)
    if len(numbers) < FEWEST:
        left_out.append(f"{FEWEST} images with a region of interest are needed to swap scenes.")
        return _nothing(*left_out)
    answers = ask(swapping(case, numbers, draws), crossed, patch_images, patch_evaluations, report)
    if len(set(answers.swaps.groups)) < 2:
        what = "label" if case.bundle.card.class_names else "environment"
        left_out.append(f"All images are of one {what}: mixed-rand and the background gap are left out.")
    facts = facts_of(answers)
    return Findings(PART, _tables(answers), facts, sentences(facts), pictures(answers), tuple(left_out))


def _nothing(*left_out: str) -> Findings[Figure]:
    return Findings(PART, {}, WhyFacts(), left_out=left_out)


def _balanced(case: Case, usable: Int[ndarray, "images"], most: int) -> Int[ndarray, "images"]:
    """At most so many positions, drawn as evenly from the environments as can be."""
    if len(usable) <= most:
        return usable
    environments = case.rows["environment"].to_numpy(str)[usable]
    return np.sort(usable[spread_over_environments(environments, most, case.seed)])


def _tables(answers: Answers) -> dict[str, pd.DataFrame]:
    rows = answers.swaps.rows[["path", "environment", "split"]].reset_index(drop=True)
    images = [
        rows.assign(target=target, variant=variant, change=e.change, flips=e.flips, error=e.error)
        for target, effects in answers.effects.items()
        for variant, e in effects.items()
    ]
    tables = {
        "variants": answers.variants,
        "crossed": answers.crossing.shares,
        "images": pd.concat(images, ignore_index=True),
    }
    return tables if answers.patches is None else tables | {"patches": answers.patches.ranking}
