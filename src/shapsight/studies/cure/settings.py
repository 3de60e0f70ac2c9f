"""What is tried to cure a model, and how."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from shapsight.studies.shared.option import REMEDY_NAMES, DataOptions, Device, Option, RoiSpec, Scenes


@dataclass(frozen=True)
class CureSettings:
    """What `shapsight cure` is asked to do; the baseline is always among the recipes.

    `reading` is how another dataset than a run's is read.
    """

    recipes: Annotated[
        tuple[str, ...],
        Option(
            "Recipes by comma, remedies of one joined by a plus; all for each remedy alone. Remedies: "
            f"{', '.join(REMEDY_NAMES)}.",
            flags=("--try",),
        ),
    ] = ("flip", "erase-scene", "swap-scene", "right-reasons")
    seeds: Annotated[int, Option("Trainings of each recipe and turn; three or more.", at_least=1)] = 3
    epochs: Annotated[int | None, Option("By default the run's.", at_least=1)] = None
    batch_size: Annotated[int | None, Option("By default the run's.", at_least=1)] = None
    image_size: Annotated[int | None, Option("Pixels squared; by default the run's.", at_least=16)] = None
    weights: Annotated[str | None, Option("imagenet, none, or a file; by default the run's.")] = None
    roi: RoiSpec = None
    scenes: Scenes = None
    mirrored: Annotated[
        tuple[str, ...], Option("flip: targets beside x whose sign a mirror image changes, by comma.")
    ] = ()
    strength: Annotated[
        float, Option("right-reasons: weight of the penalty; 1 suits targets in -1 to +1.", at_least=0)
    ] = 1.0
    references: Annotated[int, Option("Training images for DeepSHAP to compare with.", at_least=1)] = 16
    explain: Annotated[int, Option("Images explained in each unseen environment.", at_least=0)] = 4
    device: Device = "auto"
    reading: DataOptions = field(default_factory=DataOptions)
