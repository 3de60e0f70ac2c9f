"""Lightning's side of training: one step, which epoch is kept, and silence about what users need not know."""

from __future__ import annotations

import logging
import math
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import lightning.pytorch as pl
import torch
from jaxtyping import Float, UInt8
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader

from shapsight.errors import ModelError
from shapsight.models.bundle import normalise

OnEpoch = Callable[[int, int, float, float], None]
Batch = tuple[UInt8[Tensor, "images 3 size size"], Float[Tensor, "images outputs"]]
LOGGERS = ("lightning", "lightning.pytorch", "lightning.fabric")


class NotFiniteError(Exception):
    """The loss is NaN or infinite: no further step can mend the weights."""


class Regression(pl.LightningModule):
    """Mean squared error on normalised images, Adam."""

    def __init__(
        self, model: nn.Module, learning_rate: float, mean: tuple[float, ...], std: tuple[float, ...]
    ) -> None:
        super().__init__()
        self.model = model
        self.learning_rate = learning_rate
        self.mean, self.std = mean, std

    def training_step(self, batch: Batch, _: int) -> Tensor:
        loss = self._loss(batch, "train_loss")
        if not torch.isfinite(loss):
            raise NotFiniteError
        return loss

    def validation_step(self, batch: Batch, _: int) -> None:
        self._loss(batch, "validation_loss")

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.model.parameters(), lr=self.learning_rate)

    def _loss(self, batch: Batch, name: str) -> Tensor:
        images, targets = batch
        loss = F.mse_loss(self.model(normalise(images, self.mean, self.std)), targets)
        self.log(name, loss, on_step=False, on_epoch=True, batch_size=len(images))
        return loss


class KeepBest(Callback):
    """Keeps the weights of the epoch with the lowest validation loss (training loss, if there is no other)."""

    def __init__(self, model: nn.Module, epochs: int, on_epoch: OnEpoch | None) -> None:
        self.model = model
        self.epochs = epochs
        self.on_epoch = on_epoch
        self.best_epoch = 0  # none yet; epochs count from 1
        self.best_loss = math.inf
        self.best_state: dict[str, Tensor] = {}
        self.history: list[tuple[int, float, float]] = []
        self.was_interrupted = False

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        losses = trainer.callback_metrics
        epoch, train = trainer.current_epoch + 1, float(losses["train_loss"])
        validation = float(losses.get("validation_loss", math.nan))
        judged = validation if "validation_loss" in losses else train
        if not math.isfinite(judged):
            raise NotFiniteError
        self.history.append((epoch, train, validation))
        if judged < self.best_loss:
            self.best_epoch, self.best_loss = epoch, judged
            self.best_state = {
                name: value.detach().cpu().clone() for name, value in self.model.state_dict().items()
            }
        if self.on_epoch is not None:
            self.on_epoch(epoch, self.epochs, train, validation)

    def on_exception(self, trainer: pl.Trainer, module: pl.LightningModule, exception: BaseException) -> None:
        self.was_interrupted = isinstance(exception, KeyboardInterrupt)


class EvenStatistics(Callback):
    """New batch norms start with the plain mean over the batches so far, until their own momentum is slower.

    Their running statistics start at 0 and 1 and keep most of that for tens of steps; a small dataset trained
    for a few epochs would be judged, and kept, by a network whose statistics never arrived.
    """

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        norms = [
            norm for norm in module.modules() if isinstance(norm, _BatchNorm) and norm.momentum is not None
        ]
        self.momentum = {norm: float(norm.momentum or 0) for norm in norms if not norm.num_batches_tracked}

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        for norm, usual in self.momentum.items():
            norm.momentum = max(usual, 1 / (trainer.global_step + 1))

    def on_train_batch_end(self, *_: Any) -> None:
        for norm, usual in self.momentum.items():
            norm.momentum = usual


class ProgressBar(Callback):
    """One bar on stderr for the whole training, with the time left; gone when training ends."""

    def __init__(self, keeper: KeepBest, *, is_shown: bool) -> None:
        self.keeper = keeper
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=Console(stderr=True),
            transient=True,
            disable=not is_shown,
        )
        self.task = self.progress.add_task(self._description(0))

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.progress.update(self.task, total=self.keeper.epochs * int(trainer.num_training_batches))

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        description = self._description(trainer.current_epoch)
        self.progress.update(self.task, advance=1, description=description)

    def _description(self, ended: int) -> str:
        best = f", best loss {self.keeper.best_loss:.4f}" if self.keeper.best_epoch else ""
        return f"Training, epoch {ended + 1} of {self.keeper.epochs}{best}"


def run(
    module: Regression,
    keeper: KeepBest,
    training: DataLoader[Any],
    validation: DataLoader[Any] | None,
    *,
    accelerator: str,
    show_progress: bool,
) -> str | None:
    """Train until the last epoch, Ctrl-C ("interrupted") or a loss that is not finite ("nan")."""
    module.train()  # Lightning keeps the mode it finds
    bar = ProgressBar(keeper, is_shown=show_progress)
    with quiet_lightning(), bar.progress:
        trainer = _trainer([keeper, EvenStatistics(), bar], keeper.epochs, accelerator)
        try:
            trainer.fit(module, training, validation)
        except NotFiniteError:
            return "nan"
        except KeyboardInterrupt:
            return "interrupted"
        except SystemExit:  # what Lightning makes of a Ctrl-C
            if not keeper.was_interrupted:
                raise
            return "interrupted"
    return None


def _trainer(callbacks: list[Callback], epochs: int, accelerator: str) -> pl.Trainer:
    try:
        return pl.Trainer(
            max_epochs=epochs,
            accelerator=accelerator,
            devices=1,
            callbacks=callbacks,
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
            num_sanity_val_steps=0,
        )
    except (ValueError, MisconfigurationException) as error:
        raise ModelError(f"accelerator={accelerator!r} cannot be used: {error}") from error


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
