"""A run: a model that was trained here, its dataset and how it was made."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from shapsight.data.given_files import read_parquet
from shapsight.data.manifest import Manifest
from shapsight.errors import RunError
from shapsight.models.bundle import Bundle, load_bundle
from shapsight.studies.shared.found import Found, Place
from shapsight.studies.shared.run_folder import CARD, read_card
from shapsight.studies.shared.words import data_sentence


@dataclass(frozen=True, eq=False, kw_only=True)
class Run(Found):
    """A folder that holds a trained model and its dataset; what `train`, `debug`, `demo` and `open` give.

        run = shapsight.open("runs/lockers")
        run.bundle, run.manifest, run.settings["roi"], run.errors
        run.bundle.predict("photos/hall/112_98_a.jpg")

    Attributes
        settings: what it was made with, as in run.json.
    """

    bundle: Bundle
    manifest: Manifest
    settings: Mapping[str, Any]

    @property
    def errors(self) -> pd.DataFrame:
        """The errors in each environment and split, with intervals."""
        return self.tables["errors"]

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """What it holds of `errors`, `predictions`, `history` (of the training) and `checks` (of the data)."""
        found = {path.stem: path for kind in ("csv", "parquet") for path in self.folder.glob(f"*.{kind}")}
        return {
            name: read_parquet(path).to_pandas() if path.suffix == ".parquet" else pd.read_csv(path)
            for name, path in found.items()
            if name in ("errors", "predictions", "history", "checks")
        }

    @property
    def weights(self) -> str:
        """Where its training started: "imagenet", "none" or a file."""
        given = str(self.settings.get("weights", "auto"))
        if given != "auto":
            return given
        used = str(self.bundle.card.training.get("weights", ""))
        return "imagenet" if used.startswith("ImageNet") else "none"


def open_run(
    folder: str | os.PathLike[str] | Place, *, lines: tuple[str, ...] = (), answer: tuple[str, ...] = ()
) -> Run:
    """Open a run that was made before.

        run = shapsight.open("runs/lockers")

    Raises `RunError` where there is none, `ModelError` for a damaged model.
    """
    place = folder if isinstance(folder, Place) else Place.of(folder)
    path = place.path
    if not (path / CARD).is_file():
        raise RunError(
            f"{path} is no run of shapsight: it holds no {CARD}. Make one with shapsight debug DATA --out RUN"
        )
    if not (path / "model" / "card.json").is_file():
        raise RunError(f"{path} holds no trained model (model/card.json): did its training end?")
    settings = read_card(path)["settings"]
    bundle, manifest = load_bundle(path / "model"), Manifest.load(path)
    return Run(
        place=place,
        bundle=bundle,
        manifest=manifest,
        settings=settings,
        lines=lines,
        headline=f"{path.name}: {bundle.card.arch} trained on {', '.join(manifest.train_on)}",
        sentences=answer or (data_sentence(manifest),),
    )
