"""Sections of a report that show explained pictures, of one model or of two."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from shapsight.attribution.explanation.heatmaps import compare_plot, image_plot
from shapsight.report.page import Picture, Section
from shapsight.studies.shared.analysis import Outcome
from shapsight.studies.shared.contributions import value_of
from shapsight.studies.shared.error_words import gap_sentence

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
        options: dict[str, Any] = {"true_labels": _why(rows), "roi": _masks(outcome, positions)}
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
        f"Red raises the output, blue lowers it{point}. One scale for each row. {gap_sentence(outcome)}.",
        pictures=pictures,
    )


def comparison_section(before: Outcome, after: Outcome) -> Section:
    """The same pictures explained for two models."""
    targets = list(before.manifest.targets)
    is_point = targets == ["x", "y"]
    pictures = [_overview(before, after)]
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
            roi=_masks(before, positions),
        )
        pictures.append(
            Picture(figure, f"The same images of {environment} explained for both models", environment)
        )
    return Section(
        "Which pixels do they use?",
        "The same pictures, explained for both models, on one scale for each row. Red raises "
        f"{targets[0]}{' (steer right)' if is_point else ''}, blue lowers it."
        f"{' The ring is the target.' if is_point else ''} {gap_sentence(after)}.",
        pictures=pictures,
    )


def _overview(before: Outcome, after: Outcome) -> Picture:
    """An image of each environment, with how much of what moves the first output comes from the scene there."""
    target = before.manifest.targets[0]
    positions = np.array([_typical(before, at) for at in _shown(before.explained).values()])
    first, second = (o.explanation.select(images=positions.tolist()) for o in (before, after))
    figure = compare_plot(
        first,
        second,
        names=(f"trained on {before.name}", f"trained on {after.name}"),
        output=target,
        true_labels=[
            _place(name, before, after, target) for name in before.explained["environment"].iloc[positions]
        ],
        roi=_masks(before, positions),
    )
    return Picture(
        figure, "An image of each environment explained for both models", "one image of each environment"
    )


def _typical(outcome: Outcome, positions: np.ndarray) -> int:
    """The first image that was not chosen as an extreme."""
    why = outcome.explained["why"].to_numpy()[positions]
    drawn = positions[why == "drawn at random"]
    return int(drawn[0] if len(drawn) else positions[-1])


def _place(environment: str, before: Outcome, after: Outcome, target: str) -> str:
    """Such as `room_1: scene 42 % → 23 % of what moves x`."""
    shares = [
        value_of(outcome.contributions.measures, target, "share", environment=environment)
        for outcome in (before, after)
        if outcome.contributions is not None
    ]
    known = [f"{share['value']:.0%}" for share in shares if share is not None]
    return (
        f"{environment}: the scene's share is {' → '.join(known)}"
        if len(known) == len(shares) > 0
        else environment
    )


def _masks(outcome: Outcome, positions: np.ndarray) -> np.ndarray | None:
    return None if outcome.masks is None else outcome.masks[positions]


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
