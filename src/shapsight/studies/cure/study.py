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

from shapsight.data.given_files import is_number
from shapsight.data.remedies.recipes import BASELINE, REMEDIES, Recipe, read_recipe
from shapsight.data.remedies.sample import Places
from shapsight.data.turns import Turns, in_turn, take_turns
from shapsight.diagnosis.ranking import rank, recommend
from shapsight.errors import DataError, RunError, naming
from shapsight.models.card import library_versions
from shapsight.models.devices import chosen_device
from shapsight.studies.cure.facts import Cured
from shapsight.studies.cure.page import cure_page
from shapsight.studies.cure.settings import CureSettings
from shapsight.studies.cure.trials import Trial, TrialBudget, kept_trial, run_trial, save_trial
from shapsight.studies.cure.words import summary
from shapsight.studies.shared.material import Material, roi_of
from shapsight.studies.shared.narrator import Narrator, portion_of
from shapsight.studies.shared.outcome import save_table
from shapsight.studies.shared.run_folder import RunFolder
from shapsight.studies.shared.sections import write_page
from shapsight.studies.shared.trained_run import TrainedRun, open_run

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
    roi, size = roi_of(budget.roi), budget.image_size
    material = Material.decoded(trained.manifest, size, narrator, roi=roi, scenes=budget.scenes)
    judged = _run(trials_of(recipes, turns, settings.seeds), budget, material, folder, narrator)
    save_table(judged, folder / "judged")
    ranking = rank(judged)
    save_table(ranking, folder / "ranking")
    cured = Cured(
        judged, ranking, recommend(ranking), tuple(recipes), budget, material, turns, settings.seeds
    )
    seconds = time.monotonic() - started
    card = {
        "command": command,
        "settings": asdict(settings),
        "status": "done",
        "versions": library_versions(),
    }
    place = RunFolder(folder, folder, card)
    place.write_card()
    write_page(cure_page(cured, command=command, seconds=seconds), place)
    return summary(cured, folder, seconds)


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


def trials_of(recipes: Sequence[Recipe], turns: Turns, seeds: int) -> list[Trial]:
    """Every training, seed by seed, so that after the first seed all recipes can be seen."""
    if seeds < 1:
        raise DataError(f"seeds={seeds}: a training needs 1 or more")
    return [
        Trial(recipe.name, trained_on, seed)
        for seed in range(seeds)
        for recipe in recipes
        for trained_on in (turns.wider if recipe.has("more-environments") else turns.plain)
    ]


def budget_of(run: TrainedRun, settings: CureSettings, turns: Turns) -> TrialBudget:
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
    return TrialBudget(
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


def _run(
    trials: Sequence[Trial], budget: TrialBudget, material: Material, folder: Path, narrator: Narrator
) -> pd.DataFrame:
    paths = [trial.path(folder / "cells", budget, material.manifest) for trial in trials]
    before = [kept_trial(path) for path in paths]
    left = sum(table is None for table in before)
    if left < len(trials):
        there = f"{len(trials) - left} of {len(trials)} trainings are done already"
        narrator.say(f"{there}; going on with the others")
    judged: list[pd.DataFrame] = []
    trained = 0
    with narrator.step(f"Training {left} of {len(trials)} models") as report:
        for trial, path, done in zip(trials, paths, before, strict=True):
            table = done
            if table is None:
                table = run_trial(trial, budget, material, progress=portion_of(report, trained, left))
                save_trial(table, path)
                trained += 1
                report(trained, left)
                gc.collect()  # a trained network and its optimiser hang in a ring of references, 0.1 GB for a ResNet-18
            judged.append(table)
    return pd.concat(judged, ignore_index=True)
