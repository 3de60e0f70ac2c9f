"""What the tests of explanations come to, as numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from shapsight.diagnosis.estimate import NOT_MEASURED, UNKNOWN, Estimate
from shapsight.studies.shared.facts import Facts

Trustworthiness = Literal["good", "mixed", "weak", "unknown"]


@dataclass(frozen=True)
class TrustFacts(Facts):
    """What every measure found, and how many checks that passes. NaN, and null in JSON, where it is not defined.

    Attributes
        images, few: how many images were tested, and how many of them were explained again.
        completeness_of_change, completeness_gap: the largest gap, over the largest change and over |attribution|.
        deletion_ratio, insertion_ratio: how far the prediction moves in the order of the attributions over how far in
            random orders; above 1, below 1 are good.
        flipping_gap: how much higher the first output is if its most relevant blocks go last, in its unit;
            flipping_right: in which share of the cases it is.
        infidelity_relative, infidelity_shuffled: squared error of foretold effects over that of saying 0; of the same
            blocks at random places. effect_correlation: of foretold and actual effects, median over images.
        occlusion_correlation: of what a sliding patch is attributed and what hiding it changes, by rank, mean.
        max_sensitivity, max_sensitivity_blocks: relative change under noise, median over images.
        randomised_correlation, randomised_absolute, randomised_ssim: similarity to the original with all layers
            randomised, mean.
        agreement_gradient, agreement_partition, agreement_others: rank correlations of block values, medians.
        exact_regions, exact_images: of how many regions and images there are exact Shapley values.
        exact_correlation, exact_pearson, exact_same_sign: how the attributions go along with them, means.
        absence_correlation: how the exact values behind a blur go along with those behind the references: how much the
            answer depends on what stands for "absent".
        parts_correlation_scene, parts_correlation_region, parts_difference, parts_relative: how the sums over scene
            and region agree with exact values of the two.
        level: "good", "mixed", "weak" (see `level_of`), or "unknown" where nothing could be specimen.
        checks, checks_passed, failed, failed_checks: how many could be judged, were passed and failed; names of those.
    """

    images: int = 0
    few: int = 0
    completeness_of_change: float = UNKNOWN
    completeness_gap: float = UNKNOWN
    deletion_ratio: Estimate = NOT_MEASURED
    insertion_ratio: Estimate = NOT_MEASURED
    flipping_gap: Estimate = NOT_MEASURED
    flipping_right: float = UNKNOWN
    infidelity_relative: float = UNKNOWN
    infidelity_shuffled: float = UNKNOWN
    effect_correlation: float = UNKNOWN
    occlusion_correlation: float = UNKNOWN
    max_sensitivity: float = UNKNOWN
    max_sensitivity_blocks: float = UNKNOWN
    randomised_correlation: float = UNKNOWN
    randomised_absolute: float = UNKNOWN
    randomised_ssim: float = UNKNOWN
    agreement_gradient: float = UNKNOWN
    agreement_partition: float = UNKNOWN
    agreement_others: float = UNKNOWN
    exact_regions: int = 0
    exact_images: int = 0
    exact_correlation: float = UNKNOWN
    exact_pearson: float = UNKNOWN
    exact_same_sign: float = UNKNOWN
    absence_correlation: float = UNKNOWN
    parts_correlation_scene: float = UNKNOWN
    parts_correlation_region: float = UNKNOWN
    parts_difference: float = UNKNOWN
    parts_relative: float = UNKNOWN
    level: Trustworthiness = "unknown"
    checks: int = 0
    checks_passed: int = 0
    failed: int = 0
    failed_checks: str = ""
