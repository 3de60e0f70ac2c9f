"""Can the explanation be trusted? The part of a diagnosis that puts its explanations to the test."""

from __future__ import annotations

from typing import Any

import torch

from shapsight.diagnosis.faithfulness.completeness import completeness
from shapsight.diagnosis.faithfulness.same_model import refuse_other_model
from shapsight.studies.diagnose.case import Case, Findings, Report, silent
from shapsight.studies.diagnose.trust.facts import checks_of, facts_of, level_of
from shapsight.studies.diagnose.trust.measures import Effort, Measured, Subject, measure
from shapsight.studies.diagnose.trust.pictures import trust_figures
from shapsight.studies.diagnose.trust.words import note_of_curves, sentences_of
from shapsight.studies.shared.facts import Fact

PART = "trust"
CONSTANT = 1e-6  # a change of the prediction below this share of it is none


def trust(case: Case, report: Report = silent, **options: Any) -> Findings:
    """Test the explanations of a case on some of its images, by ten checks that each could fail.

        findings = trust(case)                             # 8 images; about as long as DeepSHAP of 40 images
        trust(case, images=24, few=8, layers=30)           # more of everything: see `Effort`
        findings.facts["level"], findings.facts["failed_checks"]

    Options are the fields of `Effort`. Facts, each None where it is not defined:

        images, few         how many images were tested, and how many of them were explained again
        level               "good", "mixed", "weak" (see `level_of`), or "unknown" where nothing could be tested
        checks, checks_passed, failed           how many of `CHECKS` could be judged, were passed and failed
        failed_checks       the names of those that failed
        completeness_of_change, completeness_gap    the largest gap, over the largest change and over |attribution|
        deletion_ratio, insertion_ratio         how far the prediction moves in the order of the attributions over how
                                                far in random orders, with _low and _high; above 1, below 1 are good
        flipping_gap, flipping_right            how much higher the first output is if its most relevant blocks go
                                                last (in its unit, _low, _high), and in which share of the cases
        infidelity_relative, infidelity_shuffled    squared error of foretold effects over that of saying 0; of the
                                                same blocks at random places
        effect_correlation                      of foretold and actual effects, median over images
        max_sensitivity, max_sensitivity_blocks     relative change under noise, median over images
        randomised_correlation, _absolute, _ssim    similarity to the original with all layers randomised, mean
        agreement_gradient, agreement_partition, agreement_others   rank correlations of block values, medians
        exact_regions, exact_images             of how many regions and images there are exact Shapley values
        exact_correlation, exact_pearson, exact_same_sign   how the attributions go along with them, means
        absence_correlation     how the exact values behind a blur go along with those behind the references: how much
                                the answer depends on what stands for "absent"
        parts_correlation_scene, _region, parts_difference, parts_relative      how the sums over scene and region
                                agree with exact values of the two

    Tables: completeness, curves, hidden, infidelity, sensitivity, randomisation, agreement, regions, exact, absence,
    parts; `image` counts the images tested, whose rows the table `images` names.
    Raises `ExplainerError` for an explanation of another model than the case's.
    """
    effort = Effort(**options)
    subject = Subject.of(case, effort)
    refuse_other_model(subject.explanation, case.bundle, subject.images)
    if _is_constant(case):
        return _nothing_to_test(case)
    measured = measure(case, subject, effort, report)
    facts: dict[str, Fact] = {"images": len(subject.images), "few": min(effort.few, len(subject.images))}
    facts |= facts_of(measured.tables, case.seed)
    checks = checks_of(facts)
    failed = [name for name, passed in checks.items() if not passed]
    facts |= {
        "level": level_of(checks),
        "checks": len(checks),
        "checks_passed": len(checks) - len(failed),
        "failed": len(failed),
        "failed_checks": ", ".join(failed),
    }
    return Findings(
        part=PART,
        tables={"images": subject.rows, **measured.tables},
        facts=facts,
        sentences=tuple(sentences_of(facts, checks, _unit(case), _what(case))),
        figures=trust_figures(
            measured.tables, measured.randomised, measured.methods, _unit(case), note_of_curves(facts)
        ),
        left_out=tuple(_left_out(case, measured)),
    )


def _is_constant(case: Case) -> bool:
    """Whether no explained prediction differs from what the model says of the references."""
    explanation = case.explanation
    change = (explanation.predictions - explanation.base_values).abs().max()
    return bool(change <= CONSTANT * explanation.predictions.abs().max().clamp_min(torch.finfo().tiny))


def _nothing_to_test(case: Case) -> Findings:
    said = float(case.explanation.predictions.flatten()[0])
    return Findings(
        part=PART,
        tables={"completeness": completeness(case.explanation)},
        facts={
            "images": 0,
            "few": 0,
            "level": "unknown",
            "checks": 0,
            "checks_passed": 0,
            "failed": 0,
            "failed_checks": "",
        },
        sentences=(
            f"The model says the same of all {len(case.rows)} images and of the references (such as {said:.3g} for "
            f"{_what(case)}): no pixel matters to it, so there is no explanation to test.",
        ),
        figures={},
        left_out=("The predictions are constant: every test of the explanations is left out.",),
    )


def _left_out(case: Case, measured: Measured) -> list[str]:
    still = [
        name
        for column, name in enumerate(case.targets)
        if float(case.explanation.values[:, column].abs().max()) == 0.0
    ]
    said = [f"The prediction of {name} is constant: its measures are not defined." for name in still]
    return [*said, *measured.left_out]


def _what(case: Case) -> str:
    return " and ".join(case.targets) if case.targets else "the predicted class"


def _unit(case: Case) -> str:
    """What the first output is measured in, in a word or two."""
    if not case.targets:
        return "logits"
    return case.manifest.scales[case.targets[0]].unit.partition(",")[0] or f"units of {case.targets[0]}"
