"""`shapsight cure`: each remedy trained with the same budget, judged on environments that it has not seen."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from shapsight.data.given_files import is_number
from shapsight.data.images import load_images
from shapsight.data.manifest import Manifest
from shapsight.data.remedies.recipes import BASELINE, REMEDIES, Recipe, read_recipe
from shapsight.data.remedies.sample import Places
from shapsight.data.roi import read_roi
from shapsight.data.turns import Turns, in_turn, take_turns
from shapsight.data.written_files import written
from shapsight.diagnosis.ranking import rank, recommend
from shapsight.errors import DataError, RunError, naming
from shapsight.models.bundle import library_versions
from shapsight.models.devices import chosen_device
from shapsight.report.page import Page
from shapsight.studies.cure.page import Cured, cure_page, summarise_cure
from shapsight.studies.cure.settings import CureSettings
from shapsight.studies.cure.trials import Budget, Cell, Material, kept_trial, run_cell, save_trial
from shapsight.studies.shared.narrator import Narrator, portion_of
from shapsight.studies.shared.pages import write_page
from shapsight.studies.shared.run_folder import RunFolder
from shapsight.studies.shared.trained_run import TrainedRun, open_run
from shapsight.studies.shared.treatment import photographs, region_masks

EVERY = "all"


def cure(
    run: str | os.PathLike[str],
    settings: CureSettings,
    out: str | os.PathLike[str] | None = None,
    *,
    narrator: Narrator,
    command: str = "shapsight cure",
) -> list[str]:
    """Train each recipe in every turn and with every seed, rank them, and write a report; gives a summary.

        cure("runs/lockers", CureSettings(("flip", "swap-scene", "flip+swap-scene")), narrator=Narrator())

    Results go into `out`, by default `RUN/cure`; each training's is written at once, so that a second call goes on
    where the first stopped. Raises a `ShapsightError` for what cannot be tried, before anything is trained.
    """
    started = time.monotonic()
    chosen_device(settings.device)  # a wrong one is said before any work is done
    trained = open_run(run)
    with naming(trained.path):
        turns = take_turns(trained.manifest.environments, trained.manifest.train_on)
    budget = budget_of(trained, settings, turns)
    recipes = read_recipes(settings.recipes, turns)
    for recipe in recipes:
        recipe.check(Places.of(trained.manifest, settings.mirrored), has_roi=budget.roi is not None)
    folder = _folder(out if out is not None else trained.path / "cure")
    material = _material(trained.manifest, budget, narrator)
    cells = cells_of(recipes, turns, settings.seeds)
    judged = _run(cells, budget, material, folder, narrator)
    save_table(judged, folder / "judged")
    ranking = rank(judged)
    save_table(ranking, folder / "ranking")
    cured = Cured(
        judged, ranking, recommend(ranking), tuple(recipes), budget, material, turns, settings.seeds
    )
    seconds = time.monotonic() - started
    _write(cure_page(cured, command=command, seconds=seconds), folder, command, settings)
    return summarise_cure(cured, folder, seconds)


def read_recipes(texts: Sequence[str], turns: Turns) -> list[Recipe]:
    """The baseline, then each recipe once. Raises `DataError` for unknown remedies and for what adds nothing."""
    wanted = [name for text in texts for name in ([*REMEDIES] if text == EVERY else [text])]
    if EVERY in texts and not turns.wider:
        wanted.remove("more-environments")
    recipes = {recipe.name: recipe for recipe in map(read_recipe, [BASELINE, *wanted])}
    for recipe in recipes.values():
        if recipe.has("more-environments") and not turns.wider:
            raise DataError(
                "more-environments has nothing to add: it needs a run that was trained on one environment, and two "
                "others, one to add and one to judge by. Leave it out of --try"
            )
    return list(recipes.values())


def cells_of(recipes: Sequence[Recipe], turns: Turns, seeds: int) -> list[Cell]:
    """Every training, seed by seed, so that after the first seed all recipes can be seen."""
    if seeds < 1:
        raise DataError(f"seeds={seeds}: a training needs 1 or more")
    return [
        Cell(recipe.name, trained_on, seed)
        for seed in range(seeds)
        for recipe in recipes
        for trained_on in (turns.wider if recipe.has("more-environments") else turns.plain)
    ]


def budget_of(run: TrainedRun, settings: CureSettings, turns: Turns) -> Budget:
    """The run's own settings where nothing else was asked for.

    An epoch shows as many images as the baseline's turns have on average, whatever a recipe adds.
    """
    card = run.bundle.card
    validation = float(run.settings.get("reading", {}).get("validation_share", 0.2))
    seed = int(run.settings.get("seed", 0))
    shown = [
        len(in_turn(run.manifest, names, seed=seed, validation_share=validation).rows("train"))
        for names in turns.plain
    ]
    return Budget(
        arch=card.arch,
        weights=settings.weights or run.weights,
        epochs=settings.epochs or int(_of_training(run, "epochs")),
        images_per_epoch=round(float(np.mean(shown))),
        batch_size=settings.batch_size or int(_of_training(run, "batch_size")),
        learning_rate=_of_training(run, "learning_rate"),
        schedule=card.training.get("schedule", "constant"),
        warm_up=int(card.training.get("warm_up", 0)),
        image_size=settings.image_size or card.input_size,
        roi=settings.roi or run.roi,
        scenes=None if settings.scenes is None else str(settings.scenes),
        mirrored=settings.mirrored,
        strength=settings.strength,
        references=settings.references,
        explain=settings.explain,
        split_seed=seed,
        validation_share=validation,
        device=settings.device,
    )


def _of_training(run: TrainedRun, name: str) -> float:
    """A number that the model was trained with; a bundle that was made by hand may not say it."""
    card, value = run.path / "model" / "card.json", run.bundle.card.training.get(name)
    if not is_number(value) or value <= 0:
        raise RunError(
            f"{card} does not say with which {name} the model was trained ({value!r:.60}), so "
            "remedies cannot be tried with the same: make the run with shapsight train"
        )
    return float(value)


def save_table(table: pd.DataFrame, stem: Path) -> None:
    """Write a table as CSV and Parquet, each complete or not at all."""
    for suffix, write in ((".csv", table.to_csv), (".parquet", table.to_parquet)):
        with written(stem.with_name(stem.name + suffix)) as part:
            write(part, index=False)


def _folder(out: str | os.PathLike[str]) -> Path:
    folder = Path(out)
    if folder.is_file():
        raise RunError(f"{folder} is a file; --out needs a folder")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "cells").is_dir():
        raise RunError(f"{folder} is not empty and holds no cure; choose another --out")
    try:
        (folder / "cells").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot write to {folder}: {error.strerror}") from error
    return folder


def _material(manifest: Manifest, budget: Budget, narrator: Narrator) -> Material:
    with narrator.step(f"Decoding {len(manifest)} images") as report:
        images = load_images(manifest, list(manifest.table["path"]), budget.image_size, progress=report)
    masks = None
    if budget.roi is not None:
        masks = torch.from_numpy(region_masks(read_roi(budget.roi), manifest.table, budget.image_size))
    scenes = None if budget.scenes is None else photographs(Path(budget.scenes), budget.image_size)
    return Material(manifest, images, masks, scenes)


def _run(
    cells: Sequence[Cell], budget: Budget, material: Material, folder: Path, narrator: Narrator
) -> pd.DataFrame:
    paths = [cell.path(folder / "cells", budget, material.manifest) for cell in cells]
    done = {path: table for path in paths if (table := kept_trial(path)) is not None}
    if done:
        narrator.say(f"{len(done)} of {len(cells)} trainings are done already; going on with the others")
    tables: list[pd.DataFrame] = []
    left = len(cells) - len(done)
    trained = 0
    with narrator.step(f"Training {left} of {len(cells)} models") as report:
        for cell, path in zip(cells, paths, strict=True):
            table = done.get(path)
            if table is None:
                table = run_cell(cell, budget, material, progress=portion_of(report, trained, left))
                save_trial(table, path)
                trained += 1
                report(trained, left)
                gc.collect()  # a trained network and its optimiser hang in a ring of references, 0.1 GB for a ResNet-18
            tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _write(page: Page, folder: Path, command: str, settings: CureSettings) -> None:
    card = {
        "command": command,
        "settings": asdict(settings),
        "status": "done",
        "versions": library_versions(),
    }
    run = RunFolder(folder, folder, card)
    run.write_card()
    write_page(page, run)
