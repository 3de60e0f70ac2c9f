"""The main steps: check the data, train a model, measure it in every environment, and see where it looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from shapsight.attribution.explain import attributions
from shapsight.attribution.explanation import Explanation
from shapsight.attribution.shared.outputs import TopK
from shapsight.data.checks import check_dataset
from shapsight.diagnosis.prediction_errors import predict_table
from shapsight.diagnosis.relevance import relevance_per_environment, relevance_per_image
from shapsight.models.build import build_model
from shapsight.models.bundle import Bundle
from shapsight.models.loggers import logger_option
from shapsight.models.plan import TrainingPlan
from shapsight.models.train import TrainingResult, fit
from shapsight.studies.shared.exact_contributions import contributions_of
from shapsight.studies.shared.left_open import completed
from shapsight.studies.shared.material import Material
from shapsight.studies.shared.narrator import Narrator
from shapsight.studies.shared.outcome import Judged, Outcome, Trained, save_table
from shapsight.studies.shared.references import with_chosen_references
from shapsight.studies.shared.run_folder import RunFolder
from shapsight.studies.shared.settings import TrainingSettings
from shapsight.studies.tasks.task import task_of

if TYPE_CHECKING:
    from lightning.pytorch.callbacks import Callback

MOST_CLASSES = 16  # beyond that a row of heatmaps cannot be read


def check(material: Material, run: RunFolder, narrator: Narrator, *, seed: int) -> pd.DataFrame:
    """What is odd about the data, also in checks.csv."""
    with narrator.step("Checking the data"):
        checks = check_dataset(material.manifest, material.images, seed=seed)
    save_table(checks, run.path / "checks", ".csv")
    return checks


def train(
    settings: TrainingSettings,
    material: Material,
    narrator: Narrator,
    *,
    save_to: Path | None = None,
    checkpoints: Path | None = None,
    watching: Sequence[Callback] = (),
) -> TrainingResult:
    """Build and fit the network, and choose its references; the bundle is written into `save_to`.

    With `checkpoints` every epoch leaves what a resumed training needs in that folder, and is gone on from there.
    Callbacks that are `watching` only look on.
    Raises `KeyboardInterrupt` on Ctrl-C, once the best epoch so far is written.
    """
    manifest = material.manifest
    settings = completed(settings, manifest)
    built = build_model(
        settings.arch, len(manifest.output_names), weights=settings.weights, seed=settings.seed
    )
    images = len(manifest.rows("train"))
    progress = narrator.start(
        f"Training {settings.arch} on {images} images of {', '.join(manifest.train_on)}"
    )
    trainer = settings.trainer.as_arguments() | logger_option(settings.logger, checkpoints)
    plan = TrainingPlan.of(settings, trainer=trainer)
    training = fit(
        built,
        manifest,
        material.images,
        plan,
        treatment=material.treatment(settings),
        checkpoints=checkpoints,
        watching=watching,
        progress=progress,
    )
    was_interrupted = training.stopped == "interrupted"
    if save_to is not None:  # what was learned is safe, whatever happens while references are chosen
        training.bundle.save(save_to)
    if not settings.references_drawn and not was_interrupted:
        with narrator.step("Choosing references among the training images") as report:
            bundle, notes = with_chosen_references(
                training.bundle,
                manifest,
                material.images,
                settings.references,
                seed=settings.seed,
                progress=report,
            )
        training = replace(training, bundle=bundle, notes=(*training.notes, *notes))
        if save_to is not None:
            training.bundle.save(save_to)
    for sentence in training.notes:
        narrator.note(sentence)
    if was_interrupted:
        raise KeyboardInterrupt
    return training


def predicted(name: str, bundle: Bundle, material: Material, narrator: Narrator, *, seed: int = 0) -> Judged:
    """Ask a model about every image, and measure it in every environment."""
    manifest = material.manifest
    with narrator.step(f"Predicting {len(manifest)} images"):
        predictions = predict_table(bundle, manifest, material.images)
        errors = task_of(manifest).measure(predictions, manifest, seed=seed)
    return Judged(name=name, manifest=manifest, predictions=predictions, errors=errors)


def judge(
    name: str, settings: TrainingSettings, training: TrainingResult, material: Material, narrator: Narrator
) -> Trained:
    """Measure a model that was trained here in every environment."""
    judged = predicted(name, training.bundle, material, narrator, seed=settings.seed)
    return Trained(**vars(judged), settings=settings, training=training)


def analyse(
    name: str,
    settings: TrainingSettings,
    training: TrainingResult,
    material: Material,
    narrator: Narrator,
    *,
    explained: pd.DataFrame | None = None,
    among: pd.Series[bool] | None = None,
) -> Outcome:
    """Measure a trained model in every environment, and explain some images of each.

    `explained` names the rows to explain, as an earlier outcome did, so that two models can be compared on the same
    pictures; without it they are chosen from this model's predictions, `among` some rows if that is given.
    """
    trained = judge(name, settings, training, material, narrator)
    manifest, predictions = material.manifest, trained.predictions
    if explained is not None:
        rows = predictions.loc[explained.index].assign(why=explained["why"])
    else:
        some = predictions if among is None else predictions[among]
        rows = task_of(manifest).choose(some, manifest, settings.explain, settings.seed)
    explanation = explain_rows(training.bundle, rows, material, narrator)
    outcome = Outcome(**vars(trained), explained=rows, explanation=explanation, masks=material.regions(rows))
    return outcome if outcome.masks is None else _with_regions(outcome, material, narrator)


def _with_regions(outcome: Outcome, material: Material, narrator: Narrator) -> Outcome:
    """With what scene and region contribute, and how much of the attribution lies in the region."""
    rows, masks, seed = outcome.explained, outcome.masks, outcome.settings.seed
    assert masks is not None
    relevance = relevance_per_environment(relevance_per_image(outcome.explanation, rows, masks), seed=seed)
    with narrator.step(f"Exact Shapley values of scene and region of {len(rows)} images") as report:
        contributions = contributions_of(
            outcome.explanation,
            outcome.training.bundle,
            outcome.manifest,
            rows,
            material.images[rows.index.tolist()],
            masks,
            progress=report,
            seed=seed,
        )
    return replace(outcome, relevance=relevance, contributions=contributions)


def explain_rows(bundle: Bundle, rows: pd.DataFrame, material: Material, narrator: Narrator) -> Explanation:
    """DeepSHAP of some rows of the manifest's table, against the bundle's references; PartitionSHAP of a function.

    All outputs are explained, of more than 16 classes the four likeliest of each image.
    """
    outputs = TopK(4) if len(bundle.card.output_names) > MOST_CLASSES else None
    against = f" against {len(bundle.references)} references" if bundle.has_gradients else ""
    with narrator.step(f"Explaining {len(rows)} images{against}") as report:
        return attributions(bundle, material.images[rows.index.tolist()], outputs, progress=report)


def on_held_out(outcome: Outcome, held_out: pd.Series[bool]) -> Outcome:
    """A model judged on the images that neither of two was trained on, under one name in every environment."""
    predictions = outcome.predictions[held_out].assign(split="held out")
    errors = task_of(outcome.manifest).measure(predictions, outcome.manifest, seed=outcome.settings.seed)
    return replace(outcome.under("held out"), predictions=predictions, errors=errors)
