"""Which pictures show how an explanation did in its tests."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from shapsight.attribution.explanation import Explanation
from shapsight.diagnosis.faithfulness.blocks import block_map, block_sums
from shapsight.drawing import style
from shapsight.drawing.faithfulness import (
    LONGEST_LAYER,
    agreement_plot,
    end_of_name,
    flipping_plot,
    hidden_effects_plot,
    removal_plot,
    similarity_plot,
)
from shapsight.drawing.panels import SIGNED, Array, Heat, Look, Row, draw_rows
from shapsight.studies.diagnose.trust.specimen import Measured

SHOWN = 3  # images in pictures of heatmaps
MOST_BESIDE = 4  # heatmaps beside the first one
CELLS = 56  # along a heatmap: more would be a haze of red and blue


def pictures(measured: Measured, unit: str, note: str) -> dict[str, Figure]:
    """Every picture that the tables and explanations allow, by title.

    unit: of the first output, whose curves and effects are drawn. note: what stands over insertion and deletion.
    """
    tables = measured.tables
    figures: dict[str, Figure] = {}
    if "curves" in tables:
        figures["Insertion and deletion"] = removal_plot(tables["curves"], unit, note)
        figures["Pixel flipping by blocks"] = flipping_plot(tables["curves"], unit)
    if "hidden" in tables:
        figures["Hidden rectangles"] = hidden_effects_plot(tables["hidden"], unit)
    if "randomisation" in tables:
        figures["Similarity while layers are randomised"] = similarity_plot(tables["randomisation"])
        figures["Heatmaps while layers are randomised"] = side_by_side(measured.randomised, images=1)
    if "agreement" in tables:
        figures["Methods side by side"] = side_by_side(measured.methods)
    if "agreement" in tables and "regions" in tables:
        figures["Agreement of methods, and exact values"] = agreement_plot(
            tables["agreement"], tables["regions"], unit
        )
    return figures


@style.in_an_installed_font
def side_by_side(explanations: Mapping[str, Explanation], images: int = SHOWN) -> Figure:
    """Draw several explanations of the same images in a row, each on its own scale, for its first output."""
    first = next(iter(explanations.values()))
    shown = dict(list(explanations.items())[:1] + _evenly(list(explanations.items())[1:], MOST_BESIDE))
    pictures = np.asarray(first.images.detach().cpu(), dtype=float)
    cell = max(1, round(first.values.shape[-1] / CELLS))
    rows = []
    for image in range(min(images, len(first))):
        heats = tuple(
            Heat(_scaled(e.heatmap()[image, 0], cell), end_of_name(name, LONGEST_LAYER + 0.4), float("nan"))
            for name, e in shown.items()
        )
        caption = f"{first.name_of(image, 0)} = {style.number(float(first.predictions[image, 0]))}"
        rows.append(Row(_picture(pictures[image]), caption, {}, heats))
    look = Look(99.5, None, cell, "each over its 99.5th percentile", limit=1.0, kind=SIGNED)
    return draw_rows(rows, look, None)


def _scaled(heatmap: Tensor, cell: int) -> Array:
    """A heatmap over the 99.5th percentile of its cells, so that each can be seen whatever its size."""
    values = heatmap.cpu().double()
    cells = np.abs(block_sums(values, block_map(values.shape, cell)).numpy())
    size = float(np.percentile(cells, 99.5)) or float(cells.max(initial=0.0))
    return np.asarray(values / size if size > 0 else values)


def _evenly(items: list[tuple[str, Explanation]], most: int) -> list[tuple[str, Explanation]]:
    """So many of them, the last among them."""
    if len(items) <= most:
        return items
    return [items[round(at)] for at in np.linspace(0, len(items) - 1, most)]


def _picture(image: Array) -> Array:
    low, high = float(image.min()), float(image.max())
    shown = image if low >= 0 and high <= 1.001 else (image - low) / (high - low if high > low else 1.0)
    return shown[0].clip(0, 1) if len(shown) == 1 else np.moveaxis(shown[:3], 0, -1).clip(0, 1)
