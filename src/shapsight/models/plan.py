"""How a network is trained: everything that a resumed training must not change."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from shapsight.errors import ModelError

# Adam at a constant 3e-4 in batches of 8 suits both ends: measured on 83 photographs for 10 epochs (MSE of x on
# validation images, two seeds), ImageNet's SqueezeNet gave 0.086 here, 0.128 at 1e-3 and 0.157 in batches of 32;
# a ResNet-18 from scratch gave 0.020 here and 0.018 at 1e-3.
LEARNING_RATE = 3e-4
BATCH_SIZE = 8
Schedule = Literal["constant", "one-cycle"]
SCHEDULES = ("constant", "one-cycle")


@dataclass(frozen=True)
class TrainingPlan:
    """How `fit` trains.

    Attributes
        epochs, batch_size, learning_rate: of Adam; with one-cycle (Smith and Topin 2018) the highest rate.
        schedule: "constant" or "one-cycle".
        warm_up: so many first epochs train the last layer only, with the rest frozen.
        patience: stop after so many epochs without a lower validation loss; None never does.
        class_weights: whether rare classes weigh more, `images / (classes * images of the class)`.
        color_jitter: whether the colours of training images vary, where there is no treatment.
        references: training images that the bundle is given, drawn; all, if there are fewer.
        seed: the same on the same machine gives the same weights.
        device: see `chosen_device`.
        trainer: what Lightning's Trainer is given besides: devices, precision, strategy, num_nodes, logger.
    """

    epochs: int = 10
    batch_size: int = BATCH_SIZE
    learning_rate: float = LEARNING_RATE
    schedule: Schedule = "constant"
    warm_up: int = 0
    patience: int | None = None
    class_weights: bool = True
    color_jitter: bool = True
    references: int = 100
    seed: int = 0
    device: str = "auto"
    trainer: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in {"epochs": self.epochs, "batch_size": self.batch_size}.items():
            if value < 1:
                raise ModelError(f"{name}={value}: training needs 1 or more")
        if not 0 < self.learning_rate < math.inf:
            raise ModelError(
                f"learning_rate={self.learning_rate}: training needs a positive number, such as {LEARNING_RATE}"
            )
        if self.schedule not in SCHEDULES:
            raise ModelError(f"schedule={self.schedule!r} is not one of {', '.join(SCHEDULES)}")
        if not 0 <= self.warm_up < self.epochs:
            raise ModelError(f"warm_up={self.warm_up} must be 0 or more and below the {self.epochs} epochs")
        if self.patience is not None and self.patience < 1:
            raise ModelError(f"patience={self.patience} must be 1 or more epochs")

    @classmethod
    def of(cls, settings: object, **changes: Any) -> TrainingPlan:
        """The plan with what `settings` hold under the same names, but for the changes."""
        held = {
            each.name: getattr(settings, each.name) for each in fields(cls) if hasattr(settings, each.name)
        }
        return cls(**held | changes)
