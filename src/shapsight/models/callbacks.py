"""What happens beside the steps of training: which epoch is kept, statistics, warm-up, seeds, checkpoints, a bar."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from shapsight.data.given_files import is_mapping, is_whole, misfit
from shapsight.data.written_files import part_of
from shapsight.errors import ModelError
from shapsight.models.weights import read_pickle

OnEpoch = Callable[[int, int, float, float], None]
CHECKPOINT = "last.ckpt"
CONTENT = {"state_dict": is_mapping, "callbacks": is_mapping, "loops": is_mapping, "epoch": is_whole}


class NotFiniteError(Exception):
    """The loss is NaN or infinite: no further step can mend the weights."""


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

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("best_epoch", "best_loss", "best_state", "history")}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for name, value in state_dict.items():
            setattr(self, name, value)
        self.history = [(epoch, train, held) for epoch, train, held in self.history]


class EvenStatistics(Callback):
    """New batch norms start with the plain mean over the batches so far, until their own momentum is slower.

    Their running statistics start at 0 and 1 and keep most of that for tens of steps; a small dataset trained
    for a few epochs would be judged, and kept, by a network whose statistics never arrived.
    """

    def __init__(self) -> None:
        self.new: list[str] | None = None

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        norms = {
            name: norm
            for name, norm in module.named_modules()
            if isinstance(norm, _BatchNorm) and norm.momentum is not None
        }
        if self.new is None:  # a resumed training knows which ones were new
            self.new = [name for name, norm in norms.items() if not norm.num_batches_tracked]
        self.momentum = {norms[name]: float(norms[name].momentum or 0) for name in self.new}

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        for norm, usual in self.momentum.items():
            norm.momentum = max(usual, 1 / (trainer.global_step + 1))

    def on_train_batch_end(self, *_: Any) -> None:
        for norm, usual in self.momentum.items():
            norm.momentum = usual

    def state_dict(self) -> dict[str, Any]:
        return {"new": self.new}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.new = state_dict["new"]


class SeededEpochs(Callback):
    """Every epoch's random numbers depend on the seed and its number only, so a resumed training repeats them."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        torch.manual_seed(self.seed * 100_003 + trainer.current_epoch)


class WarmUp(Callback):
    """In the first epochs only the last layer learns; the rest is frozen, batch norm statistics included."""

    def __init__(self, model: nn.Module, head: nn.Module, epochs: int) -> None:
        self.model = model
        self.epochs = epochs
        head_parameters = set(head.parameters())
        self.frozen = [parameter for parameter in model.parameters() if parameter not in head_parameters]

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        is_warming = trainer.current_epoch < self.epochs
        for parameter in self.frozen:
            parameter.requires_grad_(not is_warming)
        for layer in self.model.modules():
            if isinstance(layer, _BatchNorm):
                layer.train(not is_warming)


class Checkpoints(Checkpoint):
    """Writes all that a resumed training needs after every epoch; the last file stays until the next is whole."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / CHECKPOINT
        self.resumed = 0
        self.complaint: str | None = None

    def found(self) -> Path | None:
        """The checkpoint to go on from, if there is one. Raises `ModelError` for a damaged one."""
        if not self.path.is_file():
            return None
        try:
            content = read_pickle(self.path)
            wrong = misfit(content, CONTENT)
        except ModelError as error:
            wrong = str(error)
        if wrong is not None:
            raise ModelError(
                f"the checkpoint {self.path} is damaged, so the training cannot go on from it: delete it, and the same "
                f"command begins anew ({wrong})"
            )
        return self.path

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        part = part_of(self.path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            trainer.save_checkpoint(part)
            if trainer.is_global_zero:
                part.replace(self.path)
            self.complaint = None
        except (OSError, RuntimeError) as error:  # torch makes a RuntimeError of a full disk
            part.unlink(missing_ok=True)
            self.complaint = (
                f"The checkpoint of epoch {trainer.current_epoch + 1} could not be written "
                f"({str(error).splitlines()[0]}): the one before it stays."
            )

    def state_dict(self) -> dict[str, Any]:
        return {"resumed": self.resumed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.resumed = state_dict["resumed"] + 1


class StepCount(Callback):
    """Tells the steps done, and how many there are in the whole training, after each."""

    def __init__(self, keeper: KeepBest, report: Callable[[float, float], None]) -> None:
        self.keeper = keeper
        self.report = report
        self.done = 0

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.done = trainer.current_epoch * int(trainer.num_training_batches)

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self.done += 1
        self.report(self.done, self.keeper.epochs * int(trainer.num_training_batches))


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
        steps = int(trainer.num_training_batches)
        self.progress.update(
            self.task, total=self.keeper.epochs * steps, completed=trainer.current_epoch * steps
        )

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        description = self._description(trainer.current_epoch)
        self.progress.update(self.task, advance=1, description=description)

    def _description(self, ended: int) -> str:
        best = f", best loss {self.keeper.best_loss:.4f}" if self.keeper.best_epoch else ""
        return f"Training, epoch {ended + 1} of {self.keeper.epochs}{best}"
