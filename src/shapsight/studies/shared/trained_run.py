"""A run that was trained before: its model, its dataset and how it was made."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shapsight.data.manifest import Manifest
from shapsight.errors import RunError
from shapsight.models.bundle import Bundle, load_bundle
from shapsight.studies.shared.run_folder import CARD, read_card


@dataclass(frozen=True, eq=False)
class TrainedRun:
    """A run folder that holds a model and its dataset.

    run = open_run("runs/lockers")
    run.bundle, run.manifest, run.settings["roi"]
    """

    path: Path
    bundle: Bundle
    manifest: Manifest
    settings: Mapping[str, Any]

    @property
    def roi(self) -> str | None:
        """The region of interest that the run was made with, or that its dataset was read with."""
        read_with = self.manifest.roi  # of a saved manifest always a text
        return self.settings.get("roi") or (None if read_with is None else str(read_with))

    @property
    def weights(self) -> str:
        """Where its training started: "imagenet", "none" or a file."""
        given = str(self.settings.get("weights", "auto"))
        if given != "auto":
            return given
        used = str(self.bundle.card.training.get("weights", ""))
        return "imagenet" if used.startswith("ImageNet") else "none"


def open_run(folder: str | os.PathLike[str]) -> TrainedRun:
    """Open a run of `debug` or `train`. Raises `RunError` where there is none, `ModelError` for a damaged model."""
    path = Path(folder)
    if not (path / CARD).is_file():
        raise RunError(
            f"{path} is no run of shapsight: it holds no {CARD}. Make one with shapsight debug DATA --out RUN"
        )
    if not (path / "model" / "card.json").is_file():
        raise RunError(f"{path} holds no trained model (model/card.json): did its training end?")
    settings = read_card(path)["settings"]
    return TrainedRun(path, load_bundle(path / "model"), Manifest.load(path), settings)
