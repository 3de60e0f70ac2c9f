"""The report of a comparison: errors, regions and explanations of two models, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from shapsight.attribution.explanation.heatmaps import compare_plot
from shapsight.models.bundle import library_versions
from shapsight.report.page import Column, KeyFigure, Page, Picture, Section, Table
from shapsight.studies.shared.analysis import Outcome
from shapsight.studies.shared.error_sections import MODEL, contribution_section, error_section, stacked
from shapsight.studies.shared.error_words import count, gap_sentence
from shapsight.studies.shared.narrator import duration
from shapsight.studies.shared.pages import contribution_words
from shapsight.studies.shared.picture_sections import comparison_section
from shapsight.studies.tasks.classification_page import ACCURACY

EVERY = "all"
A_CLASS = 2  # images of each class that are drawn


@dataclass(frozen=True, eq=False)
class Compared:
    """Two models judged on the same images, and the change of the error from the first to the second."""

    first: Outcome
    second: Outcome
    change: pd.DataFrame
    notes: tuple[str, ...]
    settings: Mapping[str, str]

    @property
    def output(self) -> str:
        """What the sentences are about: the first target, or labels."""
        return str(self.change["target"].iloc[0])


def compare_page(compared: Compared, *, command: str, seconds: float) -> Page:
    """The report."""
    first, second = compared.first, compared.second
    is_classes = bool(first.manifest.class_names)
    has_regions = first.contributions is not None and second.contributions is not None
    versions = ", ".join(f"{name} {version}" for name, version in library_versions().items())
    return Page(
        title=f"{first.name} and {second.name} on the same images",
        answer=[change_sentence(compared), *shares_sentences(compared), *compared.notes],
        key_figures=_key_figures(compared),
        sections=[
            _change_section(compared),
            _accuracy_section(compared) if is_classes else error_section([first, second]),
            *([contribution_section([first, second])] if has_regions else []),
            _class_pictures(compared) if is_classes else comparison_section(first, second),
        ],
        settings={"command": command, **compared.settings, "versions": versions, "took": duration(seconds)},
    )


def change_sentence(compared: Compared) -> str:
    """Where the second model's error is lower, higher or not to be told apart from the first one's."""
    rows = _places(compared)
    kinds: dict[str, list[str]] = {"lower": [], "higher": [], "not told apart from noise": []}
    for row in rows:
        kind = "lower" if row["change_high"] < 0 else "higher" if row["change_low"] > 0 else ""
        kinds[kind or "not told apart from noise"].append(
            f"{row['environment']} ({row['first']:.3g} → {row['second']:.3g})"
        )
    said = "; ".join(f"{kind} in {', '.join(places)}" for kind, places in kinds.items() if places)
    what = "share of wrong labels" if compared.output == "label" else f"squared error of {compared.output}"
    return f"The {what} of {compared.second.name}, beside {compared.first.name}: {said}."


def shares_sentences(compared: Compared) -> list[str]:
    """How much the scene contributes to the first output, for both."""
    return [
        f"{outcome.name}: {sentence}"
        for outcome in (compared.first, compared.second)
        for sentence in contribution_words(outcome)
    ]


def summarise_compared(compared: Compared, run: Path, seconds: float) -> list[str]:
    """What the comparison came to, for the terminal."""
    lines = []
    for target in dict.fromkeys(compared.change["target"]):
        parts = ", ".join(
            f"{row['environment']} {row['first']:.3g} → {row['second']:.3g} ({row['change_low']:+.2g} to "
            f"{row['change_high']:+.2g})"
            for row in _places(compared, target)
        )
        lines.append(f"{'Wrong' if target == 'label' else f'MSE of {target}':<10} {parts}")
    images = count(len(compared.first.predictions), "image")
    return [
        f"Images     {images} that neither was trained on, {len(compared.first.explained)} of them explained",
        f"Models     {compared.first.name} → {compared.second.name}",
        *lines,
        f"Answer     {change_sentence(compared)}",
        *(f"           {sentence}" for sentence in (*shares_sentences(compared), *compared.notes)),
        f"Explained  {gap_sentence(compared.second)}",
        f"Report     {run / 'report.html'}   ({duration(seconds)})",
    ]


def _places(compared: Compared, target: str | None = None) -> list[dict[str, float]]:
    """The rows of one target, environment by environment."""
    rows = compared.change[compared.change["target"] == (target or compared.output)]
    single = rows[rows["environment"] != EVERY]
    records: list[dict[str, float]] = (single if len(single) else rows).to_dict("records")  # type: ignore[assignment]
    return records


def _key_figures(compared: Compared) -> list[KeyFigure]:
    what = "wrong labels" if compared.output == "label" else f"MSE of {compared.output}"
    return [
        KeyFigure(
            f"{what} in {row['environment']}",
            f"{row['first']:.2g} → {row['second']:.2g}",
            f"change {row['change']:+.2g}, 95 % {row['change_low']:+.2g} to {row['change_high']:+.2g}",
        )
        for row in _places(compared)
    ]


def _change_section(compared: Compared) -> Section:
    columns: Sequence[Column] = (
        Column("environment"),
        Column("target"),
        Column("images", format="d"),
        Column("first", compared.first.name, ".3g"),
        Column("second", compared.second.name, ".3g"),
        Column("change", "change", "+.2g", low="change_low", high="change_high"),
    )
    return Section(
        "Which model has the lower error?",
        "Mean squared errors (for labels: shares of wrong ones) on the same held-out images, which neither model was "
        "trained on. The change is taken image by image; its interval is 95 % percentile bootstrap over images, and "
        "does not hold the luck of the two trainings.",
        tables=[Table(compared.change, "Errors and their change", columns)],
        notes=compared.notes,
    )


def _accuracy_section(compared: Compared) -> Section:
    both = [compared.first, compared.second]
    columns = (MODEL, *(column for column in ACCURACY if column.name != "split"))
    table = stacked(both, [outcome.errors for outcome in both])
    return Section("How often is each right?", tables=[Table(table, "Accuracy by environment", columns)])


def _class_pictures(compared: Compared) -> Section:
    """The same pictures of each class, with what speaks for their label."""
    labels = compared.first.explained["label"].to_numpy()
    names = compared.first.explanation.output_names or ()
    pictures = []
    for label in dict.fromkeys(labels):
        if label not in names:
            continue
        positions = np.flatnonzero(labels == label)[:A_CLASS].tolist()
        one, two = (o.explanation.select(images=positions) for o in (compared.first, compared.second))
        figure = compare_plot(one, two, names=(compared.first.name, compared.second.name), output=str(label))
        pictures.append(Picture(figure, f"Images of {label} explained for both models", str(label)))
    return Section(
        "Which pixels do they use?",
        "The same pictures, explained for both models, on one scale for each row. Red raises the logit of the "
        f"picture's own label, blue lowers it. {gap_sentence(compared.second)}.",
        pictures=pictures,
    )
