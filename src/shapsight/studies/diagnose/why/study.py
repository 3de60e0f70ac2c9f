"""Is that why it fails? The picture is changed, scene and region each on its own, and the prediction watched."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Int
from numpy import ndarray

from shapsight.diagnosis.interventions import CONTROL, can_be_cut
from shapsight.drawing.style import number
from shapsight.report.page import Column, plain
from shapsight.studies.diagnose.case import Case, Report, silent
from shapsight.studies.diagnose.findings import Findings, Part, ShownTable
from shapsight.studies.diagnose.why.answers import Answers, ask
from shapsight.studies.diagnose.why.facts import WhyFacts, facts_of
from shapsight.studies.diagnose.why.pictures import pictures
from shapsight.studies.diagnose.why.swaps import swapping
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
) -> Findings:
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
    if any(CONTROL not in effects for effects in answers.effects.values()):
        left_out.append(
            "No two images are of one environment: there is no control to hold swapped scenes against."
        )
        return _nothing(*left_out)
    if len(set(answers.swaps.groups)) < 2:
        what = "label" if case.bundle.card.class_names else "environment"
        left_out.append(f"All images are of one {what}: mixed-rand and the background gap are left out.")
    facts = facts_of(answers)
    return Findings(PART, _tables(answers), facts, sentences(facts), pictures(answers), tuple(left_out))


def _nothing(*left_out: str) -> Findings:
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


def sentences(facts: WhyFacts) -> tuple[str, ...]:
    """How far predictions moved, how wrong they became, where their variance comes from, and the place that matters."""
    said = [_moved(facts), _errors(facts), _variance(facts)]
    if facts.top_patch:
        said.append(
            f"Of the scene, the patch that matters most lies {facts.top_patch} and holds {facts.top_patch_share:.0%} "
            f"of the scene's RegionSHAP; the whole scene holds {facts.patches_scene:.0%} of that of scene and region "
            "together."
        )
    return tuple(said)


def lead(facts: WhyFacts) -> str:
    """What another scene does beside what another region does."""
    scene, region = facts.scene_change, facts.region_change
    if not (scene.is_known and region.is_known):
        return "This could not be tested."
    what = "the probability of the class said" if facts.is_classes else facts.output
    return (
        f"Before another scene, {what} changes by {number(scene.value, 2)}; with another region of interest, by "
        f"{number(region.value, 2)}."
    )


def _moved(facts: WhyFacts) -> str:
    what, turns, others = facts.output, "", ""
    scene, region = facts.scene_flips.value, facts.region_flips.value
    if facts.is_classes:
        what = "the probability of the class said"
        turns, others = (
            f" and changes the label of {scene:.0%} of the images",
            f" and changes {region:.0%}",
        )
    elif facts.has_two_sides:
        turns, others = f" and turns its sign in {scene:.0%} of the images", f" ({region:.0%} turn)"
    change = facts.scene_change
    return (
        f"Replacing only the scene moves {what} by {change.value:.2g}{change.in_brackets('.2g')} on average{turns}; "
        f"replacing only the region of interest moves it by {facts.region_change.value:.2g}{others}. The most alike "
        f"scene, which tells what the cut costs, moves it by {facts.control_change.value:.2g}."
    )


def _errors(facts: WhyFacts) -> str:
    what = "share of wrong labels" if facts.is_classes else f"squared error of {facts.output}"
    same = "label" if facts.is_classes else "environment"
    errors = {
        "as the images are": facts.error,
        "on the most alike scenes": facts.control_error,
        f"on scenes of the same {same}": facts.same_error,
        "on scenes of another one": facts.rand_error,
    }
    parts = ", ".join(f"{error.value:.3g} {where}" for where, error in errors.items() if error.is_known)
    gap = facts.background_gap
    said = f" The background gap is {gap.value:+.2g}{gap.in_brackets('+.2g')}." if gap.is_known else ""
    return f"The {what} with the region of interest kept: {parts}.{said}"


def _variance(facts: WhyFacts) -> str:
    share = facts.scene_share
    if not share.is_known:
        return "The prediction hardly varies over regions and scenes, so its variance has no shares."
    return (
        f"Over {facts.crossed} regions on {facts.crossed} scenes, {share.value:.0%} of the prediction's variance comes "
        f"from the scene{share.in_brackets('.0%')} and {facts.region_share:.0%} from the region of interest; "
        f"{facts.together_share:.0%} is their interaction, shared out evenly."
    )


HOW_TO_READ = (
    "The region of interest of each image is put on other scenes, and other regions into its scene, with feathered "
    "edges; hyphenated names are those of the Backgrounds Challenge (Xiao et al. 2021). mixed-same takes the scene of "
    "another image of the same environment (of classes: of the same label), mixed-rand of another one, control the "
    "most alike scene of the same environment, which tells what the cut costs. Errors are against the target of the "
    "image whose region is shown. In the pictures the ring is the target and the dot the prediction; bold is a "
    "prediction that turned. In the square of all regions on all scenes, even rows mean that the prediction follows "
    "the region, even columns that it follows the scene."
)
TABLES = (
    ShownTable(
        "variants",
        "What each change of the picture did, over all images that were changed",
        (
            *plain("variant", "target"),
            Column("images", format="d"),
            Column("change", "prediction changes by", ".3f", low="change_low", high="change_high"),
            Column("flips", "changes side", ".0%", low="flips_low", high="flips_high"),
            Column("error", "error", ".3g", low="error_low", high="error_high"),
        ),
        {"environment": ("all",)},
    ),
    ShownTable(
        "crossed",
        "Shares of the prediction's variance over a crossed design of regions and scenes",
        (
            *plain("environment", "target"),
            Column("images", format="d"),
            Column("scene", "scene (Shapley)", ".1%", low="scene_low", high="scene_high"),
            Column("region", "region (Shapley)", ".1%"),
            Column("scene_alone", "scene alone", ".1%"),
            Column("region_alone", "region alone", ".1%"),
            Column("together", "only both", ".1%"),
        ),
    ),
    ShownTable(
        "patches",
        "Patches of the scene, the most important first",
        (
            Column("rank", format="d"),
            Column("place"),
            Column("value", "mean |RegionSHAP|", ".3g"),
            Column("share", "of the scene's", ".0%"),
        ),
        {"environment": ("all",), "rank": (1, 2, 3, 4, 5)},
    ),
)
WHY = Part(
    "why",
    "Is that why it fails?",
    why,
    WhyFacts,
    lead,
    TABLES,
    needs_explanations=False,
    notes=(HOW_TO_READ,),
)
