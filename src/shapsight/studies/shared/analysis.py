"""The main job: train a model on a dataset, measure it in every environment, and see where it looks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
from jaxtyping import Bool, UInt8
from numpy import ndarray
from torch import Tensor

from shapsight.attribution.deep import DeepShap
from shapsight.attribution.explanation import Explanation
from shapsight.attribution.shared.outputs import TopK
from shapsight.data.manifest import Manifest
from shapsight.data.roi import Roi
from shapsight.data.written_files import written
from shapsight.diagnosis.classes import evaluate_classes
from shapsight.diagnosis.prediction_errors import evaluate, predict_table
from shapsight.diagnosis.relevance import relevance_per_environment, relevance_per_image
from shapsight.models.build import build_model
from shapsight.models.loggers import logger_option
from shapsight.models.plan import TrainingPlan
from shapsight.models.train import TrainingResult, fit
from shapsight.studies.shared.contributions import Contributions, contributions_of
from shapsight.studies.shared.left_open import completed
from shapsight.studies.shared.narrator import Narrator
from shapsight.studies.shared.references import with_chosen_references
from shapsight.studies.shared.run_folder import RunFolder
from shapsight.studies.shared.sampling import choose_images, choose_of_each_class
from shapsight.studies.shared.settings import TrainingSettings
from shapsight.studies.shared.treatment import region_masks, treatment_for

__all__ = [
    "Interrupted",
    "Outcome",
    "Trained",
    "analyse",
    "judge",
    "measure",
    "on_held_out",
    "region_masks",
    "save_outcome",
    "train",
]
MOST_CLASSES = 16  # beyond that a row of heatmaps cannot be read


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What a model says of a dataset, and how far that is from the truth."""

    name: str
    manifest: Manifest
    predictions: pd.DataFrame
    errors: pd.DataFrame


@dataclass(frozen=True, kw_only=True)
class Trained(Judged):
    """A model that was trained here, judged on its own dataset."""

    settings: TrainingSettings
    training: TrainingResult
    checks: pd.DataFrame | None = None


@dataclass(frozen=True, kw_only=True)
class Outcome(Trained):
    """All that one model's report is made from."""

    explained: pd.DataFrame
    explanation: Explanation
    relevance: pd.DataFrame | None
    contributions: Contributions | None
    masks: Bool[ndarray, "explained size size"] | None = None


class Interrupted(Exception):
    """Ctrl-C during training: the best epoch so far was kept in `training`."""

    def __init__(self, training: TrainingResult) -> None:
        super().__init__("training was interrupted")
        self.training = training


def train(
    settings: TrainingSettings,
    manifest: Manifest,
    images: UInt8[Tensor, "images 3 size size"],
    narrator: Narrator,
    *,
    checkpoints: Path | None = None,
) -> TrainingResult:
    """Build and fit the network. Raises `Interrupted`, which holds the best epoch so far, on Ctrl-C.

    With `checkpoints` every epoch leaves what a resumed training needs in that folder, and is gone on from there.
    """
    settings = completed(settings, manifest)
    outputs = len(manifest.output_names)
    built = build_model(settings.arch, outputs, weights=settings.weights, seed=settings.seed)
    rows = manifest.rows("train")
    title = f"Training {settings.arch} on {len(rows)} images of {', '.join(manifest.train_on)}"
    progress = narrator.start(title)
    plan = TrainingPlan.of(
        settings, trainer=settings.trainer.as_arguments() | logger_option(settings.logger, checkpoints)
    )
    treatment = treatment_for(settings, manifest, images.shape[-1])
    training = fit(
        built, manifest, images, plan, treatment=treatment, checkpoints=checkpoints, progress=progress
    )
    for sentence in training.notes:
        narrator.note(sentence)
    if training.stopped == "interrupted":
        raise Interrupted(training)
    return (
        training
        if settings.references_drawn
        else _with_references(training, settings, manifest, images, narrator)
    )


def _with_references(
    training: TrainingResult,
    settings: TrainingSettings,
    manifest: Manifest,
    images: UInt8[Tensor, "images 3 size size"],
    narrator: Narrator,
) -> TrainingResult:
    """With references that were chosen."""
    with narrator.step("Choosing references among the training images") as report:
        bundle, notes = with_chosen_references(
            training.bundle, manifest, images, settings.references, seed=settings.seed, progress=report
        )
    for sentence in notes:
        narrator.note(sentence)
    return replace(training, bundle=bundle)


def analyse(
    name: str,
    settings: TrainingSettings,
    training: TrainingResult,
    manifest: Manifest,
    images: UInt8[Tensor, "images 3 size size"],
    narrator: Narrator,
    *,
    roi: Roi | None = None,
    explained: pd.DataFrame | None = None,
    among: pd.Series[bool] | None = None,
) -> Outcome:
    """Measure a trained model in every environment, and explain some images of each.

    `explained` names the rows to explain, as an earlier outcome did, so that two models can be compared on the same
    pictures; without it they are chosen from this model's predictions, `among` some rows if that is given.
    """
    trained = judge(name, settings, training, manifest, images, narrator)
    predictions = trained.predictions
    if explained is not None:
        chosen = predictions.loc[explained.index].assign(why=explained["why"])
    else:
        chosen = _choose(predictions if among is None else predictions[among], manifest, settings)
    explanation = explain_rows(training, chosen, images, narrator)
    relevance = contributions = masks = None
    if roi is not None:
        masks = region_masks(roi, chosen, images.shape[-1])
        per_image = relevance_per_image(explanation, chosen, masks)
        relevance = relevance_per_environment(per_image, seed=settings.seed)
        pixels = images[chosen.index.tolist()]
        with narrator.step(f"Exact Shapley values of scene and region of {len(chosen)} images") as report:
            contributions = contributions_of(
                explanation,
                training.bundle,
                manifest,
                chosen,
                pixels,
                masks,
                progress=report,
                seed=settings.seed,
            )
    return Outcome(
        **vars(trained),
        explained=chosen,
        explanation=explanation,
        relevance=relevance,
        contributions=contributions,
        masks=masks,
    )


def judge(
    name: str,
    settings: TrainingSettings,
    training: TrainingResult,
    manifest: Manifest,
    images: UInt8[Tensor, "images 3 size size"],
    narrator: Narrator,
) -> Trained:
    """Measure a trained model in every environment."""
    with narrator.step(f"Predicting {len(manifest)} images"):
        predictions = predict_table(training.bundle, manifest, images)
        errors = measure(predictions, manifest, seed=settings.seed)
    return Trained(
        name=name,
        manifest=manifest,
        predictions=predictions,
        errors=errors,
        settings=settings,
        training=training,
    )


def measure(predictions: pd.DataFrame, manifest: Manifest, *, seed: int = 0) -> pd.DataFrame:
    """The errors of each target, or how well classes are told apart, in each environment."""
    if manifest.class_names:
        return evaluate_classes(predictions, manifest.class_names, seed=seed)
    return evaluate(predictions, manifest.targets, seed=seed)


def _choose(predictions: pd.DataFrame, manifest: Manifest, settings: TrainingSettings) -> pd.DataFrame:
    if manifest.class_names:
        return choose_of_each_class(predictions, seed=settings.seed)
    return choose_images(predictions, settings.explain, target=manifest.targets[0], seed=settings.seed)


def explain_rows(
    training: TrainingResult,
    rows: pd.DataFrame,
    images: UInt8[Tensor, "images 3 size size"],
    narrator: Narrator,
) -> Explanation:
    """DeepSHAP of some rows of the manifest's table, against the bundle's references.

    All outputs are explained, of more than 16 classes the four likeliest of each image.
    """
    bundle = training.bundle
    references = bundle.prepared_references()
    pixels = images[rows.index.tolist()]
    explainer = DeepShap(bundle.model, references, output_names=bundle.card.output_names)
    with narrator.step(f"Explaining {len(rows)} images against {len(references)} references") as report:
        outputs = TopK(4) if len(bundle.card.output_names) > MOST_CLASSES else None
        return explainer(bundle.prepare(pixels), outputs, progress=report, show=pixels.float() / 255)


def on_held_out(outcome: Outcome, held_out: pd.Series[bool]) -> Outcome:
    """A model judged on the images that neither of two was trained on, under one name in every environment."""
    predictions = outcome.predictions[held_out].assign(split="held out")
    errors = measure(predictions, outcome.manifest, seed=outcome.settings.seed)
    relevance = None if outcome.relevance is None else outcome.relevance.assign(split="held out")
    found = outcome.contributions
    if found is not None:
        found = replace(found, measures=found.measures.assign(split="held out"))
    return replace(outcome, predictions=predictions, errors=errors, relevance=relevance, contributions=found)


def save_outcome(outcome: Outcome, run: RunFolder, name: str = "") -> None:
    """Write a model, its predictions, errors and explanations into a run folder, each file complete or not at all."""
    outcome.training.bundle.save(run.folder(f"model{name}"))
    save_judged(outcome, run, name)
    if outcome.relevance is not None:
        save_table(outcome.relevance, run.path / f"relevance{name}.parquet")
    if outcome.contributions is not None:
        for table, content in outcome.contributions.tables.items():
            save_table(content, run.path / f"{table}{name}.parquet")
    folder = run.folder("explanations")
    outcome.explanation.save(folder / f"deep{name}.safetensors")
    outcome.explained[["path", "environment", "split", "why"]].to_csv(folder / f"deep{name}.csv", index=False)


def save_judged(judged: Judged, run: RunFolder, name: str = "") -> None:
    """Write predictions and errors, the latter as CSV for people, too."""
    save_table(judged.predictions, run.path / f"predictions{name}.parquet")
    save_table(judged.errors, run.path / f"errors{name}.parquet")
    judged.errors.to_csv(run.path / f"errors{name}.csv", index=False)


def save_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table as Parquet, complete or not at all."""
    with written(path) as part:
        table.to_parquet(part)
