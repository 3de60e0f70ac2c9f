"""The main job: train a model on a dataset, measure it in every environment, and see where it looks."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, UInt8
from numpy import ndarray
from torch import Tensor

from shapsight.attribution.deep import DeepShap
from shapsight.attribution.explanation import Explanation
from shapsight.data.manifest import Manifest
from shapsight.data.roi import Roi
from shapsight.diagnosis.accuracy import evaluate, predict_table
from shapsight.diagnosis.relevance import relevance_per_environment, relevance_per_image
from shapsight.jobs.choice import choose_images
from shapsight.jobs.narrator import Narrator
from shapsight.jobs.run_folder import RunFolder
from shapsight.models.build import build_model
from shapsight.models.plan import LEARNING_RATE
from shapsight.models.train import TrainingResult, fit


@dataclass(frozen=True)
class Settings:
    """What a model is trained and explained with; the defaults are those of the command line."""

    train_on: str = "all"
    arch: str = "resnet18"
    weights: str = "imagenet"
    epochs: int = 10
    batch_size: int = 8
    learning_rate: float = LEARNING_RATE
    image_size: int = 224
    references: int = 100
    explain: int = 8
    roi: str | None = None
    seed: int = 0
    device: str = "auto"

    def as_dict(self) -> dict[str, Any]:
        """For run.json."""
        return asdict(self)


@dataclass(frozen=True)
class Outcome:
    """All that one model's report is made from."""

    name: str
    settings: Settings
    manifest: Manifest
    training: TrainingResult
    predictions: pd.DataFrame
    errors: pd.DataFrame
    explained: pd.DataFrame
    explanation: Explanation
    relevance: pd.DataFrame | None


class Interrupted(Exception):
    """Ctrl-C during training: the best epoch so far was kept in `training`."""

    def __init__(self, training: TrainingResult) -> None:
        super().__init__("training was interrupted")
        self.training = training


def train(
    settings: Settings, manifest: Manifest, images: UInt8[Tensor, "images 3 size size"], narrator: Narrator
) -> TrainingResult:
    """Build and fit the network. Raises `Interrupted`, which holds the best epoch so far, on Ctrl-C."""
    built = build_model(settings.arch, len(manifest.targets), weights=settings.weights, seed=settings.seed)
    rows = manifest.rows("train")
    title = f"Training {settings.arch} on {len(rows)} images of {', '.join(manifest.train_on)}"
    narrator.say(f"{title} …")  # the bar is Lightning's own
    training = fit(
        built,
        manifest,
        images,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        references=settings.references,
        seed=settings.seed,
        accelerator=settings.device,
        progress=narrator.console.is_terminal and not narrator.quiet,
    )
    for sentence in training.notes:
        narrator.note(sentence)
    if training.stopped == "interrupted":
        raise Interrupted(training)
    return training


def analyse(
    name: str,
    settings: Settings,
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
    with narrator.step(f"Predicting {len(manifest)} images"):
        predictions = predict_table(training.bundle, manifest, images)
        errors = evaluate(predictions, manifest.targets, seed=settings.seed)
    chosen = (
        choose_images(
            predictions if among is None else predictions[among],
            settings.explain,
            target=manifest.targets[0],
            seed=settings.seed,
        )
        if explained is None
        else predictions.loc[explained.index].assign(why=explained["why"])
    )
    explanation = explain_rows(training, chosen, images, narrator)
    relevance = None
    if roi is not None:
        per_image = relevance_per_image(explanation, chosen, region_masks(roi, chosen, images.shape[-1]))
        relevance = relevance_per_environment(per_image, seed=settings.seed)
    return Outcome(name, settings, manifest, training, predictions, errors, chosen, explanation, relevance)


def explain_rows(
    training: TrainingResult,
    rows: pd.DataFrame,
    images: UInt8[Tensor, "images 3 size size"],
    narrator: Narrator,
) -> Explanation:
    """DeepSHAP of some rows of the manifest's table, against the bundle's references."""
    bundle = training.bundle
    references = bundle.prepare(bundle.references)
    pixels = images[rows.index.tolist()]
    explainer = DeepShap(bundle.model, references, output_names=bundle.card.output_names)
    with narrator.step(f"Explaining {len(rows)} images against {len(references)} references") as report:
        return explainer(bundle.prepare(pixels), progress=report, show=pixels.float() / 255)


def region_masks(roi: Roi, rows: pd.DataFrame, size: int) -> Bool[ndarray, "images size size"]:
    """The region of interest of some rows, at the size that the model sees."""
    return np.stack([roi.mask(row, size) for row in rows.to_dict("records")])


def save_outcome(outcome: Outcome, run: RunFolder, name: str = "") -> None:
    """Write a model, its predictions, errors and explanations into a run folder, each file complete or not at all."""
    outcome.training.bundle.save(run.folder(f"model{name}"))
    _save_table(outcome.predictions, run.path / f"predictions{name}.parquet")
    _save_table(outcome.errors, run.path / f"errors{name}.parquet")
    if outcome.relevance is not None:
        _save_table(outcome.relevance, run.path / f"relevance{name}.parquet")
    folder = run.folder("explanations")
    outcome.explanation.save(folder / f"deep{name}.safetensors")
    outcome.explained[["path", "environment", "split", "why"]].to_csv(folder / f"deep{name}.csv", index=False)


def _save_table(table: pd.DataFrame, path: Path) -> None:
    part = path.with_name(f".{path.name}.part")
    table.to_parquet(part)
    part.replace(path)
