"""How a model is measured."""

from __future__ import annotations

from dataclasses import dataclass, field

from shapsight.studies.shared.option import DataOptions, Device, Seed


@dataclass(frozen=True)
class EvaluateSettings:
    """What `shapsight evaluate` is asked to do; `reading` is how another dataset than the run's is read."""

    seed: Seed = 0
    device: Device = "auto"
    reading: DataOptions = field(default_factory=DataOptions)
