"""Fitting a network to a manifest: the best epoch kept, a bundle at the end."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import UInt8
from torch import Tensor, nn
from torch.utils.data import DataLoader

from shapsight.data.images import ImageBatches, whole_batch
from shapsight.data.manifest import Manifest
from shapsight.data.remedies.light import ColorJitter
from shapsight.data.remedies.treatment import Treatment
from shapsight.errors import DataError, MissingDependency, ModelError
from shapsight.models.build import BuiltModel
from shapsight.models.bundle import Bundle, weights_hash
from shapsight.models.card import Card
from shapsight.models.devices import chosen_device
from shapsight.models.order import EpochDraws
from shapsight.models.plan import TrainingPlan
from shapsight.models.rescaled import in_units

if TYPE_CHECKING:
    from lightning.pytorch.callbacks import Callback

VALIDATION_BATCH = 32  # validation needs no gradients, so it may take more at once
DEFAULT = TrainingPlan()
ON_CARD = ("epochs", "batch_size", "learning_rate", "schedule", "warm_up", "seed")
OnEpoch = Callable[[int, int, float, float], None]


@dataclass(frozen=True, eq=False)
class TrainingResult:
    """What training gave.

    Attributes
        bundle: the weights of the best epoch, with their card and references.
        history: `epoch` (from 1), `train_loss`, `validation_loss` (NaN without validation images) of
            every epoch that ended; mean squared errors over all targets on their scales, or cross entropies, the
            first while training, with jitter.
        best_epoch: the epoch whose weights were kept.
        stopped: None after the last epoch, "early" (no lower loss for a while), "interrupted" (Ctrl-C) or "nan" (the
            loss was no number any more).
        notes: sentences that a user should read.
    """

    bundle: Bundle
    history: pd.DataFrame
    best_epoch: int
    stopped: str | None = None
    notes: tuple[str, ...] = ()


def fit(
    built: BuiltModel,
    manifest: Manifest,
    images: UInt8[Tensor, "images 3 size size"],
    plan: TrainingPlan = DEFAULT,
    *,
    treatment: Treatment | None = None,
    checkpoints: Path | None = None,
    watching: Sequence[Callback] = (),
    on_epoch: OnEpoch | None = None,
    progress: bool | Callable[[float, float], None] | None = None,
) -> TrainingResult:
    """Train a network on a manifest's training split and keep the epoch with the lowest validation loss.

        images = load_images(manifest, manifest.table["path"], 224)
        result = fit(build_model("resnet18", 2), manifest, images, TrainingPlan(epochs=10))
        result.bundle.save("run/model")
        result.history                              # epoch, train_loss, validation_loss

    `images` has a row for each row of `manifest.table`. Adam on the mean squared error of all targets, each over
    its scale, or on the cross entropy of classes. `treatment` applies remedies to the training images, in place of the
    jitter. In the folder `checkpoints` every epoch leaves a file from which the next call goes on, to the same weights
    as without the interruption. `watching` are Lightning callbacks that only look on.
    `on_epoch(epoch, epochs, train_loss, validation_loss)` is called after each epoch; `progress` shows a bar, by
    default when stderr is a terminal, or is itself called with the steps done and their number. `built.model` stays as
    it is; the bundle's is on the plan's device.

    Ctrl-C, or a loss that is no number, ends training with the best epoch so far; a Ctrl-C before the first
    epoch ended is raised on. Raises `DataError` if there is nothing to train on, `ModelError` if the network
    does not take these images or was never better than NaN, `MissingDependency` without Lightning.
    """
    loop = lightning_loop()
    scales = [manifest.scales[name] for name in manifest.targets]
    model = in_units(copy.deepcopy(built.model), scales).requires_grad_(True)
    _check_batches(built, plan.batch_size)
    _check_fit(built.arch, model, manifest, images)
    training, validation = _loaders(manifest, images, plan, treatment)
    keeper = loop.KeepBest(model, plan.epochs, on_epoch)
    saved = None if checkpoints is None else loop.Checkpoints(checkpoints)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(plan.seed)
        kind = loop.Classification if manifest.class_names else loop.Regression
        module = kind(
            model,
            plan.learning_rate,
            built.mean,
            built.std,
            weights=_weights(manifest, plan),
            schedule=plan.schedule,
            outputs=len(manifest.output_names),
            right_reasons=0.0 if treatment is None else treatment.strength,
        )
        bar = sys.stderr.isatty() if progress is None else progress
        stopped = loop.run(
            module, keeper, training, validation, plan, checkpoints=saved, watching=watching, progress=bar
        )
    if not keeper.best_epoch:
        _raise_without_epoch(stopped, plan.learning_rate)
    model.cpu().load_state_dict(keeper.best_state)
    drawn = draw_references(manifest, plan.references, plan.seed)
    settings = {
        **{name: getattr(plan, name) for name in ON_CARD},
        "best_epoch": keeper.best_epoch,
        "stopped": stopped,
        "color_jitter": plan.color_jitter and treatment is None,
        "recipe": None if treatment is None else treatment.recipe.name,
        "references": len(drawn),
        "resumed": 0 if saved is None else saved.resumed,
    }
    history = pd.DataFrame(keeper.history, columns=["epoch", "train_loss", "validation_loss"])
    card = _card(built, model, manifest, images.shape[-1], settings, history)
    notes = built.notes + _notes(manifest, stopped, history, settings)
    if saved is not None and saved.complaint:
        notes += (saved.complaint,)
    model = model.to(
        chosen_device(plan.device)
    )  # where references are chosen and images explained afterwards
    bundle = Bundle(model.requires_grad_(True), card, images[drawn])
    return TrainingResult(bundle, history, keeper.best_epoch, stopped, notes)


def draw_references(manifest: Manifest, count: int, seed: int = 0) -> np.ndarray:
    """Rows of the table drawn from the training split without repeats, in order; all, if there are fewer."""
    rows = manifest.rows("train")
    return np.sort(np.random.default_rng([seed, 1]).choice(rows, min(count, len(rows)), replace=False))


def lightning_loop() -> ModuleType:
    """What trains with Lightning. Raises `MissingDependency` without it."""
    try:
        import lightning.pytorch  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingDependency(
            "training needs Lightning, which is not installed: pip install 'shapsight[train]'"
        ) from error
    from shapsight.models import loop

    return loop


def _check_batches(built: BuiltModel, batch_size: int) -> None:
    has_batch_norm = any(
        isinstance(module, nn.modules.batchnorm._BatchNorm) for module in built.model.modules()
    )
    if batch_size == 1 and has_batch_norm:
        raise ModelError(
            f"batch_size=1: the batch norm of {built.arch} compares images, so it needs 2 or more"
        )


def _check_fit(arch: str, model: nn.Module, manifest: Manifest, images: Tensor) -> None:
    """The model takes these images, and gives as many outputs as there are targets."""
    if len(images) != len(manifest):
        raise DataError(
            f"{len(images)} images came with a manifest of {len(manifest)} rows: load one for each row"
        )
    if not len(manifest.rows("train")):
        raise DataError("there is no image to train on: the manifest's training split is empty")
    size = images.shape[-1]
    if images.dtype != torch.uint8 or tuple(images.shape[1:]) != (3, size, size):
        raise DataError(
            f"training takes square uint8 images, as load_images makes them, not {images.dtype} of shape "
            f"{tuple(images.shape)}"
        )
    try:
        with torch.inference_mode():
            found = tuple(model.eval()(torch.zeros(1, 3, size, size)).shape)
    except (RuntimeError, ValueError, AssertionError) as error:
        raise ModelError(
            f"{arch} does not take images of {size} × {size} pixels ({str(error).splitlines()[0]}): "
            "try 224, which every torchvision network takes"
        ) from error
    if found != (1, len(manifest.output_names)):
        raise ModelError(
            f"{arch} gives {found[1:]} outputs an image, but there are {len(manifest.output_names)} "
            f"{'classes' if manifest.class_names else 'targets'}: "
            f"build_model({arch!r}, {len(manifest.output_names)})"
        )


def _loaders(
    manifest: Manifest, images: Tensor, plan: TrainingPlan, treatment: Treatment | None
) -> tuple[DataLoader[tuple[Tensor, ...]], DataLoader[tuple[Tensor, ...]] | None]:
    targets = manifest.label_numbers() if manifest.class_names else manifest.target_values()
    rows, held_out = manifest.rows("train"), manifest.rows("validation")
    if len(rows) == 1:
        rows = rows.repeat(2)  # batch norm has nothing to compare one image with
    batch_size = plan.batch_size
    drawn = ColorJitter().drawn if plan.color_jitter else None
    training: DataLoader[Any] = DataLoader(
        ImageBatches(images, targets, rows, drawn, seed=plan.seed),
        batch_size,
        sampler=EpochDraws(len(rows), plan.seed),
        collate_fn=whole_batch,
        drop_last=len(rows) % batch_size == 1
        and batch_size > 1
        and len(rows) > batch_size,  # the same reason
        generator=torch.Generator(),  # making an iterator draws from it, and from the global one without it
    )
    if treatment is not None:
        training = treatment.loader(manifest, images, batch_size, plan.seed)
    if not len(held_out):
        return training, None
    return training, DataLoader(
        ImageBatches(images, targets, held_out),
        max(batch_size, VALIDATION_BATCH),
        collate_fn=whole_batch,
        generator=torch.Generator(),
    )


def _weights(manifest: Manifest, plan: TrainingPlan) -> Tensor | None:
    """What each target's errors, or each class, count: 1 over half the scale; more for rare classes."""
    if manifest.class_names:
        if not plan.class_weights:
            return None
        numbers = manifest.label_numbers()[manifest.rows("train")]
        counts = torch.bincount(numbers, minlength=len(manifest.class_names)).clamp_min(1)
        return len(numbers) / (len(counts) * counts.float())
    halves = [manifest.scales[name].half for name in manifest.targets]
    return None if set(halves) == {1.0} else 1 / torch.tensor(halves)


def _raise_without_epoch(stopped: str | None, learning_rate: float) -> None:
    if stopped == "interrupted":
        raise KeyboardInterrupt
    raise ModelError(
        f"the loss was no finite number before the first epoch ended, with learning_rate={learning_rate:g}: "
        f"lower the learning rate, to {learning_rate / 10:g} for example"
    )


def _card(
    built: BuiltModel,
    model: nn.Module,
    manifest: Manifest,
    size: int,
    settings: dict[str, Any],
    history: pd.DataFrame,
) -> Card:
    best = history.set_index("epoch").loc[settings["best_epoch"]]
    data = {
        "environments": list(manifest.train_on),
        "images": {split: len(manifest.rows(split)) for split in ("train", "validation")},
        "weights": built.weights_used,
        "loss": "cross entropy" if manifest.class_names else "mean squared error",
        "optimizer": "Adam",
    }
    return Card(
        arch=built.arch,
        output_names=manifest.output_names,
        output_scales={name: str(scale) for name, scale in manifest.scales.items()},
        scales={
            name: (scale.low, scale.high, scale.unit)
            for name, scale in manifest.scales.items()
            if not scale.is_plain
        },
        task=manifest.task,
        class_names=manifest.class_names,
        input_size=size,
        mean=built.mean,
        std=built.std,
        training=data | settings,
        metrics={str(name): float(value) for name, value in best.items()},
        model_hash=weights_hash(model),
    )


def _notes(
    manifest: Manifest, stopped: str | None, history: pd.DataFrame, settings: dict[str, Any]
) -> tuple[str, ...]:
    notes = []
    count = len(manifest.rows("train"))
    if count == 1:
        notes.append("There is one image to train on: the network can only learn that one by heart.")
    if not len(manifest.rows("validation")):
        notes.append("Without validation images the epoch with the lowest training loss was kept.")
    kept = f"epoch {settings['best_epoch']}, the best so far, was kept"
    if stopped == "nan":
        rate = settings["learning_rate"]
        notes.append(
            f"The loss was no finite number any more in epoch {len(history) + 1}: training stopped there "
            f"and {kept}. A learning rate below {rate:g} may help."
        )
    if stopped == "early":
        notes.append(
            f"The loss fell no lower: training stopped after {len(history)} of {settings['epochs']} epochs."
        )
    if settings["resumed"]:
        notes.append(f"Training was resumed {_times(settings['resumed'])} after it had been stopped.")
    if stopped == "interrupted":
        notes.append(f"Training was interrupted after {len(history)} of {settings['epochs']} epochs: {kept}.")
    return tuple(notes)


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")
