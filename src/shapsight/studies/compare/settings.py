"""How two models are compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from shapsight.studies.shared.option import Device, Option, RoiSpec, Seed


@dataclass(frozen=True)
class CompareSettings:
    """What `shapsight compare` is asked to do; `roi` is by default that of the first run that has one."""

    roi: RoiSpec = None
    explain: Annotated[int, Option("Images explained in each environment.", at_least=1)] = 6
    names: Annotated[
        tuple[str, ...], Option("What the two are called, by comma; by default as their folders.")
    ] = ()
    seed: Seed = 0
    device: Device = "auto"
