"""How the demo is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from shapsight.studies.shared.option import Device, Option, Seed


@dataclass(frozen=True)
class DemoSettings:
    """What `shapsight demo` is asked to do."""

    full: Annotated[bool, Option("224 pixels and 30 epochs: about as long as a coffee.")] = False
    seed: Seed = 0
    device: Device = "auto"
