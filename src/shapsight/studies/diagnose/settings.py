"""What is diagnosed, and how much of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from shapsight.studies.shared.option import DataOptions, Device, Option, RoiSpec, Seed


@dataclass(frozen=True)
class DiagnoseSettings:
    """What `shapsight diagnose` is asked to do; `reading` is how another dataset than the run's is read."""

    images: Annotated[int, Option("Held-out images to look at, as many of each environment.", at_least=2)] = (
        100
    )
    references: Annotated[int, Option("Of the bundle's, how many DeepSHAP compares with.", at_least=1)] = 50
    outputs: Annotated[tuple[str, ...], Option("Targets to explain, by comma; by default the first.")] = ()
    only: Annotated[
        tuple[str, ...], Option("Parts to do, by comma: look, why, strategies, trust; by default all.")
    ] = ()
    roi: RoiSpec = None
    objects: Annotated[
        str | None, Option("A COCO file with several categories; by default the ROI's if it is one.")
    ] = None
    seed: Seed = 0
    device: Device = "auto"
    reading: DataOptions = field(default_factory=DataOptions)
