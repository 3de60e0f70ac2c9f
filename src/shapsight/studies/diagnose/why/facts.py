"""The numbers of the interventions that a verdict is made from, and what they say in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from shapsight.diagnosis.changes import Effects
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
from shapsight.studies.diagnose.why.swaps import LABEL
from shapsight.studies.shared.facts import Fact

if TYPE_CHECKING:
    from shapsight.studies.diagnose.why.study import Tested

Facts = Mapping[str, Fact]


def facts_of(tested: Tested) -> dict[str, Fact]:
    """What changing the picture did to the first target, or to the label; `_low` and `_high` are 95 % intervals.

    output, unit, is_classes, images: what is changed. trained_on: the environments that were trained on.
    scene_change, scene_flips: how far the prediction moves, and in what share of the images it turns, when only the
        scene is replaced (mixed-same and mixed-rand together); region_change, region_flips when only the region is, by
        the same images; control_change, control_flips when the scene becomes the most alike one.
    same_change, rand_change: the same for mixed-same and mixed-rand alone.
    error: of the images as they are (mean squared; share of wrong labels); same_error, rand_error, control_error,
        scene_only_error (only-background).
    harm: the error on replaced scenes (mixed-same and mixed-rand, image by image) less that on the control.
    background_gap: the error of mixed-rand less that of mixed-same (Xiao et al. 2021).
    scene_share, region_share, together_share: of the variance over the crossed design; the first two are Shapley
        values. scene_share_within: the mean of the scene's share inside each environment's part of the design;
        scene_share_home: inside those that were trained on.
    top_patch, top_patch_share: the scene's patch with the largest RegionSHAP values, and its part of the scene's.
    patches_scene: mean |RegionSHAP| of the whole scene over that of scene and region.
    """
    swaps = tested.swaps
    target = next(iter(tested.effects))
    manifest = swaps.case.manifest
    facts: dict[str, Fact] = {
        "output": target,
        "unit": "" if target == LABEL else manifest.scales[target].unit,
        "is_classes": target == LABEL,
        "images": len(swaps.pieces),
        "trained_on": ", ".join(manifest.train_on),
        "has_two_sides": target == LABEL or bool(np.isfinite(tested.effects[target][CONTROL].flips).any()),
    }
    return facts | _effects(tested.effects[target]) | _shares(tested, target) | _patches(tested)


def _effects(effects: Mapping[str, Effects]) -> dict[str, Fact]:
    facts: dict[str, Fact] = {}
    scene = _together([effects[name] for name in (MIXED_SAME, MIXED_RAND) if name in effects])
    region = _together([effects[name] for name in (REGION_SAME, REGION_RAND) if name in effects])
    named = {"scene": scene, "region": region, "control": effects[CONTROL]}
    for name, effect in named.items():
        facts |= _with_interval(f"{name}_change", effect.change) | _with_interval(
            f"{name}_flips", effect.flips
        )
    for name, variant in {"same": MIXED_SAME, "rand": MIXED_RAND}.items():
        if variant in effects:
            facts |= _with_interval(f"{name}_change", effects[variant].change)
            facts |= _with_interval(f"{name}_error", effects[variant].error)
    facts |= _with_interval("error", effects[ORIGINAL].error)
    facts |= _with_interval("control_error", effects[CONTROL].error)
    facts |= _with_interval("scene_only_error", effects["only-background"].error)
    facts |= _with_interval("swapped_error", scene.error)
    facts |= _with_interval("harm", scene.error - effects[CONTROL].error)
    if MIXED_RAND in effects:
        facts |= _with_interval("background_gap", effects[MIXED_RAND].error - effects[MIXED_SAME].error)
    return facts


def _shares(tested: Tested, target: str) -> dict[str, Fact]:
    shares = tested.crossing.shares
    mine = shares[shares["target"] == target]
    whole = mine[mine["environment"] == EVERY].iloc[0]
    single = mine[mine["environment"] != EVERY]
    home = single[single["environment"].isin(tested.swaps.case.manifest.train_on)]
    return {
        "crossed": int(whole["images"]),
        "scene_share": float(whole["scene"]),
        "scene_share_low": float(whole["scene_low"]),
        "scene_share_high": float(whole["scene_high"]),
        "region_share": float(whole["region"]),
        "together_share": float(whole["together"]),
        "scene_share_within": _mean(single),
        "scene_share_home": _mean(home),
    }


def _patches(tested: Tested) -> dict[str, Fact]:
    patches = tested.patches
    if patches is None:
        return {}
    top = patches.ranking[patches.ranking["environment"] == EVERY].iloc[0]
    both = patches.scene + patches.region
    return {
        "top_patch": str(top["place"]),
        "top_patch_share": float(top["share"]),
        "patches_scene": patches.scene / both if both > 0 else float("nan"),
    }


def _mean(rows: pd.DataFrame) -> float:
    values = rows["scene"].to_numpy(float)
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else float("nan")


def _together(effects: list[Effects]) -> Effects:
    """The mean over variants, image by image, of those that an image has."""
    stacked = {name: np.stack([getattr(e, name) for e in effects]) for name in ("change", "flips", "error")}
    return Effects(**{name: _known_mean(values) for name, values in stacked.items()})


def _known_mean(values: Float[ndarray, "variants images"]) -> Float[ndarray, "images"]:
    known = ~np.isnan(values)
    total = np.where(known, values, 0).sum(0)
    return np.where(known.any(0), total / np.maximum(known.sum(0), 1), np.nan)


def _with_interval(name: str, values: Float[ndarray, "images"]) -> dict[str, Fact]:
    mean, low, high = mean_with_interval(values, np.random.default_rng(0))
    return {name: mean, f"{name}_low": low, f"{name}_high": high}


def sentences_of(facts: Facts) -> tuple[str, ...]:
    """What was found, in words."""
    said = [_moved(facts), _errors(facts), _variance(facts)]
    if facts.get("top_patch"):
        said.append(
            f"Of the scene, the patch that matters most lies {facts['top_patch']} and holds "
            f"{facts['top_patch_share']:.0%} of the scene's RegionSHAP; the whole scene holds "
            f"{facts['patches_scene']:.0%} of that of scene and region together."
        )
    return tuple(said)


def _moved(facts: Facts) -> str:
    if facts["is_classes"]:
        return (
            f"Replacing only the scene moves the probability of the class said by {_number(facts, 'scene_change')} on "
            f"average and changes the label of {facts['scene_flips']:.0%} of the images; replacing only the region of "
            f"interest moves it by {facts['region_change']:.2g} and changes {facts['region_flips']:.0%}. The most "
            f"alike scene, which tells what the cut costs, moves it by {facts['control_change']:.2g}."
        )
    turns = (
        f" and turns its sign in {facts['scene_flips']:.0%} of the images" if facts["has_two_sides"] else ""
    )
    others = f" ({facts['region_flips']:.0%} turn)" if facts["has_two_sides"] else ""
    return (
        f"Replacing only the scene moves {facts['output']} by {_number(facts, 'scene_change')} on average{turns}; "
        f"replacing only the region of interest moves it by {facts['region_change']:.2g}{others}. The most alike "
        f"scene, which tells what the cut costs, moves it by {facts['control_change']:.2g}."
    )


def _errors(facts: Facts) -> str:
    what = "share of wrong labels" if facts["is_classes"] else f"squared error of {facts['output']}"
    parts = [
        f"{facts['error']:.3g} as the images are",
        f"{facts['control_error']:.3g} on the most alike scenes",
        f"{facts['same_error']:.3g} on scenes of the same {'label' if facts['is_classes'] else 'environment'}",
    ]
    if "rand_error" in facts:
        parts.append(f"{facts['rand_error']:.3g} on scenes of another one")
    gap = (
        f" The background gap is {facts['background_gap']:+.2g} (95 % {facts['background_gap_low']:+.2g} to "
        f"{facts['background_gap_high']:+.2g})."
        if "background_gap" in facts
        else ""
    )
    return f"The {what} with the region of interest kept: {', '.join(parts)}.{gap}"


def _variance(facts: Facts) -> str:
    if not np.isfinite(float(facts["scene_share"] or np.nan)):
        return "The prediction hardly varies over regions and scenes, so its variance has no shares."
    return (
        f"Over {facts['crossed']} regions on {facts['crossed']} scenes, {facts['scene_share']:.0%} of the prediction's "
        f"variance comes from the scene (95 % {facts['scene_share_low']:.0%} to {facts['scene_share_high']:.0%}) and "
        f"{facts['region_share']:.0%} from the region of interest; {facts['together_share']:.0%} is their interaction, "
        "shared out evenly."
    )


def _number(facts: Facts, name: str) -> str:
    return f"{facts[name]:.2g} (95 % {facts[f'{name}_low']:.2g} to {facts[f'{name}_high']:.2g})"
