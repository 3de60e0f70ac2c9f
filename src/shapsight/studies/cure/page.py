"""The report of a cure: which recipe is best in unseen environments, how sure that is, and what each does to images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from shapsight.data.remedies.batches import RecipeSamples
from shapsight.data.remedies.recipes import BASELINE, Recipe
from shapsight.data.turns import Turns, in_turn
from shapsight.diagnosis.ranking import Recommendation
from shapsight.models.bundle import library_versions
from shapsight.report.page import Column, KeyFigure, Page, Picture, Section, Table
from shapsight.studies.cure.pictures import Shown, augmentation_plot, error_share_plot
from shapsight.studies.cure.trials import Budget, Material, treatment_of
from shapsight.studies.shared.error_words import count
from shapsight.studies.shared.narrator import duration

AFTER = 4  # pictures of each image after a remedy
TRIES = (
    60  # a remedy leaves some images as they are: so many draws are looked through for ones that it changes
)
REGION = {
    "kept": "no pixel inside the region of interest changes",
    "moved": "the region of interest moves with the image",
    "changed": "pixels inside the region of interest change, too",
}
RANKING = (
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


@dataclass(frozen=True, eq=False)
class Cured:
    """All that the report of a cure is made from."""

    judged: pd.DataFrame
    ranking: pd.DataFrame
    recommendation: Recommendation
    recipes: tuple[Recipe, ...]
    budget: Budget
    material: Material
    turns: Turns
    seeds: int

    @property
    def caveat(self) -> str:
        """What the intervals do not say."""
        environments = len(self.material.manifest.environments)
        return (
            f"Intervals are of {count(self.seeds, 'seed')} and the images of {count(environments, 'environment')}: "
            "they do not say how the recipes would do in a further environment."
        )


def cure_page(cured: Cured, *, command: str, seconds: float) -> Page:
    """The report."""
    return Page(
        title="Which remedy helps in environments that were never seen?",
        answer=[_recommended(cured.recommendation), cured.recommendation.reason, cured.caveat],
        key_figures=_key_figures(cured),
        sections=[_ranking_section(cured), _detail_section(cured), _picture_section(cured)],
        settings=_settings(cured, command, seconds),
    )


def summarise_cure(cured: Cured, folder: Path, seconds: float) -> list[str]:
    """The table and the recommendation, for the terminal."""
    width = max(len(name) for name in cured.ranking["recipe"])
    lines = [
        f"{'Recipe':<{width}}  {'Error, unseen':<24}{'Change':<27}{'Pairs':<7}{'Scene':<8}{'Right side':<12}Cost"
    ]
    for row in cured.ranking.to_dict("records"):
        error = f"{row['error']:.3g} ({row['error_low']:.3g} to {row['error_high']:.3g})"
        change = f"{row['change']:+.2g} ({row['change_low']:+.2g} to {row['change_high']:+.2g})"
        lines.append(
            f"{row['recipe']:<{width}}  {error:<24}{'' if row['recipe'] == BASELINE else change:<27}"
            f"{_won(row):<7}{_percent(row['scene_share']):<8}{_percent(row['sign_accuracy']):<12}{row['cost']:.2f}"
        )
    return [
        *lines,
        "",
        f"Answer     {_recommended(cured.recommendation)} {cured.recommendation.reason}",
        f"           {cured.caveat}",
        f"Table      {folder / 'ranking.csv'}, every judged image in {folder / 'judged.csv'}",
        f"Report     {folder / 'report.html'}   ({duration(seconds)})",
    ]


def pictures_of(recipe: Recipe, cured: Cured) -> list[list[Shown]]:
    """Training images of two environments before and after a recipe; none for one that changes no image."""
    samples, rows = _samples(recipe, cured)
    pictures = []
    for row in rows:
        said = cured.material.manifest.table["environment"].iloc[row]
        found = [_shown(samples, cured.material.images[row], cured.material, row, str(said))]
        for number in range(TRIES):
            after = _after(samples, number, row)
            is_new = not any(np.array_equal(after.image, shown.image) for shown in found)
            if is_new and len(found) <= AFTER:
                found.append(after)
        pictures.append(found)
    return pictures if any(len(found) > 1 for found in pictures) else []


def _samples(recipe: Recipe, cured: Cured) -> tuple[RecipeSamples, list[int]]:
    """A recipe's samples where every environment is trained on, so that scenes of others can be shown."""
    names = cured.turns.wider[0] if cured.turns.wider else cured.turns.plain[0]
    budget = cured.budget
    manifest = in_turn(
        cured.material.manifest, names, seed=budget.split_seed, validation_share=budget.validation_share
    )
    samples = treatment_of(recipe.name, budget, cured.material).samples(manifest, cured.material.images)
    environments = manifest.table["environment"].to_numpy()
    training = manifest.rows("train")
    of_each = [training[environments[training] == name] for name in names]
    return samples, [int(rows[len(rows) // 2]) for rows in of_each[:2]]


def _shown(samples: RecipeSamples, image: Tensor, material: Material, row: int, title: str) -> Shown:
    size = (image.shape[-2], image.shape[-1])
    points = samples.places.points(samples.targets[row], size) if samples.places.across else torch.zeros(0, 2)
    roi = None if material.masks is None else material.masks[row].numpy()
    return Shown(image.numpy(), points.numpy(), roi, title)


def _after(samples: RecipeSamples, number: int, row: int) -> Shown:
    changed = samples.changed(number, row)
    roi = changed["roi"].as_subclass(Tensor).numpy()
    points = changed["points"].as_subclass(Tensor).numpy()
    return Shown(changed["image"].as_subclass(Tensor).numpy(), points, roi)


def _recommended(recommendation: Recommendation) -> str:
    if recommendation.is_sure:
        return f"Recommended: {recommendation.recipe}."
    return "No recipe can be recommended over the baseline."


def _key_figures(cured: Cured) -> list[KeyFigure]:
    rows = {row["recipe"]: row for row in cured.ranking.to_dict("records")}
    best = str(cured.ranking["recipe"].iloc[0])
    figures = []
    for name in dict.fromkeys((BASELINE, best)):
        row = rows[name]
        interval = f"95 % {row['error_low']:.3g} to {row['error_high']:.3g}"
        figures.append(KeyFigure(f"error in unseen environments, {name}", f"{row['error']:.3g}", interval))
        if np.isfinite(row["scene_share"]):
            interval = f"95 % {row['scene_share_low']:.0%} to {row['scene_share_high']:.0%}"
            figures.append(KeyFigure(f"scene's share, {name}", f"{row['scene_share']:.0%}", interval))
    return figures


def _ranking_section(cured: Cured) -> Section:
    ranking = cured.ranking.assign(won=[_won(row) for row in cured.ranking.to_dict("records")])
    known = np.isfinite(ranking["scene_share"].to_numpy(float)).any()
    pictures = (
        [
            Picture(
                error_share_plot(ranking),
                "Error in unseen environments against the scene's share of what moves the prediction",
            )
        ]
        if known
        else []
    )
    manifest = cured.material.manifest
    what = (
        "the share of wrong labels"
        if manifest.class_names
        else f"the squared error, mean over {' and '.join(manifest.targets)}, each on a scale from -1 to +1"
    )
    intro = (
        f"Error is {what}, over images of environments that the training had not seen; every environment counts alike. "
        "Change is the difference to the baseline on the same images and seeds; its intervals hold for all recipes "
        "together. Pairs won counts pairs of trained and unseen environment with a lower error than the baseline. "
        "Scene's share is how much of what moves the first output comes from outside the region of interest (signed "
        "sums of DeepSHAP, mean over images), on the same unseen images for every recipe. Cost is training time over "
        "the baseline's. Other intervals are 95 %. All are of the luck of trainings (seeds) and of images, by "
        "Student's t."
    )
    return Section(
        "Which recipe has the lowest error where it was not trained?",
        intro,
        tables=[Table(ranking, "Recipes, the lowest error first", RANKING)],
        pictures=pictures,
        notes=[cured.caveat],
    )


def _detail_section(cured: Cured) -> Section:
    judged = cured.judged
    order = list(cured.ranking["recipe"])
    places = judged.pivot_table(index="recipe", columns="environment", values="error", observed=True).loc[
        order
    ]
    seeds = (
        judged.groupby(["recipe", "seed", "environment"])["error"].mean().groupby(["recipe", "seed"]).mean()
    )
    by_seed = seeds.unstack("seed").loc[order].rename(columns=lambda number: f"seed {number}")
    tables = [
        Table(places.reset_index(), "Error in each unseen environment", _plain(places, "unseen {}")),
        Table(by_seed.reset_index(), "Error with each seed", _plain(by_seed, "{}")),
    ]
    return Section("Does it hold in every environment and with every seed?", tables=tables)


def _picture_section(cured: Cured) -> Section:
    pictures, notes = [], []
    for recipe in cured.recipes:
        for remedy in recipe.remedies:
            sentence = f"{remedy.name} {remedy.does}: {REGION[remedy.region]}."
            if remedy.make is None and sentence not in notes:
                notes.append(sentence)
        rows = pictures_of(recipe, cured)
        if rows:
            said = "; ".join(f"{r.name} {r.does}: {REGION[r.region]}" for r in recipe.remedies if r.make)
            pictures.append(
                Picture(augmentation_plot(rows), f"Before and after {recipe.name}", f"{recipe.name}. {said}.")
            )
    return Section(
        "What does each remedy do to an image?",
        "The first picture of each row is the training image as it is, the others are draws that the remedy changed. "
        "The ring is the target, the green line the edge of the region of interest. Check that the ring still marks "
        "the right place, and that what is erased or swapped is no part of the track.",
        pictures=pictures,
        notes=notes,
    )


def _plain(table: pd.DataFrame, heading: str) -> Sequence[Column]:
    return [Column("recipe"), *(Column(str(name), heading.format(name), ".3g") for name in table.columns)]


def _settings(cured: Cured, command: str, seconds: float) -> Mapping[str, str]:
    budget = {name: str(value) for name, value in asdict(cured.budget).items() if value not in (None, ())}
    turns = "; ".join(" + ".join(names) for names in cured.turns.plain)
    versions = ", ".join(f"{name} {version}" for name, version in library_versions().items())
    return {
        "command": command,
        "trained on, in turn": turns,
        "seeds": str(cured.seeds),
        **budget,
        "versions": versions,
        "took": duration(seconds),
    }


def _won(row: Mapping[object, object]) -> str:
    return "" if row["recipe"] == BASELINE else f"{row['wins']} of {row['pairs']}"


def _percent(value: float) -> str:
    return f"{value:.0%}" if np.isfinite(value) else "–"
