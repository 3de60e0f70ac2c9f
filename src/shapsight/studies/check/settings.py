"""How a dataset is checked."""

from __future__ import annotations

from dataclasses import dataclass, field

from shapsight.studies.shared.option import DataOptions, Seed, TrainOn


@dataclass(frozen=True)
class CheckSettings:
    """What `shapsight check` is asked to do."""

    train_on: TrainOn = "all"
    seed: Seed = 0
    reading: DataOptions = field(default_factory=DataOptions)
