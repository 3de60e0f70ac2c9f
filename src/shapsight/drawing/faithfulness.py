"""Pictures of tests of explanations: several heatmaps of an image beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.figure import Figure
from numpy import ndarray

from shapsight.drawing import style
from shapsight.drawing.panels import SIGNED, Array, Heat, Look, Row, draw_rows

MOST_BESIDE = 4  # heatmaps beside the first one
CELLS = 56  # along a heatmap: more would be a haze of red and blue
LONGEST_LAYER = 1.1


@style.in_an_installed_font
def side_by_side(
    pictures: Float[ndarray, "images channels height width"],
    captions: Sequence[str],
    heatmaps: Mapping[str, Float[ndarray, "images height width"]],
) -> Figure:
    """Draw several heatmaps of each picture in a row, each on its own scale; of many the first, and some of the others.

    side_by_side(images, ["x = 0.1"], {"DeepSHAP": deep, "GradientSHAP": gradient})
    """
    first, *others = heatmaps.items()
    if len(others) > MOST_BESIDE:
        others = [others[round(at)] for at in np.linspace(0, len(others) - 1, MOST_BESIDE)]
    cell = max(1, round(pictures.shape[-1] / CELLS))
    rows = []
    for number, caption in enumerate(captions):
        heats = tuple(
            Heat(_scaled(values[number], cell), _end_of(name, LONGEST_LAYER + 0.4), float("nan"))
            for name, values in (first, *others)
        )
        rows.append(Row(_picture(pictures[number]), caption, {}, heats))
    look = Look(99.5, None, cell, "each over its 99.5th percentile", limit=1.0, kind=SIGNED)
    return draw_rows(rows, look, None)


def _scaled(heatmap: Array, cell: int) -> Array:
    """A heatmap over the 99.5th percentile of its cells, so that each can be seen whatever its size."""
    rows, columns = (np.arange(0, side, cell) for side in heatmap.shape)
    cells = np.abs(np.add.reduceat(np.add.reduceat(heatmap, rows, 0), columns, 1))
    size = float(np.percentile(cells, 99.5)) or float(cells.max(initial=0.0))
    return np.asarray(heatmap / size if size > 0 else heatmap)


def _picture(image: Array) -> Array:
    low, high = float(image.min()), float(image.max())
    shown = image if low >= 0 and high <= 1.001 else (image - low) / (high - low if high > low else 1.0)
    return shown[0].clip(0, 1) if len(shown) == 1 else np.moveaxis(shown[:3], 0, -1).clip(0, 1)


def of_first_output(table: pd.DataFrame) -> pd.DataFrame:
    """The first output's rows; all of them where images explain outputs of their own."""
    outputs = list(dict.fromkeys(table["output"]))
    is_shared = table.groupby("output")["image"].nunique().min() == table["image"].nunique()
    return table[table["output"] == outputs[0]] if is_shared else table


def _end_of(name: str, width: float = LONGEST_LAYER) -> str:
    """A layer's dotted name, its end where it is long: that is what tells layers apart."""
    if style.text_width(name, style.NOTE) <= width:
        return name
    kept = name
    while kept and style.text_width(f"…{kept}", style.NOTE) > width:
        kept = kept[1:]
    return f"…{kept}"
