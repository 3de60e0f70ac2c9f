"""Fitting a network to a manifest: Adam, mean squared error, the best epoch kept, a bundle at the end."""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import UInt8
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from shapsight.data.augment import training_transform
from shapsight.data.images import ImageTargets
from shapsight.data.manifest import Manifest
from shapsight.errors import DataError, MissingDependency, ModelError
from shapsight.models.build import BuiltModel
from shapsight.models.bundle import SCALES, Bundle, Card, weights_hash

# Adam at a constant 3e-4 in batches of 8 suits both ends: measured on 83 photographs for 10 epochs (MSE of x on
# validation images, two seeds), ImageNet's SqueezeNet gave 0.086 here, 0.128 at 1e-3 and 0.157 in batches of 32;
# a ResNet-18 from scratch gave 0.020 here and 0.018 at 1e-3.
LEARNING_RATE = 3e-4
BATCH_SIZE = 8
OnEpoch = Callable[[int, int, float, float], None]


@dataclass(frozen=True, eq=False)
class TrainingResult:
    """What training gave.

    Attributes
        bundle: the weights of the best epoch, with their card and references.
        history: `epoch` (from 1), `train_loss`, `validation_loss` (NaN without validation images) of
            every epoch that ended; mean squared errors over all targets, the first while training, with jitter.
        best_epoch: the epoch whose weights were kept.
        stopped: None after the last epoch, "interrupted" (Ctrl-C) or "nan" (the loss was no number any more).
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
    *,
    epochs: int = 10,
    batch_size: int = BATCH_SIZE,
    learning_rate: float = LEARNING_RATE,
    seed: int = 0,
    color_jitter: bool = True,
    references: int = 100,
    accelerator: str = "auto",
    on_epoch: OnEpoch | None = None,
    progress: bool | None = None,
) -> TrainingResult:
    """Train a network on a manifest's training split and keep the epoch with the lowest validation loss.

        images = load_images(manifest, manifest.table["path"], 224)
        result = fit(build_model("resnet18", 2), manifest, images, epochs=10)
        result.bundle.save("run/model")
        result.history                              # epoch, train_loss, validation_loss

    `images` has a row for each row of `manifest.table`. Adam on the mean squared error of all targets;
    colour jitter on training images only. `references` images are drawn from the training split for the
    bundle (fewer if there are fewer). `on_epoch(epoch, epochs, train_loss, validation_loss)` is called after
    each epoch; `progress` shows a bar, by default when stderr is a terminal. `built.model` stays as it is.
    The same seed on the same machine gives the same weights.

    Ctrl-C, or a loss that is no number, ends training with the best epoch so far; a Ctrl-C before the first
    epoch ended is raised on. Raises `DataError` if there is nothing to train on, `ModelError` if the network
    does not take these images or was never better than NaN, `MissingDependency` without Lightning.
    """
    loop = _lightning_loop()
    model = copy.deepcopy(built.model).requires_grad_(True)
    _check_settings(built, epochs, batch_size, learning_rate)
    _check_fit(built.arch, model, manifest, images)
    training, validation = _loaders(manifest, images, batch_size, seed, color_jitter)
    keeper = loop.KeepBest(model, epochs, on_epoch)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        module = loop.Regression(model, learning_rate, built.mean, built.std)
        bar = sys.stderr.isatty() if progress is None else progress
        stopped = loop.run(module, keeper, training, validation, accelerator=accelerator, show_progress=bar)
    if not keeper.best_epoch:
        _raise_without_epoch(stopped, learning_rate)
    model.cpu().load_state_dict(keeper.best_state)
    drawn = draw_references(manifest, references, seed)
    settings = {
        "epochs": epochs,
        "best_epoch": keeper.best_epoch,
        "stopped": stopped,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "color_jitter": color_jitter,
        "seed": seed,
        "references": len(drawn),
    }
    history = pd.DataFrame(keeper.history, columns=["epoch", "train_loss", "validation_loss"])
    card = _card(built, model, manifest, images.shape[-1], settings, history)
    notes = built.notes + _notes(manifest, stopped, history, settings)
    return TrainingResult(Bundle(model, card, images[drawn]), history, keeper.best_epoch, stopped, notes)


def draw_references(manifest: Manifest, count: int, seed: int = 0) -> np.ndarray:
    """Rows of the table drawn from the training split without repeats, in order; all, if there are fewer."""
    rows = manifest.rows("train")
    return np.sort(np.random.default_rng([seed, 1]).choice(rows, min(count, len(rows)), replace=False))


def _lightning_loop() -> ModuleType:
    try:
        import lightning.pytorch  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingDependency(
            "training needs Lightning, which is not installed: pip install 'shapsight[train]'"
        ) from error
    from shapsight.models import loop

    return loop


def _check_settings(built: BuiltModel, epochs: int, batch_size: int, learning_rate: float) -> None:
    for name, value in {"epochs": epochs, "batch_size": batch_size}.items():
        if value < 1:
            raise ModelError(f"{name}={value}: training needs 1 or more")
    if not 0 < learning_rate < math.inf:
        raise ModelError(
            f"learning_rate={learning_rate}: training needs a positive number, such as {LEARNING_RATE}"
        )
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
    if found != (1, len(manifest.targets)):
        raise ModelError(
            f"{arch} gives {found[1:]} outputs an image, but there are {len(manifest.targets)} targets: "
            f"build_model({arch!r}, {len(manifest.targets)})"
        )


def _loaders(
    manifest: Manifest, images: Tensor, batch_size: int, seed: int, color_jitter: bool
) -> tuple[DataLoader[tuple[Tensor, Tensor]], DataLoader[tuple[Tensor, Tensor]] | None]:
    targets = manifest.target_values()
    rows, held_out = manifest.rows("train"), manifest.rows("validation")
    if len(rows) == 1:
        rows = rows.repeat(2)  # batch norm has nothing to compare one image with
    training = DataLoader(
        Subset(ImageTargets(images, targets, training_transform() if color_jitter else None), rows.tolist()),
        batch_size,
        shuffle=True,
        drop_last=len(rows) % batch_size == 1
        and batch_size > 1
        and len(rows) > batch_size,  # the same reason
        generator=torch.Generator().manual_seed(seed),
    )
    if not len(held_out):
        return training, None
    return training, DataLoader(Subset(ImageTargets(images, targets), held_out.tolist()), batch_size)


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
        "loss": "mean squared error",
        "optimizer": "Adam",
    }
    return Card(
        arch=built.arch,
        output_names=manifest.targets,
        output_scales={name: SCALES.get(name, "from -1 to +1") for name in manifest.targets},
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
    if stopped == "interrupted":
        notes.append(f"Training was interrupted after {len(history)} of {settings['epochs']} epochs: {kept}.")
    return tuple(notes)
