"""`shapsight cure`: each remedy trained with the same budget, judged on environments that it has not seen."""

from __future__ import annotations

import gc
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from shapsight.data.remedies.recipes import BASELINE, REMEDIES, Recipe, read_recipe
from shapsight.data.turns import Turns, take_turns
from shapsight.diagnosis.ranking import rank, recommend
from shapsight.errors import DataError, ModelError, RunError, ShapsightError, naming
from shapsight.models.devices import chosen_device
from shapsight.studies.cure.facts import Cure
from shapsight.studies.cure.page import cure_page, recommended, summary
from shapsight.studies.cure.trainer import OF_LOSS, Trainer, trainer_of
from shapsight.studies.cure.trials import Trial, TrialBudget, kept_trial, run_trial, save_trial, trained
from shapsight.studies.shared.analysis import judge
from shapsight.studies.shared.asked import Asked, study
from shapsight.studies.shared.found import Place
from shapsight.studies.shared.left_open import CompletedSettings
from shapsight.studies.shared.material import Material
from shapsight.studies.shared.narrator import Narrator, portion_of
from shapsight.studies.shared.outcome import Trained, save_table
from shapsight.studies.shared.run_folder import RunFolder, refuse_other
from shapsight.studies.shared.sections import write_page
from shapsight.studies.shared.settings import CureSettings

EVERY = "all"
FAILED = ("recipe", "trained_on", "seed", "reason")


@study(CureSettings)
def cure(
    asked: Asked[CureSettings],
    train: Any,
    data: Any = None,
    out: str | os.PathLike[str] | None = None,
) -> Cure:
    """Train each recipe in every turn and with every seed, judged where it was not trained, and rank them.

        found = shapsight.cure("runs/lockers", recipes=["flip", "swap-scene", "flip+swap-scene"])
        found = shapsight.cure(shapsight.training(arch="resnet18", epochs=5), photos, recipes=["flip"])
        found = shapsight.cure(my_train, photos, recipes=["swap-scene", "flip+light"], seeds=3)
        found.table; found.recommendation; found.report("cure.html")

    `train` is a run or its folder, a plan of `shapsight.training`, your own `my_train(photos, recipe, seed)`, which
    trains on `photos.split("train")` with `recipe.transform` and returns a `Bundle`, or "module:name" of the last two;
    `data` a manifest of `read_dataset` or whatever that reads, by default the run's.

    Results go into `out`, by default RUN/cure, without a run into a temporary folder that goes with what is returned.
    Each training's is written at once, so that a second call goes on where the first stopped. A training that fails is
    listed in `.failed`; its recipe is ranked by the other seeds. Raises a `ShapsightError` for what cannot be tried,
    before anything is trained, and where nothing is left to compare.
    """
    settings, narrator = asked.settings, asked.narrator
    chosen_device(settings.device)  # a wrong one is said before any work is done
    trainer = trainer_of(train, data, settings, narrator)
    with naming(trainer.folder or trainer.name or "the data"):
        turns = take_turns(trainer.manifest.environments, trainer.manifest.train_on)
    budget = trainer.budget(settings, turns)
    recipes = read_recipes(_wanted(settings, trainer, narrator), turns)
    trainer.check(recipes, settings)
    place = Place.of(out, trainer.folder, "cure")
    folder = _made(place.path)
    size, roi = budget.image_size, trainer.roi
    material = Material.decoded(trainer.manifest, size, narrator, roi=roi, scenes=budget.scenes)
    trials = trials_of(recipes, turns, settings.seeds)
    judged, failed = _run(trials, budget, material, folder, trainer, narrator)
    judged, left_out = comparable(judged, failed)
    ranking = rank(judged)
    save_table(ranking, folder / "ranking")
    cured = Cure(
        place=place,
        judged=judged,
        table=ranking,
        recommendation=recommend(ranking),
        recipes=tuple(recipe for recipe in recipes if recipe.name in set(ranking["recipe"])),
        budget=budget,
        material=material,
        turns=turns,
        seeds=int(ranking["seeds"].max()),
        failed=failed,
        left_out=left_out,
    )
    record = RunFolder.at(folder, command=asked.command, settings=asked.written, status="done")
    write_page(cure_page(cured, command=asked.command, seconds=asked.seconds), record)
    return replace(
        cured,
        lines=tuple(summary(cured, folder, asked.seconds)),
        headline=recommended(cured),
        sentences=(cured.recommendation.reason,),
    )


def train_once(
    recipe: str,
    trained_on: Sequence[str],
    settings: CompletedSettings,
    material: Material,
    narrator: Narrator,
) -> Trained:
    """One trial of a cure whose model is kept: a recipe trained in one turn, measured in every environment.

        train_once("swap-scene", ["room_1"], settings, material, narrator)

    Every recipe is shown as many images as the baseline is of the environments that the material's manifest trains on.
    """
    manifest = material.manifest
    with narrator.step(f"Training in {' and '.join(trained_on)}: {recipe}") as report:
        turns = Turns(plain=(manifest.train_on,), wider=())
        budget = Trainer(manifest, settings, material.roi).budget(CureSettings(device=settings.device), turns)
        trial = Trial(recipe, tuple(trained_on), settings.seed)
        material = trial.turn(material, budget)
        training = trained(trial, budget, material, report)
    remedies = None if recipe == BASELINE else recipe
    settings = replace(settings, train_on=",".join(trained_on), remedies=remedies)
    name = " and ".join(trained_on) + ("" if remedies is None else f" with {remedies}")
    return judge(name, settings, training, material, narrator)


def _wanted(settings: CureSettings, trainer: Trainer, narrator: Narrator) -> Sequence[str]:
    """The recipes asked for; of the usual ones, and of all, a user's function is given those that change images."""
    usual = CureSettings().recipes
    if trainer.function is None or settings.recipes not in (usual, (EVERY,)):
        return settings.recipes
    narrator.note(f"{trainer.name} is given changes of images only: {', '.join(OF_LOSS)} are left out.")
    names = REMEDIES if settings.recipes == (EVERY,) else usual
    return [name for name in names if name not in (*OF_LOSS, "more-environments")]


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


def _made(folder: Path) -> Path:
    refuse_other(folder, "holds no cure", is_one=(folder / "cells").is_dir())
    try:
        (folder / "cells").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot write to {folder}: {error.strerror}") from error
    return folder


def _run(
    trials: Sequence[Trial],
    budget: TrialBudget,
    material: Material,
    folder: Path,
    trainer: Trainer,
    narrator: Narrator,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What every training was judged to be, and those that came to nothing; also as files."""
    paths = [trial.path(folder / "cells", budget, material.manifest) for trial in trials]
    before = [kept_trial(path) for path in paths]
    left = sum(table is None for table in before)
    if left < len(trials):
        there = f"{len(trials) - left} of {len(trials)} trainings are done already"
        narrator.say(f"{there}; going on with the others")
    own = None if trainer.function is None else partial(trainer.train, budget=budget)
    judged: list[pd.DataFrame] = []
    failed: list[tuple[Any, ...]] = []
    trained = 0
    with narrator.step(f"Training {left} of {len(trials)} models") as report:
        for trial, path, done in zip(trials, paths, before, strict=True):
            table = done
            if table is None:
                more = {} if own is None else {"train": own}
                try:
                    table = run_trial(
                        trial, budget, material, progress=portion_of(report, trained, left), **more
                    )
                except Exception as error:
                    # Without a single result a mistake in a training of ours is in what was asked, not in the trial.
                    if own is None and not (judged and isinstance(error, ShapsightError)):
                        raise
                    failed.append(_failure(trial, error, narrator))
                else:
                    save_trial(table, path)
                trained += 1
                report(trained, left)
                gc.collect()  # a trained network and its optimiser hang in a ring of references, 0.1 GB for a ResNet-18
            if table is not None:
                judged.append(table)
    found = pd.DataFrame(failed, columns=list(FAILED))
    if not judged:
        raise ModelError(f"every training failed; the first: {found['reason'].iloc[0]}")
    whole = pd.concat(judged, ignore_index=True)
    save_table(whole, folder / "judged")
    save_table(found, folder / "failed", ".csv")
    return whole, found


def _failure(trial: Trial, error: Exception, narrator: Narrator) -> tuple[Any, ...]:
    kind = "" if isinstance(error, ShapsightError) else f"{type(error).__name__}: "
    reason = f"{kind}{error}"
    on = ", ".join(trial.trained_on)
    narrator.note(f"{trial.recipe} trained on {on}, seed {trial.seed}, failed: {reason}")
    return trial.recipe, on, trial.seed, reason


def comparable(judged: pd.DataFrame, failed: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The results that recipes can be compared by, which are of the same seeds, and what is left out for that.

    A recipe that failed in every seed is left out, then every seed in which another one failed. Raises `ModelError`
    where no seed of the baseline is left.
    """
    if failed.empty:
        return judged, ()
    seeds = {*judged["seed"], *failed["seed"]}
    lost = {str(recipe): set(rows["seed"]) for recipe, rows in failed.groupby("recipe")}
    without = [recipe for recipe, gone in lost.items() if gone == seeds]
    for recipe in sorted(lost, key=lambda name: (name == BASELINE, -len(lost[name]))):
        if seeds - set().union(*(gone for name, gone in lost.items() if name not in without)):
            break
        without = list(dict.fromkeys((*without, recipe)))
    gone = set().union(*(gone for name, gone in lost.items() if name not in without))
    if BASELINE in without:
        first = failed[failed["recipe"] == BASELINE]["reason"].iloc[0]
        raise ModelError(
            f"the baseline failed in every seed, so nothing can be compared with it; the first: {first}"
        )
    said = [f"{recipe} is not ranked: it failed in seed {_listed(lost[recipe])}." for recipe in without]
    if gone:
        said.append(f"Seed {_listed(gone)} is left out of the ranking, since a training failed in it.")
    return judged[~judged["recipe"].isin(without) & ~judged["seed"].isin(gone)], tuple(said)


def _listed(seeds: Any) -> str:
    return ", ".join(map(str, sorted(seeds)))
