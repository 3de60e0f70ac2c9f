"""The report of a cure, and its sentences: which recipe is best in unseen environments, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from shapsight.data.remedies.recipes import BASELINE
from shapsight.data.remedies.remedy import Remedy
from shapsight.diagnosis.estimate import Estimate
from shapsight.drawing.charts.ranking import error_share_plot
from shapsight.report.page import Column, KeyFigure, Page, Picture, Section, Table
from shapsight.studies.cure.facts import Cure, Ranked
from shapsight.studies.cure.pictures import augmentation_plot, changed_images
from shapsight.studies.shared.narrator import duration
from shapsight.studies.shared.sections import made_with
from shapsight.studies.shared.words import count, labelled
from shapsight.studies.tasks.task import task_of

COLUMNS = (
    Column("recipe"),
    Column("error", "error, unseen", ".3g", low="error_low", high="error_high"),
    Column("change", "change", "+.2g", low="change_low", high="change_high"),
    Column("won", "pairs won"),
    Column("scene_share", "scene's share", ".1%", low="scene_share_low", high="scene_share_high"),
    Column("sign_accuracy", "right side", ".1%", low="sign_accuracy_low", high="sign_accuracy_high"),
    Column("cost", "cost", ".2f"),
    Column("seconds", "s a training", ".3g"),
    Column("trainings", format="d"),
)

OF_OURS = ("epochs", "batch_size", "learning_rate", "warm_up")  # unknown where the user's own function trains
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


def cure_page(cured: Cure, *, command: str, seconds: float) -> Page:
    """The report."""
    turns = "; ".join(" + ".join(names) for names in cured.turns.plain)
    used = {name: value for name, value in asdict(cured.budget).items() if value or name not in OF_OURS}
    settings = {"trained on, in turn": turns, "seeds": cured.seeds, **used}
    return Page(
        title="Which remedy helps in environments that were never seen?",
        answer=[recommended(cured), cured.recommendation.reason, caveat(cured)],
        key_figures=_key_figures(cured),
        sections=[_ranking_section(cured), _detail_section(cured), _picture_section(cured)],
        settings=made_with(settings, command, seconds),
    )


def _key_figures(cured: Cure) -> list[KeyFigure]:
    rows = {row.recipe: row for row in cured.ranked}
    shown = [rows[name] for name in dict.fromkeys((BASELINE, next(iter(rows))))]
    return [
        KeyFigure(f"{what}, {row.recipe}", f"{found.value:{form}}", found.between(form))
        for row in shown
        for what, found, form in (
            ("error in unseen environments", row.error, ".3g"),
            ("scene's share", row.scene_share, ".0%"),
        )
        if found.is_known
    ]


def _ranking_section(cured: Cure) -> Section:
    ranking = cured.table.assign(won=[row.won for row in cured.ranked])
    said = "Error in unseen environments against the scene's share of what moves the prediction"
    has_shares = np.isfinite(ranking["scene_share"].to_numpy(float)).any()
    return Section(
        "Which recipe has the lowest error where it was not trained?",
        ranking_intro(cured),
        tables=[Table(ranking, "Recipes, the lowest error first", COLUMNS)],
        pictures=[Picture(error_share_plot(ranking), said)] if has_shares else [],
        notes=[caveat(cured), *failures(cured)],
    )


def _detail_section(cured: Cure) -> Section:
    means = cured.judged.groupby(["recipe", "seed", "environment"])["error"].mean()
    by_seed = means.groupby(["recipe", "seed"]).mean().unstack("seed")
    places = cured.judged.groupby(["recipe", "environment"])["error"].mean().unstack("environment")
    order = [row.recipe for row in cured.ranked]
    tables = [
        Table(
            table.loc[order].rename(columns=heading.format).reset_index(), caption, _columns(table, heading)
        )
        for table, caption, heading in (
            (places, "Error in each unseen environment", "unseen {}"),
            (by_seed, "Error with each seed", "seed {}"),
        )
    ]
    return Section("Does it hold in every environment and with every seed?", tables=tables)


def _columns(table: pd.DataFrame, heading: str) -> Sequence[Column]:
    return [Column("recipe"), *(Column(heading.format(name), format=".3g") for name in table.columns)]


def _picture_section(cured: Cure) -> Section:
    rows = {recipe: changed_images(recipe, cured) for recipe in cured.recipes}
    pictures = [
        Picture(
            augmentation_plot(shown),
            f"Before and after {recipe.name}",
            f"{recipe.name}. {'; '.join(what_it_does(each) for each in recipe.remedies if each.make)}.",
        )
        for recipe, shown in rows.items()
        if shown
    ]
    without = [each for recipe in cured.recipes for each in recipe.remedies if each.make is None]
    notes = list(dict.fromkeys(f"{what_it_does(each)}." for each in without))
    return Section("What does each remedy do to an image?", PICTURES, pictures=pictures, notes=notes)


def recommended(cured: Cure) -> str:
    """Which recipe to take, if any."""
    if cured.recommendation.is_sure:
        return f"Recommended: {cured.recommendation.recipe}."
    return "No recipe can be recommended over the baseline."


def caveat(cured: Cure) -> str:
    """What the intervals do not say."""
    environments = len(cured.material.manifest.environments)
    return (
        f"Intervals are of {count(cured.seeds, 'seed')} and the images of {count(environments, 'environment')}: "
        "they do not say how the recipes would do in a further environment."
    )


def failures(cured: Cure) -> list[str]:
    """The trainings that came to nothing, and what is left out of the ranking for that."""
    rows = cured.failed.to_dict("records")
    each = [f"{row['recipe']} on {row['trained_on']}, seed {row['seed']}: {row['reason']}" for row in rows]
    return [*each, *cured.left_out]


def ranking_intro(cured: Cure) -> str:
    """What the columns of the ranking mean."""
    manifest = cured.material.manifest
    return RANKING.format(error=task_of(manifest).judged_error(manifest))


def what_it_does(remedy: Remedy) -> str:
    """`"flip shows the mirror image of half of the images: the region of interest moves with the image"`."""
    return f"{remedy.name} {remedy.does}: {REGION[remedy.region]}"


def summary(cured: Cure, folder: Path, seconds: float) -> list[str]:
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
