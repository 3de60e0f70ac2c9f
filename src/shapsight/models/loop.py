"""Lightning's side of training: one step, its loss, and silence about what users need not know."""

from __future__ import annotations

import logging
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from jaxtyping import Float, Int, UInt8
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, EarlyStopping
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from shapsight.data.remedies import right_reasons
from shapsight.data.remedies.colours import Colours, recoloured
from shapsight.errors import MissingDependency, ModelError
from shapsight.models.build import head_name
from shapsight.models.callbacks import (
    Checkpoints,
    EvenStatistics,
    KeepBest,
    NotFiniteError,
    ProgressBar,
    SeededEpochs,
    StepCount,
    WarmUp,
)
from shapsight.models.card import normalise
from shapsight.models.devices import chosen_device
from shapsight.models.plan import Schedule, TrainingPlan

Targets = Float[Tensor, "images outputs"] | Int[Tensor, "images"]
Batch = tuple[UInt8[Tensor, "images 3 size size"], Targets, *tuple[Tensor, ...]]
Loaded = Batch | tuple[UInt8[Tensor, "images 3 size size"], Targets, Colours]
LOGGERS = ("lightning", "lightning.pytorch", "lightning.fabric")


class Regression(pl.LightningModule):
    """Mean squared error on normalised images, each target over its scale; Adam."""

    weights: Tensor | None
    is_classification = False

    def __init__(
        self,
        model: nn.Module,
        learning_rate: float,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        *,
        weights: Float[Tensor, "outputs"] | None = None,
        schedule: Schedule = "constant",
        outputs: int = 0,
        right_reasons: float = 0.0,
    ) -> None:
        super().__init__()
        self.model = model
        self.learning_rate = learning_rate
        self.mean, self.std = mean, std
        self.schedule = schedule
        self.outputs = outputs
        self.right_reasons = right_reasons
        self.register_buffer("weights", weights, persistent=False)

    def on_after_batch_transfer(self, batch: Loaded, _: int) -> Batch:
        """Change the colours where the model is, as they were drawn where the batch was made."""
        images, targets, *more = batch
        if more and isinstance(more[0], Colours):
            return recoloured(images, more[0]), targets
        return (images, targets, *more)

    def training_step(self, batch: Batch, _: int) -> Tensor:
        loss = self._loss(batch, "train_loss")
        if not torch.isfinite(loss):
            raise NotFiniteError
        return loss

    def validation_step(self, batch: Batch, _: int) -> None:
        self._loss(batch, "validation_loss")

    def configure_optimizers(self) -> Any:
        adam = torch.optim.Adam(self.model.parameters(), lr=self.learning_rate)
        if self.schedule == "constant":
            return adam
        steps = int(self.trainer.estimated_stepping_batches)
        cycle = torch.optim.lr_scheduler.OneCycleLR(adam, self.learning_rate, total_steps=max(2, steps))
        return {"optimizer": adam, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}

    def measure(self, outputs: Float[Tensor, "images outputs"], targets: Targets) -> Tensor:
        """The loss of a batch: squared errors where `weights` (1 over half the scale) count as 1."""
        if self.weights is None:
            return F.mse_loss(outputs, targets)
        return (self.weights * (outputs - targets)).square().mean()

    def _loss(self, batch: Batch, name: str) -> Tensor:
        images, targets, *regions = batch
        inputs = normalise(images, self.mean, self.std).requires_grad_(bool(regions))
        outputs = self.model(inputs)
        loss = self.measure(outputs, targets)
        self.log(name, loss, on_step=False, on_epoch=True, batch_size=len(images), sync_dist=True)
        if not regions:
            return loss
        strength, are_logits = self.right_reasons, self.is_classification
        return loss + right_reasons(outputs, inputs, regions[0], strength, are_logits=are_logits)


class Classification(Regression):
    """Cross entropy on normalised images, rare classes weighed by `weights`; Adam."""

    is_classification = True

    def measure(self, outputs: Float[Tensor, "images outputs"], targets: Targets) -> Tensor:
        """The loss of a batch."""
        return F.cross_entropy(outputs, targets, self.weights)


def run(
    module: Regression,
    keeper: KeepBest,
    training: DataLoader[Any],
    validation: DataLoader[Any] | None,
    plan: TrainingPlan,
    *,
    checkpoints: Checkpoints | None = None,
    watching: Sequence[Callback] = (),
    progress: bool | Callable[[float, float], None],
) -> str | None:
    """Train until the last epoch, early stop, Ctrl-C ("interrupted") or a loss that is not finite ("nan")."""
    module.train()  # Lightning keeps the mode it finds
    bar = ProgressBar(keeper, is_shown=progress is True)
    callbacks: list[Callback] = [SeededEpochs(plan.seed), keeper, EvenStatistics(), bar]
    if callable(progress):
        callbacks.append(StepCount(keeper, progress))
    callbacks += [*_warm_up(module, plan), *watching]
    if plan.patience is not None:
        judged = "train_loss" if validation is None else "validation_loss"
        callbacks.append(EarlyStopping(judged, patience=plan.patience, check_on_train_epoch_end=True))
    resume: Path | None = None
    if checkpoints is not None:
        callbacks.append(checkpoints)
        resume = checkpoints.found()
    with quiet_lightning(), bar.progress:
        trainer = _trainer(callbacks, plan, has_checkpoints=checkpoints is not None)
        try:
            trainer.fit(module, training, validation, ckpt_path=resume, weights_only=True if resume else None)
        except NotFiniteError:
            return "nan"
        except KeyboardInterrupt:
            return "interrupted"
        except SystemExit:  # what Lightning makes of a Ctrl-C
            if not keeper.was_interrupted:
                raise
            return "interrupted"
    return "early" if len(keeper.history) < plan.epochs else None


def _warm_up(module: Regression, plan: TrainingPlan) -> Sequence[Callback]:
    if not plan.warm_up:
        return ()
    head = head_name(module.model, module.outputs)
    if head is None:
        raise ModelError("the network has no last layer to warm up: use warm_up=0")
    return (WarmUp(module.model, module.model.get_submodule(head), plan.warm_up),)


def _trainer(callbacks: list[Callback], plan: TrainingPlan, *, has_checkpoints: bool) -> pl.Trainer:
    try:
        device = chosen_device(plan.device)
    except ModelError as error:
        raise ModelError(f"device={plan.device!r} cannot be used: {error}") from error
    own = 1 if device.index is None or device.type == "cpu" else [device.index]
    options = {"devices": own, "logger": False, **plan.trainer}
    try:
        return pl.Trainer(
            max_epochs=plan.epochs,
            accelerator=device.type,
            callbacks=callbacks,
            enable_checkpointing=has_checkpoints,
            enable_model_summary=False,
            enable_progress_bar=False,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
            use_distributed_sampler=False,  # EpochOrder shares the images out itself
            **options,
        )
    except ModuleNotFoundError as error:
        raise MissingDependency(f"Lightning needs a library that is not installed: {error}") from error
    except (ValueError, TypeError, MisconfigurationException) as error:
        raise ModelError(f"device={plan.device!r} cannot be used: {error}") from error


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """No adverts, hints about workers or devices, and no Ctrl-C switched off afterwards; our warnings pass."""
    levels = {name: logging.getLogger(name).level for name in LOGGERS}
    on_ctrl_c = signal.getsignal(signal.SIGINT)
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning(\.|$)")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        if signal.getsignal(signal.SIGINT) is not on_ctrl_c:
            signal.signal(signal.SIGINT, on_ctrl_c)
