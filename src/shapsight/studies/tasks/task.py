"""What regression and classification both answer, each in a module of its own beside this one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

import pandas as pd
from jaxtyping import Bool, Float
from numpy import ndarray

from shapsight.attribution.explanation.region_values import RegionValues
from shapsight.attribution.shared.outputs import Outputs
from shapsight.data.manifest import Manifest
from shapsight.models.card import Card
from shapsight.report.page import Section
from shapsight.studies.shared.outcome import Judged, Outcome
from shapsight.studies.tasks import classification, regression


class Task(Protocol):
    """What differs between the tasks; `Task` is what a module has to have to be one."""

    FIRST_OUTPUT: Outputs  # of what sentences tell

    def measure(self, predictions: pd.DataFrame, manifest: Manifest, *, seed: int) -> pd.DataFrame:
        """The errors of each target, or how well classes are told apart, in each environment."""

    def choose(self, predictions: pd.DataFrame, manifest: Manifest, count: int, seed: int) -> pd.DataFrame:
        """The rows to explain, with a column `why`."""

    def is_known(self, rows: pd.DataFrame, manifest: Manifest) -> Bool[ndarray, "rows"]:
        """Of which rows the truth is known."""

    def contributions(
        self, sums: RegionValues, exact: RegionValues, rows: pd.DataFrame, manifest: Manifest
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """`Contributions.per_image` and `agreement`, from summed attributions and exact values."""

    def right_side(self, predictions: pd.DataFrame, manifest: Manifest) -> Float[ndarray, "rows"]:
        """1 where the first target has the right sign, or 0; NaN where there is none."""

    def reading(self, card: Card, scales: Mapping[str, Any]) -> dict[str, Any]:
        """How data are read for a model: with `scales` that were given, and for the rest with its own."""

    def title(self, manifest: Manifest) -> str:
        """What a model's report asks."""

    def answer(self, judged: Judged) -> str:
        """How large the error is, in a sentence."""

    def measured_lines(self, judged: Sequence[Judged]) -> list[str]:
        """The errors of one or several models, for the terminal."""

    def curves(self, judged: Judged) -> dict[str, float]:
        """The errors in each environment, by the names that a logger draws them under."""

    def error_sections(self, judged: Sequence[Judged], links: Collection[str] = ()) -> list[Section]:
        """How large the errors are, of one or several models; points of the images in `links` open them."""

    def picture_section(self, outcome: Outcome) -> Section:
        """Explained pictures."""

    def comparison_section(self, first: Outcome, second: Outcome) -> Section:
        """The same pictures explained for two models."""

    def error_name(self, target: str) -> str:
        """What `change.csv` and `judged.csv` call the error, in a sentence."""

    def error_label(self, target: str) -> str:
        """The same, for a line."""

    def judged_error(self, manifest: Manifest) -> str:
        """What `cure` ranks by."""


def task_of(data: Manifest | Card) -> Task:
    """What is learned from a dataset, or was by a model."""
    return classification if data.class_names else regression
