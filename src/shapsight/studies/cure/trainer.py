"""Who trains in a cure: we, as a run was made or a plan says, or a function of the user's own."""

from __future__ import annotations

import hashlib
import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn
from torchvision.transforms import v2

from shapsight.data.given_files import is_number
from shapsight.data.manifest import Manifest
from shapsight.data.remedies.recipes import Recipe
from shapsight.data.remedies.sample import Places
from shapsight.data.roi import Roi
from shapsight.data.turns import Turns, in_turn
from shapsight.errors import DataError, ModelError, RunError
from shapsight.models.bundle import Bundle
from shapsight.studies.cure.trials import Trial, TrialBudget, treatment_of
from shapsight.studies.shared.found import Run, open_run
from shapsight.studies.shared.left_open import completed
from shapsight.studies.shared.material import Material, roi_of
from shapsight.studies.shared.narrator import Narrator
from shapsight.studies.shared.option import roi_text
from shapsight.studies.shared.reading import dataset_of
from shapsight.studies.shared.settings import CureSettings, TrainingSettings
from shapsight.studies.shared.subject import is_import_path, own_object, subject_of

OWN_SIZE = 224  # pixels a side of the scenes and pictures of a cure whose training is the user's
OF_OURS = ("epochs", "batch_size", "weights")
OF_LOSS = ("right-reasons", "balance")  # remedies that are no change of images


@dataclass(frozen=True, eq=False)
class OwnRecipe:
    """What a training function of the user's own is given of a recipe.

        def train(photos, recipe, seed):
            rows = photos.split("train")
            ...
            image, mask, points = recipe.transform(image, mask, points)
            return shapsight.Bundle.wrap(model, my_transform, outputs=["x", "y"])

    Attributes
        name: such as "flip+swap-scene", or "baseline".
        transform: a torchvision v2 transform of a sample (tv_tensors.Image in uint8, tv_tensors.Mask of the region of
            interest, targets that are places as tv_tensors.KeyPoints); scenes are those of the turn's training images.
        roi: the region of interest, `roi.mask(row)` in stored pixels; None without one.
    """

    name: str
    transform: v2.Transform
    roi: Roi | None = None


@dataclass(frozen=True, eq=False)
class Trainer:
    """What every trial of a cure has in common.

    Attributes
        manifest: the images. budget: how is trained. roi: where the region of interest is.
        function: the user's own, `function(photos, recipe, seed)`, where we do not train.
        folder: of the run that is cured.
    """

    manifest: Manifest
    settings: TrainingSettings
    roi: Roi | None = None
    name: str = ""
    function: Callable[[Manifest, OwnRecipe, int], Any] | None = None
    folder: Path | None = None

    def budget(self, settings: CureSettings, turns: Turns) -> TrialBudget:
        """The run's or plan's settings where nothing else was asked for.

        An epoch shows as many images as the baseline's turns have on average, whatever a recipe adds.
        """
        how = completed(self.settings, self.manifest)
        share, is_own = how.reading.validation_share, self.function is not None
        if is_own and (given := [name for name in OF_OURS if getattr(settings, name) is not None]):
            raise DataError(f"{', '.join(given)} cannot be given here: {self.name} trains as it is written")
        shown = [
            len(in_turn(self.manifest, names, seed=how.seed, validation_share=share).rows("train"))
            for names in turns.plain
        ]
        return TrialBudget(
            arch=self.name if is_own else how.arch,
            weights=_source(self.function) if is_own else settings.weights or how.weights,
            epochs=0 if is_own else settings.epochs or how.epochs,
            images_per_epoch=round(float(np.mean(shown))),
            batch_size=0 if is_own else settings.batch_size or how.batch_size,
            learning_rate=0.0 if is_own else how.learning_rate,
            schedule=how.schedule,  # type: ignore[arg-type]  # fit checks it
            warm_up=how.warm_up,
            image_size=settings.image_size or (OWN_SIZE if is_own else how.image_size),
            roi=roi_text(self.roi),
            scenes=None if settings.scenes is None else str(settings.scenes),
            mirrored=settings.mirrored,
            strength=settings.strength,
            references=settings.references,
            explain=settings.explain,
            split_seed=how.seed,
            validation_share=share,
            device=settings.device,
        )

    def train(self, trial: Trial, material: Material, budget: TrialBudget) -> Bundle:
        """The user's function, called for one trial. Raises `ModelError` where it returns no model."""
        assert self.function is not None
        samples = treatment_of(trial.recipe, budget, material).samples(
            material.manifest, material.images, trial.seed
        )
        own = OwnRecipe(trial.recipe, samples.transform, self.roi)
        found = self.function(material.manifest, own, trial.seed)
        if isinstance(found, nn.Module):
            names, task = list(material.manifest.output_names), material.manifest.task
            found = Bundle.wrap(found, outputs=names, task=task, size=budget.image_size)
        if not isinstance(found, Bundle):
            what = "nothing" if found is None else f"a {type(found).__name__}"
            raise ModelError(
                f"{self.name} returned {what}: return shapsight.Bundle.wrap(model, transform, outputs=...)"
            )
        if found.card.output_names != material.manifest.output_names:
            raise ModelError(
                f"the model of {self.name} predicts {', '.join(found.card.output_names)}, the data hold "
                f"{', '.join(material.manifest.output_names)}"
            )
        return found

    def check(self, recipes: list[Recipe], settings: CureSettings) -> None:
        """Raise `DataError` for a recipe that needs what is not there, or that a user's function cannot be given."""
        for recipe in recipes:
            wrong = [name for name in OF_LOSS if recipe.has(name)]
            if self.function is not None and wrong:
                raise DataError(
                    f"{wrong[0]} is no change of images, and {self.name} is given nothing else: leave it out of recipes"
                )
            recipe.check(Places.of(self.manifest, settings.mirrored), has_roi=self.roi is not None)


def trainer_of(train: Any, data: Any, settings: CureSettings, narrator: Narrator) -> Trainer:
    """Who trains, and on what.

    `train` is a run or its folder, a plan (`shapsight.training(...)`), a function, or "module:name" of the last two.
    Raises a `ShapsightError` for anything else, and for data that are missing.
    """
    name = getattr(train, "__qualname__", type(train).__name__)
    if isinstance(train, str | os.PathLike):
        is_own = not Path(train).exists() and is_import_path(train)
        name, train = str(train), own_object(str(train)) if is_own else open_run(train)
    if isinstance(train, Run):
        run = train
        plan, manifest, rois = _plan_of(run), run.manifest, (run.settings.get("roi"), run.manifest.roi)
        if data is not None:
            subject = subject_of(run, data, settings.reading, narrator)
            manifest, rois = subject.manifest, subject.rois
        return Trainer(manifest, plan, roi_of(settings.roi, *rois), folder=run.folder)
    if isinstance(train, Bundle | nn.Module) or not (callable(train) or isinstance(train, TrainingSettings)):
        raise ModelError(
            f"cure trains again, which a {type(train).__name__} does not say how: give a run, shapsight.training("
            'arch="resnet18", ...), or your function train(photos, recipe, seed) that returns a Bundle'
        )
    if data is None:
        raise DataError("say which images to train on: only a run has a dataset of its own")
    plan = train if isinstance(train, TrainingSettings) else TrainingSettings(reading=settings.reading)
    manifest = dataset_of(data, plan, narrator)
    roi = roi_of(settings.roi, plan.roi, manifest.roi)
    return Trainer(manifest, plan, roi, name, None if plan is train else train)


def _plan_of(run: Run) -> TrainingSettings:
    """The training of a run, with what its model's card says of it."""
    card = run.bundle.card
    reading = run.settings.get("reading") or {}
    plan = TrainingSettings(
        arch=card.arch,
        weights=run.weights,
        epochs=int(_of_training(run, "epochs")),
        batch_size=int(_of_training(run, "batch_size")),
        learning_rate=_of_training(run, "learning_rate"),
        schedule=card.training.get("schedule", "constant"),
        warm_up=int(card.training.get("warm_up", 0)),
        image_size=card.input_size,
        seed=int(run.settings.get("seed", 0)),
    )
    share = float(reading.get("validation_share", 0.2))
    return replace(plan, reading=replace(plan.reading, validation_share=share))


def _of_training(run: Run, name: str) -> float:
    """A number that the model was trained with; a bundle that was made by hand may not say it."""
    card, value = run.folder / "model" / "card.json", run.bundle.card.training.get(name)
    if not is_number(value) or value <= 0:
        raise RunError(
            f"{card} does not say with which {name} the model was trained ({value!r:.60}), so "
            "remedies cannot be tried with the same: make the run with shapsight train"
        )
    return float(value)


def _source(function: Any) -> str:
    """A digest of what the function is written as: results of another version are not its own."""
    try:
        text = inspect.getsource(function)
    except (OSError, TypeError):
        text = repr(function)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
