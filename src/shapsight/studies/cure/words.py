"""What a cure comes to, in sentences, and the lines that it ends with."""

from __future__ import annotations

from pathlib import Path

from shapsight.data.remedies.recipes import BASELINE
from shapsight.data.remedies.remedy import Remedy
from shapsight.diagnosis.estimate import Estimate
from shapsight.studies.cure.facts import Cured, Ranked
from shapsight.studies.shared.narrator import duration
from shapsight.studies.shared.words import count, labelled
from shapsight.studies.tasks.task import task_of

REGION = {
    "kept": "no pixel inside the region of interest changes",
    "moved": "the region of interest moves with the image",
    "changed": "pixels inside the region of interest change, too",
}
RANKING = (
    "Error is {error}, over images of environments that the training had not seen; every environment counts alike. "
    "Change is the difference to the baseline on the same images and seeds; its intervals hold for all recipes "
    "together. Pairs won counts pairs of trained and unseen environment with a lower error than the baseline. "
    "Scene's share is how much of what moves the first output comes from outside the region of interest (signed "
    "sums of DeepSHAP, mean over images), on the same unseen images for every recipe. Cost is training time over "
    "the baseline's. Other intervals are 95 %. All are of the luck of trainings (seeds) and of images, by "
    "Student's t."
)
PICTURES = (
    "The first picture of each row is the training image as it is, the others are draws that the remedy changed. "
    "The ring is the target, the green line the edge of the region of interest. Check that the ring still marks "
    "the right place, and that what is erased or swapped is no part of the track."
)
HEADINGS = ("Error, unseen", "Change", "Pairs", "Scene", "Right side", "Cost")
WIDTHS = (24, 27, 7, 8, 12, 0)


def recommended(cured: Cured) -> str:
    """Which recipe to take, if any."""
    if cured.recommendation.is_sure:
        return f"Recommended: {cured.recommendation.recipe}."
    return "No recipe can be recommended over the baseline."


def caveat(cured: Cured) -> str:
    """What the intervals do not say."""
    environments = len(cured.material.manifest.environments)
    return (
        f"Intervals are of {count(cured.seeds, 'seed')} and the images of {count(environments, 'environment')}: "
        "they do not say how the recipes would do in a further environment."
    )


def failures(cured: Cured) -> list[str]:
    """The trainings that came to nothing, and what is left out of the ranking for that."""
    rows = cured.failed.to_dict("records")
    each = [f"{row['recipe']} on {row['trained_on']}, seed {row['seed']}: {row['reason']}" for row in rows]
    return [*each, *cured.left_out]


def ranking_intro(cured: Cured) -> str:
    """What the columns of the ranking mean."""
    manifest = cured.material.manifest
    return RANKING.format(error=task_of(manifest).judged_error(manifest))


def what_it_does(remedy: Remedy) -> str:
    """`"flip shows the mirror image of half of the images: the region of interest moves with the image"`."""
    return f"{remedy.name} {remedy.does}: {REGION[remedy.region]}"


def summary(cured: Cured, folder: Path, seconds: float) -> list[str]:
    """The table and the recommendation, for the terminal."""
    width = max(len(row.recipe) for row in cured.ranked)
    table = {"Recipe": HEADINGS} | {row.recipe: _cells(row) for row in cured.ranked}
    lines = [
        f"{name:<{width}}  {''.join(f'{cell:<{wide}}' for cell, wide in zip(cells, WIDTHS, strict=True))}"
        for name, cells in table.items()
    ]
    said = {
        "Answer": [f"{recommended(cured)} {cured.recommendation.reason}", caveat(cured)],
        "Failed": failures(cured),
        "Table": f"{folder / 'ranking.csv'}, every judged image in {folder / 'judged.csv'}",
        "Report": f"{folder / 'report.html'}   ({duration(seconds)})",
    }
    return [*lines, "", *labelled(said)]


def _cells(row: Ranked) -> tuple[str, ...]:
    change = "" if row.recipe == BASELINE else _with_ends(row.change, "+.2g")
    shares = (
        f"{share.value:.0%}" if share.is_known else "–" for share in (row.scene_share, row.sign_accuracy)
    )
    return (_with_ends(row.error, ".3g"), change, row.won, *shares, f"{row.cost:.2f}")


def _with_ends(found: Estimate, form: str) -> str:
    return f"{found.value:{form}} ({found.low:{form}} to {found.high:{form}})"
