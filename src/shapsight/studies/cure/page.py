"""The report of a cure: which recipe is best in unseen environments, how sure that is, and what each does to images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd

from shapsight.data.remedies.recipes import BASELINE
from shapsight.report.page import Column, KeyFigure, Page, Picture, Section, Table
from shapsight.studies.cure import words
from shapsight.studies.cure.changed_images import changed_images
from shapsight.studies.cure.facts import Cured
from shapsight.studies.cure.pictures import augmentation_plot, error_share_plot
from shapsight.studies.shared.sections import made_with

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


def cure_page(cured: Cured, *, command: str, seconds: float) -> Page:
    """The report."""
    turns = "; ".join(" + ".join(names) for names in cured.turns.plain)
    used = {name: value for name, value in asdict(cured.budget).items() if value or name not in OF_OURS}
    settings = {"trained on, in turn": turns, "seeds": cured.seeds, **used}
    return Page(
        title="Which remedy helps in environments that were never seen?",
        answer=[words.recommended(cured), cured.recommendation.reason, words.caveat(cured)],
        key_figures=_key_figures(cured),
        sections=[_ranking_section(cured), _detail_section(cured), _picture_section(cured)],
        settings=made_with(settings, command, seconds),
    )


def _key_figures(cured: Cured) -> list[KeyFigure]:
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


def _ranking_section(cured: Cured) -> Section:
    ranking = cured.ranking.assign(won=[row.won for row in cured.ranked])
    said = "Error in unseen environments against the scene's share of what moves the prediction"
    has_shares = np.isfinite(ranking["scene_share"].to_numpy(float)).any()
    return Section(
        "Which recipe has the lowest error where it was not trained?",
        words.ranking_intro(cured),
        tables=[Table(ranking, "Recipes, the lowest error first", COLUMNS)],
        pictures=[Picture(error_share_plot(ranking), said)] if has_shares else [],
        notes=[words.caveat(cured), *words.failures(cured)],
    )


def _detail_section(cured: Cured) -> Section:
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


def _picture_section(cured: Cured) -> Section:
    rows = {recipe: changed_images(recipe, cured) for recipe in cured.recipes}
    pictures = [
        Picture(
            augmentation_plot(shown),
            f"Before and after {recipe.name}",
            f"{recipe.name}. {'; '.join(words.what_it_does(each) for each in recipe.remedies if each.make)}.",
        )
        for recipe, shown in rows.items()
        if shown
    ]
    without = [each for recipe in cured.recipes for each in recipe.remedies if each.make is None]
    notes = list(dict.fromkeys(f"{words.what_it_does(each)}." for each in without))
    return Section("What does each remedy do to an image?", words.PICTURES, pictures=pictures, notes=notes)
