"""Which pictures show how an explanation did in its tests."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from shapsight.attribution.explanation import Explanation
from shapsight.drawing.charts.curves import similarity_plot
from shapsight.drawing.charts.trust import agreement_plot, flipping_plot, hidden_effects_plot, removal_plot
from shapsight.drawing.faithfulness import side_by_side
from shapsight.drawing.style import number
from shapsight.studies.diagnose.findings import Drawn
from shapsight.studies.diagnose.trust.facts import TrustFacts
from shapsight.studies.diagnose.trust.hiding import between
from shapsight.studies.diagnose.trust.specimen import Measured

SHOWN = 3  # images in pictures of heatmaps


def pictures(measured: Measured, unit: str) -> dict[str, Drawn]:
    """Every picture that the tables and explanations allow, by title.

    unit: of the first output, whose curves and effects are drawn.
    """
    tables = measured.tables
    figures: dict[str, Drawn] = {}
    if "curves" in tables:
        figures["Insertion and deletion"] = removal_plot(
            tables["curves"], unit, _note_of_curves(measured.facts)
        )
        figures["Pixel flipping by blocks"] = flipping_plot(tables["curves"], unit)
    if "hidden" in tables:
        figures["Hidden rectangles"] = hidden_effects_plot(tables["hidden"], unit)
    if "randomisation" in tables:
        figures["Similarity while layers are randomised"] = similarity_plot(tables["randomisation"])
        figures["Heatmaps while layers are randomised"] = _side_by_side(measured.randomised, images=1)
    if "agreement" in tables:
        figures["Methods side by side"] = _side_by_side(measured.methods)
    if "agreement" in tables and "regions" in tables:
        figures["Agreement of methods, and exact values"] = agreement_plot(
            tables["agreement"], tables["regions"], unit
        )
    return figures


def _side_by_side(explanations: Mapping[str, Explanation], images: int = SHOWN) -> Figure:
    """Of the first output."""
    first = next(iter(explanations.values()))
    shown = range(min(images, len(first)))
    captions = [f"{first.name_of(n, 0)} = {number(float(first.predictions[n, 0]))}" for n in shown]
    heatmaps = {
        name: np.asarray(explanation.heatmap()[: len(shown), 0].cpu().double())
        for name, explanation in explanations.items()
    }
    return side_by_side(np.asarray(first.images.detach().cpu(), dtype=float), captions, heatmaps)


def _note_of_curves(facts: TrustFacts) -> str:
    """What stands over the curves: how far the orders are apart, and how sure that is."""
    ratios = {"deletion": facts.deletion_ratio, "insertion": facts.insertion_ratio}
    return ", ".join(
        f"{curve} {number(ratio.value)} × random ({between(ratio)})"
        for curve, ratio in ratios.items()
        if ratio.is_known
    )
