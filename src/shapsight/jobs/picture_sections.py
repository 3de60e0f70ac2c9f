"""Sections of a report that show explained pictures, of one model or of two."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from shapsight.jobs.analysis import Outcome
from shapsight.jobs.findings import gap_sentence
from shapsight.report.page import Picture, Section
from shapsight.report.plots import compare_plot, image_plot

SHOWN = 4  # pictures of each environment: more is scrolled past


def picture_section(outcome: Outcome) -> Section:
    """Explained pictures of each environment."""
    targets, scales = list(outcome.manifest.targets), outcome.manifest.scales
    are_plain = all(scale.is_plain for scale in scales.values())
    is_point = are_plain and targets == ["x", "y"]
    pictures = []
    for environment, positions in _shown(outcome.explained).items():
        rows = outcome.explained.iloc[positions]
        chosen = outcome.explanation.select(images=positions.tolist())
        size = (chosen.images.shape[-2], chosen.images.shape[-1])
        options: dict[str, Any] = {"true_labels": _why(rows)}
        if is_point:
            options["targets"] = _pixel(rows[targets], size)
            options["predictions_xy"] = _pixel(rows[[f"predicted_{target}" for target in targets]], size)
        # heatmaps of different units share no scale
        for together in [targets] if are_plain else [[target] for target in targets]:
            unit = (
                "units of the output" if are_plain else scales[together[0]].unit or f"units of {together[0]}"
            )
            figure: Figure = image_plot(chosen.select(outputs=together), unit=unit, **options)
            what = "" if are_plain else f", {together[0]}"
            pictures.append(
                Picture(figure, f"Explained images of {environment}{what}", f"{environment}{what}")
            )
    point = (
        "; x rises to the right, y downwards. The ring is the target, the cross the prediction"
        if is_point
        else ""
    )
    return Section(
        "Which pixels does it use?",
        f"Red pixels raise the output, blue pixels lower it{point}. One scale for each row. {gap_sentence(outcome)}.",
        pictures=pictures,
    )


def comparison_section(before: Outcome, after: Outcome) -> Section:
    """The same pictures explained for two models."""
    pictures = []
    targets = list(before.manifest.targets)
    is_point = targets == ["x", "y"]
    for environment, positions in _shown(before.explained).items():
        rows = before.explained.iloc[positions]
        first, second = (o.explanation.select(images=positions.tolist()) for o in (before, after))
        size = (first.images.shape[-2], first.images.shape[-1])
        figure = compare_plot(
            first,
            second,
            names=(before.name, after.name),
            output=targets[0],
            true_labels=_why(rows),
            targets=_pixel(rows[targets], size) if is_point else None,
        )
        pictures.append(
            Picture(figure, f"The same images of {environment} explained for both models", environment)
        )
    return Section(
        "Which pixels do they use?",
        "The same pictures, explained for both models, on one scale for each row. Red pixels raise "
        f"{targets[0]}{' (steer right)' if is_point else ''}, blue pixels lower it."
        f"{' The ring is the target.' if is_point else ''} {gap_sentence(after)}.",
        pictures=pictures,
    )


def _shown(explained: pd.DataFrame) -> dict[str, np.ndarray]:
    """Positions, in the explanation, of the pictures to show for each environment."""
    environments = explained["environment"].to_numpy()
    return {name: np.flatnonzero(environments == name)[:SHOWN] for name in dict.fromkeys(environments)}


def _pixel(values: pd.DataFrame, size: tuple[int, int]) -> np.ndarray:
    """Targets in [-1, 1] as pixels of the drawn image, where pixel centres are whole numbers."""
    height, width = size
    return np.asarray((values.to_numpy(float) + 1) / 2 * np.array([width, height]) - 0.5)


def _why(rows: pd.DataFrame) -> list[str]:
    return [f"{row['why']} ({row['split']})" for row in rows.to_dict("records")]
