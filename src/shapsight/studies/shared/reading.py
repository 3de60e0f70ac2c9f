"""Reading a dataset and telling what a user should know about it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from shapsight.data.manifest import Manifest
from shapsight.data.readers import read_dataset
from shapsight.studies.shared.data_options import DataOptions, by_comma
from shapsight.studies.shared.narrator import Narrator


def read(
    data: str | os.PathLike[str],
    options: DataOptions,
    narrator: Narrator,
    *,
    train_on: str = "all",
    seed: int = 0,
    **changes: Any,
) -> Manifest:
    """Read a dataset and tell what a user should know about it; `changes` go before the options."""
    with narrator.step(f"Reading {Path(data).name}") as report:
        wanted = "all" if train_on == "all" else by_comma(train_on)
        arguments = options.as_arguments() | changes
        manifest = read_dataset(data, train_on=wanted, seed=seed, progress=report, **arguments)
    for sentence in manifest.notes:
        narrator.note(sentence)
    return manifest
