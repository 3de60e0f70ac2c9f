"""The trials of a cure: one training each, judged on what it has not seen; every result is on disk at once."""

from __future__ import annotations

import re
import time
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from jaxtyping import Float

from shapsight.attribution.explain import attributions
from shapsight.data.given_files import read_parquet
from shapsight.data.manifest import Manifest
from shapsight.data.remedies.recipes import read_recipe
from shapsight.data.remedies.treatment import Treatment
from shapsight.data.turns import in_turn
from shapsight.data.written_files import written
from shapsight.diagnosis.prediction_errors import error_per_image, predict_table
from shapsight.errors import ExplainerError
from shapsight.models.build import build_model
from shapsight.models.bundle import Bundle
from shapsight.models.plan import Schedule, TrainingPlan
from shapsight.models.train import TrainingResult, fit
from shapsight.studies.shared.material import Material
from shapsight.studies.shared.narrator import Report
from shapsight.studies.shared.references import with_chosen_references
from shapsight.studies.shared.store import digest, kept
from shapsight.studies.tasks.task import task_of

FORMAT = "shapsight.cell/3"  # 1 held shares of absolute attribution, 2 explained with drawn references
OPTIONS = {"scenes", "mirrored", "strength"}  # of some remedies; the results of others do not depend on them


@dataclass(frozen=True)
class TrialBudget:
    """What every training of a cure has in common, so that recipes are compared and nothing else."""

    arch: str
    weights: str
    epochs: int
    images_per_epoch: int
    batch_size: int
    learning_rate: float
    schedule: Schedule
    warm_up: int
    image_size: int
    roi: str | None
    scenes: str | None
    mirrored: tuple[str, ...]
    strength: float
    references: int
    explain: int
    split_seed: int
    validation_share: float
    device: str


@dataclass(frozen=True)
class Trial:
    """One training: a recipe, the environments that it sees, and a seed."""

    recipe: str
    trained_on: tuple[str, ...]
    seed: int

    def path(self, folder: Path, budget: TrialBudget, manifest: Manifest) -> Path:
        """Where its result is kept; a change of the budget or the data is another place."""
        of_others = OPTIONS - read_recipe(self.recipe).options
        used = asdict(budget) | dict.fromkeys({"device", *of_others})
        truth = manifest.targets or ("label",)
        data = manifest.table[["path", "environment", *truth]].to_dict("list")
        parts = [asdict(self), used, [digest(data)]]
        said = re.sub(r"[^\w+-]", "_", f"{self.recipe}__on_{'+'.join(self.trained_on)}__seed_{self.seed}")
        return folder / f"{said[:120]}__{digest(parts)[:10]}.parquet"

    def turn(self, material: Material, budget: TrialBudget) -> Material:
        """The images with those environments trained on that it sees; the others are unseen."""
        seed, share = budget.split_seed, budget.validation_share
        manifest = in_turn(material.manifest, self.trained_on, seed=seed, validation_share=share)
        return replace(material, manifest=manifest)


def run_trial(
    trial: Trial,
    budget: TrialBudget,
    material: Material,
    *,
    train: Callable[[Trial, Material], Bundle] | None = None,
    progress: Report | bool = False,
) -> pd.DataFrame:
    """Train, or let `train` do it, and judge every image of the environments that were not trained on: a row each.

    Columns: `recipe, trained_on, seed, environment, path`, the predictions, `error` (the squared error, mean over
    targets on their scales; for classes 1 where the label is wrong), `is_right_side` (does the first target have the
    right sign?), `scene_share` of what moves the first output where the image was explained, `seconds` of the training
    and its `best_epoch`.
    """
    seed = budget.split_seed
    material, best_epoch = trial.turn(material, budget), 0
    manifest = material.manifest
    started = time.perf_counter()
    if train is None:
        result = trained(trial, budget, material, progress)
        bundle, best_epoch = result.bundle, result.best_epoch
    else:
        bundle = train(trial, material)
        material = material.seen_by(bundle)
    seconds = time.perf_counter() - started
    if material.masks is not None and (train is None or not len(bundle.references)):
        bundle, _ = with_chosen_references(bundle, manifest, material.images, budget.references, seed=seed)
    predictions = predict_table(bundle, manifest, material.images)
    unseen = manifest.rows("unseen")
    judged = predictions.assign(
        recipe=trial.recipe,
        trained_on=", ".join(trial.trained_on),
        seed=trial.seed,
        error=error_per_image(predictions, manifest),
        is_right_side=task_of(manifest).right_side(predictions, manifest),
        scene_share=_scene_shares(bundle, manifest, unseen, budget, material),
        seconds=seconds,
        best_epoch=best_epoch,
    )
    return judged.iloc[unseen].drop(columns=["split", "width", "height"]).reset_index(drop=True)


def trained(
    trial: Trial, budget: TrialBudget, material: Material, progress: Report | bool = False
) -> TrainingResult:
    """The training of a trial by us, on the images of its turn. Raises `KeyboardInterrupt` on Ctrl-C."""
    outputs = len(material.manifest.output_names)
    result = fit(
        build_model(budget.arch, outputs, weights=budget.weights, seed=trial.seed),
        material.manifest,
        material.images,
        TrainingPlan.of(budget, seed=trial.seed, warm_up=min(budget.warm_up, budget.epochs - 1)),
        treatment=treatment_of(trial.recipe, budget, material),
        progress=progress,
    )
    if result.stopped == "interrupted":
        raise KeyboardInterrupt
    return result


def treatment_of(recipe: str, budget: TrialBudget, material: Material) -> Treatment:
    """How a recipe is applied within the budget; every recipe shows as many images an epoch."""
    return Treatment(
        read_recipe(recipe),
        masks=material.masks,
        scenes=material.scenes,
        images_per_epoch=budget.images_per_epoch,
        mirrored=budget.mirrored,
        strength=budget.strength,
    )


def save_trial(table: pd.DataFrame, path: Path) -> None:
    """Write a result, complete or not at all."""
    content = pa.Table.from_pandas(table, preserve_index=False)
    metadata = {**(content.schema.metadata or {}), b"shapsight": FORMAT.encode()}
    with written(path) as part:
        pq.write_table(content.replace_schema_metadata(metadata), part)


def kept_trial(path: Path) -> pd.DataFrame | None:
    """A result that is there already; None where it is not, or is damaged and must be made again."""
    return kept(path, _read)


def _read(path: Path) -> pd.DataFrame | None:
    table = read_parquet(path)
    if (table.schema.metadata or {}).get(b"shapsight") != FORMAT.encode():
        return None
    return pd.DataFrame(table.to_pandas())


def to_explain(manifest: Manifest, count: int, seed: int) -> np.ndarray:
    """Rows to explain, `count` of each environment, drawn once for all trials."""
    environments = manifest.table["environment"].to_numpy()
    chosen = []
    for name in manifest.environments:
        generator = np.random.default_rng([seed, zlib.crc32(str(name).encode())])
        chosen.append(generator.permutation(np.flatnonzero(environments == name))[:count])
    return np.sort(np.concatenate(chosen))


def _scene_shares(
    bundle: Bundle, manifest: Manifest, unseen: np.ndarray, budget: TrialBudget, material: Material
) -> Float[np.ndarray, "images"]:
    """How much of what moves the prediction comes from the scene, in the rows that are explained; NaN for others."""
    shares = np.full(len(manifest), np.nan)
    rows = np.intersect1d(to_explain(manifest, budget.explain, budget.split_seed), unseen)
    if material.masks is None or not len(rows):
        return shares
    at = torch.from_numpy(rows)
    try:
        explanation = attributions(bundle, material.images[at], task_of(manifest).FIRST_OUTPUT)
    except ExplainerError:
        if not bundle.is_borrowed:
            raise
        return shares  # a user's model that DeepSHAP has no rule for
    sizes = explanation.parts(material.masks[at].long()).values[:, 0].double().abs().cpu().numpy()
    total = sizes.sum(1)
    shares[rows] = np.where(total > 0, sizes[:, 0] / np.where(total > 0, total, 1), np.nan)
    return shares
