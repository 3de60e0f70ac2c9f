"""The report of a cure, and its sentences: which recipe is best in unseen environments, and how sure that is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from shapsight.data.remedies.recipes import BASELINE, Recipe
from shapsight.data.remedies.remedy import Remedy
from shapsight.diagnosis.estimate import Estimate
from shapsight.drawing.charts.intervals import errors_at_a_glance, recipes_at_a_glance
from shapsight.drawing.charts.ranking import error_share_plot
from shapsight.drawing.style import number
from shapsight.drawing.viewer import Shown
from shapsight.report.page import Answer, Card, Column, Page, Picture, Section, Table
from shapsight.studies.cure.facts import Cure, Ranked
from shapsight.studies.cure.pictures import changed_images
from shapsight.studies.shared.narrator import duration
from shapsight.studies.shared.sections import made_with
from shapsight.studies.shared.words import count, labelled, shell
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
    changed = {recipe: changed_images(recipe, cured) for recipe in cured.recipes}
    return Page(
        title="Which remedy helps where it was not trained?",
        answer=_answer(cured, changed, command),
        sections=[_ranking_section(cured), _detail_section(cured), _picture_section(cured, changed)],
        settings=made_with(settings, command, seconds),
    )


def _answer(cured: Cure, changed: Mapping[Recipe, Sequence[Shown]], command: str) -> Answer:
    rows = {row.recipe: row for row in cured.ranked}
    base, best = (
        rows[BASELINE],
        rows[cured.recommendation.recipe if cured.recommendation.is_sure else _first(cured)],
    )
    shown: Sequence[Shown] = next(
        (images for recipe, images in changed.items() if recipe.name == best.recipe), []
    )
    is_sure = cured.recommendation.is_sure
    return Answer(
        verdict=_verdict(base, best, is_sure=is_sure),
        evidence=f"Where it was not trained the mean error is {number(base.error.value, 2)} without and "
        f"{number(best.error.value, 2)} with {best.recipe}{'' if is_sure else '; that may be chance'}."
        if best.recipe != BASELINE
        else "No other recipe could be compared with the baseline.",
        cards=[
            Card(image, title, said)
            for image, title, said in zip(
                shown[:2],
                ("As it is", f"After {best.recipe}"),
                ("A training image.", "The same image in training."),
                strict=False,
            )
        ],
        chart=Picture(
            recipes_at_a_glance(cured.table, BASELINE), "Error of each recipe", "Error, not trained there"
        ),
        next=_next(cured, best.recipe) if is_sure else _more_seeds(command, cured.seeds),
        next_is="Train with it" if is_sure else "Try more trainings, to be surer",
        level="ok" if is_sure else "suspicious",
    )


def _next(cured: Cure, recipe: str) -> str:
    """The command that trains with a recipe; a function of the user's own trains as before, with other images."""
    manifest, roi = cured.material.manifest, cured.material.roi
    names = [name for name in recipe.split("+") if name != "more-environments"]
    wider = "more-environments" in recipe.split("+")
    command = [
        "shapsight",
        "train",
        manifest.root,
        "--train-on",
        "all" if wider else ",".join(manifest.train_on),
    ]
    remedies = ["--remedies", "+".join(names)] if names else []
    region = ["--roi", roi.spec] if names and roi is not None else []
    return shell(*command, *remedies, *region)


def _more_seeds(command: str, seeds: int) -> str:
    """The same command with twice the trainings, of which those that are done are not done again."""
    if not command.startswith("shapsight cure"):
        return ""
    given = re.sub(r" --seeds[ =]\d+", "", command)
    return f"{given} --seeds {2 * seeds}"


def _first(cured: Cure) -> str:
    """The remedy with the lowest error; the baseline where there is no other."""
    return next((row.recipe for row in cured.ranked if row.recipe != BASELINE), BASELINE)


def _verdict(base: Ranked, best: Ranked, *, is_sure: bool) -> str:
    """At most twelve words."""
    if not is_sure:
        return "No remedy is better than none beyond chance."
    fallen = 1 - best.error.value / base.error.value
    return f"{best.recipe} lowers the error elsewhere by {fallen:.0%}."


def _ranking_section(cured: Cure) -> Section:
    ranking = cured.table.assign(won=[row.won for row in cured.ranked])
    pictures = [
        Picture(recipes_at_a_glance(ranking, BASELINE), "Error of each recipe where it was not trained")
    ]
    if np.isfinite(ranking["scene_share"].to_numpy(float)).any():
        said = "Error where it was not trained, against the scene's share of what moves the prediction"
        pictures.append(
            Picture(error_share_plot(ranking), said, f"{said}; lower and further left is better.")
        )
    return Section(
        "Which recipe has the lowest error where it was not trained?",
        f"{recommended(cured)} {cured.recommendation.reason}",
        pictures,
        [Table(ranking, "Recipes, the lowest error first", COLUMNS)],
        text=ranking_intro(cured),
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
    long = places.reset_index().melt("recipe", var_name="environment", value_name="mse")
    long = long[long["recipe"].isin(order)].assign(split="", mse_low=np.nan, mse_high=np.nan)
    drawn = errors_at_a_glance(long.rename(columns={"recipe": "model"}), ())
    return Section(
        "Does it hold in every environment and with every seed?",
        _in_each_place(places, order),
        [Picture(drawn, "Error of each recipe in each unseen environment")],
        tables,
    )


def _in_each_place(places: pd.DataFrame, order: Sequence[str]) -> str:
    """In how many environments the best remedy is better than none."""
    best = next((name for name in order if name != BASELINE), BASELINE)
    better = int((places.loc[best].to_numpy(float) < places.loc[BASELINE].to_numpy(float)).sum())
    return f"{best} has a lower error than none in {better} of {count(len(places.columns), 'environment')}."


def _columns(table: pd.DataFrame, heading: str) -> Sequence[Column]:
    return [Column("recipe"), *(Column(heading.format(name), format=".3g") for name in table.columns)]


def _picture_section(cured: Cure, changed: Mapping[Recipe, Sequence[Shown]]) -> Section:
    pictures = [
        Picture(
            images,
            f"Before and after {recipe.name}",
            f"{recipe.name}. {'; '.join(what_it_does(each) for each in recipe.remedies if each.make)}.",
        )
        for recipe, images in changed.items()
        if images
    ]
    without = [each for recipe in cured.recipes for each in recipe.remedies if each.make is None]
    notes = list(dict.fromkeys(f"{what_it_does(each)}." for each in without))
    return Section("What does each remedy do to an image?", pictures=pictures, text=PICTURES, notes=notes)


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
