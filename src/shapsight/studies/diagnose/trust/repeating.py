"""Does an explanation that is made again, with noise, of a random model, or by another method, say the same?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from shapsight.attribution.explanation import Explanation
from shapsight.attribution.gradient import GradientShap
from shapsight.attribution.partition import PartitionShap
from shapsight.diagnosis.faithfulness.agreement import agreement
from shapsight.diagnosis.faithfulness.randomisation import randomisation, randomised_models
from shapsight.diagnosis.faithfulness.sensitivity import max_sensitivity, uniform_noise
from shapsight.drawing.style import number
from shapsight.studies.diagnose.case import Report
from shapsight.studies.diagnose.trust.facts import TrustFacts
from shapsight.studies.diagnose.trust.specimen import Check, Measured, Specimen, Step

COARSE = 7  # blocks along a side for comparing methods: what PartitionSHAP resolves with its evaluations


def _sensitivity(specimen: Specimen, into: Measured, report: Report) -> None:
    """Explanations of images with a little noise."""
    images, effort = specimen.prepared(specimen.images), specimen.effort
    radius = effort.radius / torch.tensor(specimen.bundle.card.std, device=images.device).view(1, -1, 1, 1)
    noises = uniform_noise(images, radius, effort.noises, seed=specimen.case.seed)
    moved: list[Explanation] = []

    def explain(given: Tensor) -> Explanation:
        moved.append(specimen.deep(specimen.bundle.model, given))
        report(len(moved), effort.noises + 1)
        return moved[-1]

    pixels = max_sensitivity(explain, images, noises)
    # The same explanations again, summed over blocks.
    again = iter(moved[1:])
    blocks = max_sensitivity(
        lambda _: next(again), images, noises, block=specimen.side(14), original=moved[0]
    )
    count, outputs = specimen.columns.shape
    table = pd.DataFrame(
        {
            "image": np.repeat(np.arange(count), outputs),
            "output": [name for row in specimen.explanation.names() for name in row],
            "max_sensitivity": pixels.flatten().cpu().numpy(),
            "of_blocks": blocks.flatten().cpu().numpy(),
        }
    )
    into.tables["sensitivity"] = table
    into.facts = replace(
        into.facts,
        max_sensitivity=float(table["max_sensitivity"].median()),
        max_sensitivity_blocks=float(table["of_blocks"].median()),
    )


def _randomisation(specimen: Specimen, into: Measured, report: Report) -> None:
    """Explanations of the model while its layers lose what they learned."""
    images, model, layers = specimen.prepared(specimen.images), specimen.bundle.model, specimen.effort.layers
    made = 0

    def explain(changed: nn.Module) -> Explanation:
        nonlocal made
        made += 1
        explanation = specimen.deep(changed, images)
        report(made, layers + 1)
        return explanation

    original = explain(model)
    models = randomised_models(model, images[:1], steps=layers, seed=specimen.case.seed)
    table, explanations = randomisation(explain, models, original)
    into.tables["randomisation"] = table
    into.randomised = {"trained": original, **explanations}
    last = table[table["step"] == table["step"].max()]
    into.facts = replace(
        into.facts,
        randomised_correlation=float(last["rank_correlation"].mean()),
        randomised_absolute=float(last["absolute"].mean()),
        randomised_ssim=float(last["ssim"].mean()),
    )


def _agreement(specimen: Specimen, into: Measured, report: Report) -> None:
    """The same images explained by methods that work differently."""
    effort, seed, steps = specimen.effort, specimen.case.seed, 1 + len(specimen.images)
    gradient = GradientShap(
        specimen.bundle.model, specimen.prepared(specimen.references), samples=effort.samples, seed=seed
    )(specimen.prepared(specimen.images), specimen.columns, on_gap="ignore")
    report(1, steps)
    partition = PartitionShap(
        specimen.model,
        specimen.references,
        max_evals=effort.evaluations,
        output_names=specimen.bundle.card.output_names,
        seed=seed,
    )
    found = []
    # It takes the same outputs for all images of a call.
    for image, columns in enumerate(specimen.columns.tolist()):
        found.append(partition(specimen.images[image : image + 1], columns))
        report(1 + image, steps)
    into.methods = {
        "DeepSHAP": specimen.explanation,
        "GradientSHAP": gradient,
        "PartitionSHAP": Explanation.concatenate(found),
    }
    table = agreement(into.methods, block=specimen.side(COARSE))
    into.tables["agreement"] = table
    medians = table.groupby(["first", "second"])["rank_correlation"].median()
    into.facts = replace(
        into.facts,
        agreement_gradient=float(medians["DeepSHAP", "GradientSHAP"]),
        agreement_partition=float(medians["DeepSHAP", "PartitionSHAP"]),
        agreement_others=float(medians["GradientSHAP", "PartitionSHAP"]),
    )


def checks(found: TrustFacts) -> list[Check]:
    """Of explanations that were made again."""
    return [
        Check(
            "max-sensitivity",
            "noise that nobody sees changes its blocks by less than they are themselves",
            found.max_sensitivity_blocks,
            found.max_sensitivity_blocks < 1,
            f"Noise of at most 2 % of white changes the pixels of a heatmap by up to {found.max_sensitivity:.0%} of "
            f"its norm and its blocks by up to {found.max_sensitivity_blocks:.0%}, in the median image.",
        ),
        Check(
            "randomised layers",
            "without the learned weights at most a quarter (0.5²) of the variance of its ranks is left",
            found.randomised_correlation,
            abs(found.randomised_correlation) <= 0.5,
            "With all layers randomised the heatmaps' pixels have a rank correlation of "
            f"{number(found.randomised_correlation, 2)} with the trained model's (absolute values: "
            f"{number(found.randomised_absolute, 2)}; structural similarity: {number(found.randomised_ssim, 2)}); a "
            "faithful method comes near 0 in the first.",
        ),
        Check(
            "agreement",
            "two other methods rank blocks alike: above 0.4, which 25 unrelated blocks exceed 1 time in 40",
            found.agreement_gradient + found.agreement_partition,
            min(found.agreement_gradient, found.agreement_partition) > 0.4,
            "Block by block, the rank correlation of DeepSHAP is "
            f"{number(found.agreement_gradient, 2)} with GradientSHAP and {number(found.agreement_partition, 2)} with "
            "PartitionSHAP, in the median image.",
        ),
    ]


REPEATING = (
    Step("Max-sensitivity", _sensitivity, cost=33, is_for_few=True, needs_gradients=True),
    Step("Similarity for randomised layers", _randomisation, cost=64, is_for_few=True, needs_gradients=True),
    Step("Agreement of methods", _agreement, cost=350, is_for_few=True, needs_gradients=True),
)
