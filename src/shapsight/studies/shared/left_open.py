"""What is chosen where the settings of a training leave it open."""

from __future__ import annotations

from dataclasses import dataclass

from shapsight.data.manifest import Manifest
from shapsight.models import small_cnn
from shapsight.models.plan import BATCH_SIZE, LEARNING_RATE
from shapsight.studies.shared.settings import AUTO, TrainingSettings

SMALL = 64  # pixels a side up to which the small network does as well as a large one
MANY = 20_000  # images from which on five passes are enough


@dataclass(frozen=True, kw_only=True)
class CompletedSettings(TrainingSettings):
    """Settings with nothing left open."""

    epochs: int
    batch_size: int
    learning_rate: float
    color_jitter: bool
    image_size: int


def completed(settings: TrainingSettings, manifest: Manifest) -> CompletedSettings:
    """The settings with nothing left open: small pictures get a small network, the others a ResNet-18.

    Large sets get large batches and fewer epochs. What was given stays.
    """
    images = len(manifest.rows("train"))
    side = int(manifest.table[["width", "height"]].to_numpy().max())
    is_small = side <= SMALL
    arch = _given(settings.arch, small_cnn.NAME if is_small else "resnet18")
    is_own = arch == small_cnn.NAME
    batch_size = settings.batch_size or (128 if images > 5000 else 32 if is_own else BATCH_SIZE)
    chosen = {
        "arch": arch,
        "weights": _given(settings.weights, "none" if is_own else "imagenet"),
        "epochs": settings.epochs or (5 if images > MANY else 10),
        "batch_size": batch_size,
        "learning_rate": settings.learning_rate or (5e-3 if is_own else LEARNING_RATE),
        "schedule": _given(settings.schedule, "one-cycle" if is_own else "constant"),
        "color_jitter": not is_small if settings.color_jitter is None else settings.color_jitter,
        "image_size": settings.image_size or (side if is_small else 224),
    }
    return CompletedSettings(**vars(settings) | chosen)


def _given(value: str, chosen: str) -> str:
    return chosen if value == AUTO else value
