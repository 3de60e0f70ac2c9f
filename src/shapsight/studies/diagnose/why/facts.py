"""What changing the picture did, as numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from shapsight.diagnosis.changes import together
from shapsight.diagnosis.estimate import NOT_MEASURED, UNKNOWN, Estimate
from shapsight.diagnosis.groups import EVERY
from shapsight.diagnosis.intervals import mean_with_interval
from shapsight.diagnosis.interventions import (
    CONTROL,
    MIXED_RAND,
    MIXED_SAME,
    ORIGINAL,
    REGION_RAND,
    REGION_SAME,
)
from shapsight.studies.diagnose.why.answers import Answers
from shapsight.studies.diagnose.why.swaps import LABEL
from shapsight.studies.shared.facts import Facts


@dataclass(frozen=True)
class WhyFacts(Facts):
    """What changing the picture did to the first target, or to the label.

    Attributes
        output, unit, is_classes, images: what is changed. trained_on: the environments that were trained on.
        has_two_sides: whether a prediction can turn: another label, or another sign.
        scene_change, scene_flips: how far the prediction moves, and in what share of the images it turns, when only the
            scene is replaced (mixed-same and mixed-rand together); region_change, region_flips when only the region is,
            by the same images; control_change, control_flips when the scene becomes the most alike one.
        same_change, rand_change: the same for mixed-same and mixed-rand alone.
        error: of the images as they are (mean squared; share of wrong labels); same_error, rand_error, control_error,
            scene_only_error (only-background), swapped_error (mixed-same and mixed-rand together).
        harm: the error on replaced scenes, image by image, less that on the control.
        background_gap: the error of mixed-rand less that of mixed-same (Xiao et al. 2021).
        crossed: how many regions and scenes the crossed design has. scene_share, region_share, together_share: of the
            variance over it; the first two are Shapley values. scene_share_within: the mean of the scene's share
            inside each environment's part of the design; scene_share_home: inside those that were trained on.
        top_patch, top_patch_share: the scene's patch with the largest RegionSHAP values, and its part of the scene's.
        patches_scene: mean |RegionSHAP| of the whole scene over that of scene and region.
    """

    output: str = ""
    unit: str = ""
    is_classes: bool = False
    images: int = 0
    trained_on: str = ""
    has_two_sides: bool = False
    scene_change: Estimate = NOT_MEASURED
    scene_flips: Estimate = NOT_MEASURED
    region_change: Estimate = NOT_MEASURED
    region_flips: Estimate = NOT_MEASURED
    control_change: Estimate = NOT_MEASURED
    control_flips: Estimate = NOT_MEASURED
    same_change: Estimate = NOT_MEASURED
    rand_change: Estimate = NOT_MEASURED
    error: Estimate = NOT_MEASURED
    same_error: Estimate = NOT_MEASURED
    rand_error: Estimate = NOT_MEASURED
    control_error: Estimate = NOT_MEASURED
    scene_only_error: Estimate = NOT_MEASURED
    swapped_error: Estimate = NOT_MEASURED
    harm: Estimate = NOT_MEASURED
    background_gap: Estimate = NOT_MEASURED
    crossed: int = 0
    scene_share: Estimate = NOT_MEASURED
    region_share: float = UNKNOWN
    together_share: float = UNKNOWN
    scene_share_within: float = UNKNOWN
    scene_share_home: float = UNKNOWN
    top_patch: str | None = None
    top_patch_share: float = UNKNOWN
    patches_scene: float = UNKNOWN


def facts_of(answers: Answers) -> WhyFacts:
    """The facts of the first target, or of the label."""
    swaps, target = answers.swaps, next(iter(answers.effects))
    manifest, effects = swaps.case.manifest, answers.effects[target]
    scene, region = together(effects, MIXED_SAME, MIXED_RAND), together(effects, REGION_SAME, REGION_RAND)
    control, same, rand = effects[CONTROL], together(effects, MIXED_SAME), together(effects, MIXED_RAND)
    shares = answers.crossing.shares[answers.crossing.shares["target"] == target]
    whole = shares[shares["environment"] == EVERY].iloc[0]
    single = shares[shares["environment"] != EVERY]
    patches, top = answers.patches, None
    if patches is not None:
        top = patches.ranking[patches.ranking["environment"] == EVERY].iloc[0]
    return WhyFacts(
        output=target,
        unit="" if target == LABEL else manifest.scales[target].unit,
        is_classes=target == LABEL,
        images=len(swaps.pieces),
        trained_on=", ".join(manifest.train_on),
        has_two_sides=target == LABEL or bool(np.isfinite(control.flips).any()),
        scene_change=_mean(scene.change),
        scene_flips=_mean(scene.flips),
        region_change=_mean(region.change),
        region_flips=_mean(region.flips),
        control_change=_mean(control.change),
        control_flips=_mean(control.flips),
        same_change=_mean(same.change),
        rand_change=_mean(rand.change),
        error=_mean(effects[ORIGINAL].error),
        same_error=_mean(same.error),
        rand_error=_mean(rand.error),
        control_error=_mean(control.error),
        scene_only_error=_mean(effects["only-background"].error),
        swapped_error=_mean(scene.error),
        harm=_mean(scene.error - control.error),
        background_gap=_mean(rand.error - same.error),
        crossed=int(whole["images"]),
        scene_share=Estimate.in_row(whole.to_dict(), "scene"),
        region_share=float(whole["region"]),
        together_share=float(whole["together"]),
        scene_share_within=_known_mean(single["scene"]),
        scene_share_home=_known_mean(single.loc[single["environment"].isin(manifest.train_on), "scene"]),
        top_patch=None if top is None else str(top["place"]),
        top_patch_share=UNKNOWN if top is None else float(top["share"]),
        patches_scene=UNKNOWN if patches is None else patches.scene_share,
    )


def _mean(values: Float[ndarray, "images"]) -> Estimate:
    return Estimate(*mean_with_interval(values, np.random.default_rng(0)))


def _known_mean(values: pd.Series) -> float:
    finite = values[np.isfinite(values)].to_numpy(float)
    return float(finite.mean()) if len(finite) else UNKNOWN
