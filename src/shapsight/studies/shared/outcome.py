"""What came of a model: its predictions, errors, explanations; and how that is written into a run folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from jaxtyping import Bool
from numpy import ndarray

from shapsight.attribution.explanation import Explanation
from shapsight.data.manifest import Manifest
from shapsight.data.written_files import written
from shapsight.diagnosis.estimate import Estimate
from shapsight.diagnosis.groups import EVERY
from shapsight.models.train import TrainingResult
from shapsight.studies.shared.contributions import Contributions
from shapsight.studies.shared.error_facts import ErrorFacts, error_facts
from shapsight.studies.shared.run_folder import RunFolder
from shapsight.studies.shared.settings import TrainingSettings
from shapsight.studies.shared.words import count


@dataclass(frozen=True)
class Measured:
    """One measure of a model in one environment and split."""

    environment: str
    split: str
    images: int
    found: Estimate

    @property
    def place(self) -> str:
        """`"room_1 (validation)"`."""
        return f"{self.environment} ({self.split})"

    def interval(self, form: str) -> str:
        """`"95 % 0.27 to 0.36"`; a single image has none."""
        return self.found.between(form) or "no interval"

    def said(self, form: str) -> str:
        """`"0.31 (95 % 0.27 to 0.36, 12 images)"`."""
        return f"{self.found.value:{form}} ({self.interval(form)}, {count(self.images, 'image')})"


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What a model says of a dataset, and how far that is from the truth."""

    name: str
    manifest: Manifest
    predictions: pd.DataFrame
    errors: pd.DataFrame

    @property
    def facts(self) -> ErrorFacts:
        """The errors at home and where they are largest."""
        return error_facts(self.errors, self.predictions, self.manifest)

    @property
    def held_out(self) -> pd.DataFrame:
        """The errors in single environments, of images that were not trained on; of all, if there are no others."""
        errors = self.errors[self.errors["environment"] != EVERY]
        held_out = errors[errors["split"] != "train"]
        return held_out if len(held_out) else errors

    def measured(self, measure: str, target: str | None = None) -> list[Measured]:
        """A measure, of one target where there are several, in each environment."""
        rows = self.held_out if target is None else self.held_out[self.held_out["target"] == target]
        return [
            Measured(row["environment"], row["split"], row["images"], Estimate.in_row(row, measure))
            for row in rows.to_dict("records")
        ]


@dataclass(frozen=True, kw_only=True)
class Trained(Judged):
    """A model that was trained here, judged on its own dataset."""

    settings: TrainingSettings
    training: TrainingResult
    checks: pd.DataFrame | None = None


@dataclass(frozen=True, kw_only=True)
class Outcome(Trained):
    """All that one model's report is made from."""

    explained: pd.DataFrame
    explanation: Explanation
    relevance: pd.DataFrame | None = None
    contributions: Contributions | None = None
    masks: Bool[ndarray, "explained size size"] | None = None

    def shares(self, output: str) -> dict[str, float]:
        """The scene's share of what moves an output, in each environment where it is known."""
        if self.contributions is None:
            return {}
        places = self.contributions.measures["environment"].drop_duplicates()
        found = {place: self.contributions.estimate(output, "share", environment=place) for place in places}
        return {place: share.value for place, share in found.items() if share.is_known and place != EVERY}

    def under(self, split: str) -> Outcome:
        """The same with another name for the split of all that was measured."""
        found, relevance = self.contributions, self.relevance
        return replace(
            self,
            relevance=None if relevance is None else relevance.assign(split=split),
            contributions=None
            if found is None
            else replace(found, measures=found.measures.assign(split=split)),
        )


def save_judged(judged: Judged, run: RunFolder, suffix: str = "") -> None:
    """Write predictions and errors, the latter as CSV for people, too."""
    save_table(judged.predictions, run.path / f"predictions{suffix}", ".parquet")
    save_table(judged.errors, run.path / f"errors{suffix}")


def save_outcome(outcome: Outcome, run: RunFolder, suffix: str = "") -> None:
    """Write a model, its predictions, errors and explanations into a run folder, each file complete or not at all."""
    if not outcome.training.bundle.is_borrowed:
        outcome.training.bundle.save(run.folder(f"model{suffix}"))
    save_judged(outcome, run, suffix)
    tables = {} if outcome.contributions is None else outcome.contributions.tables
    if outcome.relevance is not None:
        tables["relevance"] = outcome.relevance
    for name, table in tables.items():
        save_table(table, run.path / f"{name}{suffix}", ".parquet")
    explanations = run.folder("explanations") / f"deep{suffix}"
    outcome.explanation.save(explanations.with_suffix(".safetensors"))
    save_table(outcome.explained[["path", "environment", "split", "why"]], explanations, ".csv")


def save_table(table: pd.DataFrame, stem: Path, *kinds: str) -> None:
    """Write a table as CSV and Parquet, or as one of them, each complete or not at all."""
    write_csv = partial(table.to_csv, index=False)
    writers: dict[str, Callable[[Path], Any]] = {".csv": write_csv, ".parquet": table.to_parquet}
    for kind in kinds or writers:
        with written(stem.with_name(stem.name + kind)) as part:
            writers[kind](part)
