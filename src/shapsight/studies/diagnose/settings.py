"""What is diagnosed, and how much of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from shapsight.studies.shared.reading import DataOptions

NO_ROI = "none"


@dataclass(frozen=True)
class DiagnoseSettings:
    """What `shapsight diagnose` was asked to do.

    Attributes
        images: how many held-out images are looked at closely, at most.
        references: of the bundle's, how many DeepSHAP compares with, at most.
        outputs: targets to explain, by default the first.
        only: parts to do, by default all.
        roi: by default the run's; "none" for none.
        objects: a COCO file of things in the pictures; by default the ROI's where that is one.
        reading: how another dataset is read.
    """

    images: int = 100
    references: int = 50
    outputs: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    roi: str | None = None
    objects: str | None = None
    seed: int = 0
    device: str = "auto"
    reading: DataOptions = field(default_factory=DataOptions)
