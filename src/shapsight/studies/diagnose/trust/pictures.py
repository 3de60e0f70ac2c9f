"""Which pictures show how an explanation did in its tests."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from shapsight.attribution.explanation import Explanation
from shapsight.attribution.explanation.viewed import picture_of
from shapsight.drawing.charts.curves import similarity_plot
from shapsight.drawing.charts.trust import (
    agreement_plot,
    flipping_plot,
    hidden_effects_plot,
    removal_plot,
)
from shapsight.drawing.style import number
from shapsight.drawing.viewer import Map, Shown
from shapsight.report.page import Picture
from shapsight.studies.diagnose.trust.facts import TrustFacts
from shapsight.studies.diagnose.trust.hiding import between
from shapsight.studies.diagnose.trust.specimen import Measured

SHOWN = 3  # images in pictures of heatmaps
MOST_MAPS = 6  # heatmaps of one image side by side


def pictures(measured: Measured, unit: str) -> tuple[Picture, ...]:
    """Every picture that the tables and explanations allow.

    unit: of the first output, whose curves and effects are drawn.
    """
    tables, found = measured.tables, []
    if "agreement" in tables:
        found.append(_side_by_side(measured.methods, "Methods side by side"))
    if "curves" in tables:
        note = _note_of_curves(measured.facts)
        found += [
            Picture(removal_plot(tables["curves"], unit, note), "Insertion and deletion"),
            Picture(flipping_plot(tables["curves"], unit), "Pixel flipping by blocks"),
        ]
    if "hidden" in tables:
        found.append(Picture(hidden_effects_plot(tables["hidden"], unit), "Hidden rectangles"))
    if "agreement" in tables and "regions" in tables:
        drawn = agreement_plot(tables["agreement"], tables["regions"], unit)
        found.append(Picture(drawn, "Agreement of methods, and exact values"))
    if "randomisation" in tables:
        drawn = similarity_plot(tables["randomisation"])
        title = "Heatmaps while layers are randomised"
        found += [
            Picture(drawn, "Similarity while layers are randomised"),
            _side_by_side(measured.randomised, title, images=1),
        ]
    return tuple(found)


def _side_by_side(explanations: Mapping[str, Explanation], title: str, images: int = SHOWN) -> Picture:
    """Of the first output."""
    first = next(iter(explanations.values()))
    shown = range(min(images, len(first)))
    captions = [f"{first.name_of(n, 0)} = {number(float(first.predictions[n, 0]))}" for n in shown]
    heatmaps = {
        name: np.asarray(explanation.heatmap()[: len(shown), 0].cpu().double())
        for name, explanation in explanations.items()
    }
    chosen = list(heatmaps)[:MOST_MAPS]
    viewed = [
        Shown(
            f"{title}: image {n + 1}",
            picture_of(first[n])[0],
            [Map(first.name_of(n, 0), heatmaps[name][n], method=name) for name in chosen],
            details=("smooth", "pixels"),
            caption=f"{captions[n]}: {', '.join(chosen)}",
            key=f"{title}|{n}",
        )
        for n in shown
    ]
    return Picture(viewed, title, maps=tuple(range(len(chosen))))


def _note_of_curves(facts: TrustFacts) -> str:
    """What stands over the curves: how far the orders are apart, and how sure that is."""
    ratios = {"deletion": facts.deletion_ratio, "insertion": facts.insertion_ratio}
    return ", ".join(
        f"{curve} {number(ratio.value)} × random ({between(ratio)})"
        for curve, ratio in ratios.items()
        if ratio.is_known
    )
