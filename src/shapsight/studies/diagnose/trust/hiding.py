"""Does hiding what an explanation names change the prediction as it says?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from shapsight.diagnosis.estimate import Estimate
from shapsight.diagnosis.faithfulness.curves import (
    RESAMPLES,
    Order,
    beside_random,
    flipping_gaps,
    games_of,
    removal_curves,
    with_moved,
)
from shapsight.diagnosis.faithfulness.infidelity import (
    hidden_effects,
    infidelity_per_image,
    relative_infidelity,
)
from shapsight.diagnosis.faithfulness.occlusion import occlusion
from shapsight.diagnosis.intervals import mean_with_interval
from shapsight.drawing.charts.trust import of_first_output
from shapsight.drawing.style import number
from shapsight.studies.diagnose.case import Report
from shapsight.studies.diagnose.trust.facts import TrustFacts
from shapsight.studies.diagnose.trust.specimen import Check, Measured, Specimen, Step

ABSENT = 2  # references that stand for what is hidden, where values against references are tested


def _curves(specimen: Specimen, into: Measured, report: Report) -> None:
    """Insertion, deletion and pixel flipping, beside random orders."""
    is_regression, seed = not specimen.bundle.card.class_names, specimen.case.seed
    games = games_of(specimen.model, specimen.images, specimen.masker)
    orders: tuple[Order, ...] = ("value", "random", "size") if is_regression else ("value", "random")
    parts = []
    for done, order in enumerate(orders, start=1):
        parts.append(
            removal_curves(games, specimen.explanation, order=order, steps=specimen.effort.steps, seed=seed)
        )
        report(done, len(orders))
    curves = with_moved(pd.concat(parts, ignore_index=True), is_regression=is_regression)
    into.tables["curves"] = curves
    gaps = flipping_gaps(curves)
    mine = of_first_output(gaps)["gap"].to_numpy(float)
    into.facts = replace(
        into.facts,
        deletion_ratio=beside_random(curves, "deletion", seed=seed),
        insertion_ratio=beside_random(curves, "insertion", seed=seed),
        flipping_gap=Estimate(*mean_with_interval(mine, np.random.default_rng(seed), resamples=RESAMPLES)),
        flipping_right=float((gaps["gap"] > 0).mean()),
    )


def _infidelity(specimen: Specimen, into: Measured, report: Report) -> None:
    """Random rectangles hidden behind references, which is what "absent" means to the values."""
    games = games_of(specimen.model, specimen.images, specimen.references[:ABSENT])
    hidden = hidden_effects(
        games, specimen.explanation, perturbations=specimen.effort.perturbations, seed=specimen.case.seed
    )
    table = infidelity_per_image(hidden)
    into.tables |= {"hidden": hidden, "infidelity": table}
    relative, shuffled = relative_infidelity(hidden)
    into.facts = replace(
        into.facts,
        infidelity_relative=relative,
        infidelity_shuffled=shuffled,
        effect_correlation=float(table["correlation"].median()),
    )
    report(1, 1)


def _occlusion(specimen: Specimen, into: Measured, report: Report) -> None:
    """A patch slid over the image, hidden behind references like the rectangles."""
    games = games_of(specimen.model, specimen.images, specimen.references[:ABSENT])
    table = occlusion(games, specimen.explanation)
    into.tables["occlusion"] = table
    into.facts = replace(into.facts, occlusion_correlation=float(table["rank_correlation"].mean()))
    report(1, 1)


def checks(found: TrustFacts, unit: str) -> list[Check]:
    """Of what hidden and shown pixels do; `unit` is that of the first output."""
    deletion, insertion, gap = found.deletion_ratio, found.insertion_ratio, found.flipping_gap
    effects = ""
    if np.isfinite(found.effect_correlation):
        effects = f"; the correlation of both is {number(found.effect_correlation, 2)} in the median image"
    return [
        Check(
            "deletion",
            "hiding what it names first moves the prediction farther than random orders do, with 95 % confidence",
            deletion.low,
            deletion.low > 1,
            f"Hiding blocks in the order of their attribution moves the prediction {number(deletion.value)} times as "
            f"far as hiding them in random order ({between(deletion)}; above 1 is better than chance); showing them "
            f"in that order leaves it {number(insertion.value)} times as far away ({between(insertion)}; below 1 is "
            "better).",
        ),
        Check(
            "insertion",
            "showing what it names first restores the prediction sooner than random orders do, likewise",
            insertion.high,
            insertion.high < 1,
        ),
        Check(
            "pixel flipping",
            "the prediction is lower when the most relevant blocks go first than when they go last, likewise",
            gap.low,
            gap.low > 0,
            f"With the most relevant blocks hidden first the prediction is on average {number(abs(gap.value))} {unit} "
            f"{'lower' if gap.value > 0 else 'higher'} than with the least relevant first ({between(gap)}); it is "
            f"lower in {found.flipping_right:.0%} of the cases.",
        ),
        Check(
            "infidelity",
            "it foretells what hidden rectangles change better than zeros do, and than its own blocks shuffled",
            found.infidelity_relative,
            found.infidelity_relative < min(1, found.infidelity_shuffled),
            "Against hidden rectangles, whose effect the attributions inside should foretell, their squared error is "
            f"{number(found.infidelity_relative)} of that of an explanation that says 0 everywhere (their blocks "
            f"shuffled: {number(found.infidelity_shuffled)}){effects}.",
        ),
        Check(
            "occlusion sensitivity",
            "patches rank by their attribution as by what hiding them changes: above 0.4, which the mean over four "
            "images of unrelated patches never exceeded in 50,000 draws, and a single image 1 time in 50",
            found.occlusion_correlation,
            found.occlusion_correlation > 0.4,
            "What a patch slid over the image is attributed and what hiding it changes have a rank correlation of "
            f"{number(found.occlusion_correlation, 2)} on average.",
        ),
    ]


def between(estimate: Estimate) -> str:
    """`95 % 1.2 to 1.4`, or that it is not known."""
    if not estimate.has_interval:
        return "no interval"
    return f"95 % {number(estimate.low)} to {number(estimate.high)}"


HIDING = (
    Step("Insertion, deletion and pixel flipping", _curves, cost=55),
    Step("Infidelity", _infidelity, cost=37),
    Step("Occlusion sensitivity", _occlusion, cost=57, is_for_few=True),
)
