"""How a dataset is checked."""

from __future__ import annotations

from dataclasses import dataclass, field

from shapsight.studies.shared.data_options import DataOptions
from shapsight.studies.shared.option import Seed, TrainOn


@dataclass(frozen=True)
class CheckSettings:
    """What `shapsight check` is asked to do."""

    train_on: TrainOn = "all"
    seed: Seed = 0
    reading: DataOptions = field(default_factory=DataOptions)
