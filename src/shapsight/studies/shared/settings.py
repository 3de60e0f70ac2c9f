"""What a model is trained and explained with, and what is chosen where the user leaves it open."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from shapsight.data.manifest import Manifest
from shapsight.models import small_cnn
from shapsight.models.plan import BATCH_SIZE, LEARNING_RATE
from shapsight.studies.shared.reading import DataOptions

AUTO = "auto"
SMALL = 64  # pixels a side up to which the small network does as well as a large one
MANY = 20_000  # images from which on five passes are enough


@dataclass(frozen=True)
class TrainingSettings:
    """What a model is trained and explained with; "auto", 0 and None are chosen by `completed`."""

    train_on: str = "all"
    arch: str = AUTO
    weights: str = AUTO
    epochs: int = 0
    batch_size: int = 0
    learning_rate: float = 0.0
    schedule: str = AUTO
    warm_up: int = 0
    patience: int | None = None
    class_weights: bool = True
    color_jitter: bool | None = None
    image_size: int = 0
    references: int = 25
    references_drawn: bool = False
    explain: int = 8
    roi: str | None = None
    remedies: str | None = None
    scenes: str | None = None
    seed: int = 0
    device: str = "auto"
    reading: DataOptions = field(default_factory=DataOptions)
    logger: str | None = None
    trainer: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For run.json."""
        return asdict(self)


def completed(settings: TrainingSettings, manifest: Manifest) -> TrainingSettings:
    """The settings with nothing left open: small pictures get a small network, the others a ResNet-18.

    Large sets get large batches and fewer epochs. What was given stays.
    """
    images = len(manifest.rows("train"))
    side = int(manifest.table[["width", "height"]].to_numpy().max())
    is_small = side <= SMALL
    arch = _given(settings.arch, small_cnn.NAME if is_small else "resnet18")
    is_own = arch == small_cnn.NAME
    batch_size = settings.batch_size or (128 if images > 5000 else 32 if is_own else BATCH_SIZE)
    return replace(
        settings,
        arch=arch,
        weights=_given(settings.weights, "none" if is_own else "imagenet"),
        epochs=settings.epochs or (5 if images > MANY else 10),
        batch_size=batch_size,
        learning_rate=settings.learning_rate or (5e-3 if is_own else LEARNING_RATE),
        schedule=_given(settings.schedule, "one-cycle" if is_own else "constant"),
        color_jitter=not is_small if settings.color_jitter is None else settings.color_jitter,
        image_size=settings.image_size or (side if is_small else 224),
    )


def _given(value: str, chosen: str) -> str:
    return chosen if value == AUTO else value
