"""Pictures of strategies: each with its mean heatmap and typical images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy import ndarray

from shapsight.drawing import style
from shapsight.errors import DataError

PANEL = 1.7  # inches
PALENESS = 0.4


@dataclass(frozen=True, eq=False)
class Member:
    """An image `(3, height, width)` in [0, 1], its heatmap of |SHAP values| `(height, width)`, a title."""

    picture: Float[ndarray, "3 height width"]
    sizes: Float[ndarray, "height width"]
    title: str


@style.in_an_installed_font
def strategies_plot(rows: Sequence[tuple[str, Sequence[Member]]]) -> Figure:
    """Draw each strategy: its mean heatmap, then typical images with theirs; each heatmap on a scale of its own.

        strategies_plot([("strategy 1: 30 images", [mean, typical_1, typical_2]), ...])

    Raises `DataError` for nothing to draw.
    """
    if not rows or not all(members for _, members in rows):
        raise DataError("strategies_plot was given no image")
    columns = max(len(members) for _, members in rows)
    width = columns * (PANEL + 0.1) + 0.1
    captions = [style.wrap(said, width - 0.2, style.LABEL) for said, _ in rows]
    room = [_room(lines, members) for lines, (_, members) in zip(captions, rows, strict=True)]
    height = sum(room) + len(rows) * (PANEL + 0.1) + 0.1
    figure = Figure(figsize=(width, height))
    top = 0.05
    for lines, above, (_, members) in zip(captions, room, rows, strict=True):
        said = "\n".join(lines)
        figure.text(
            0.1 / width, 1 - (top + 0.03) / height, said, fontsize=style.LABEL, va="top", parse_math=False
        )
        top += above
        for column, member in enumerate(members):
            left = 0.1 + column * (PANEL + 0.1)
            place = (left / width, 1 - (top + PANEL) / height, PANEL / width, PANEL / height)
            _draw_member(figure.add_axes(place), member)
        top += PANEL + 0.1
    return figure


def _room(caption: Sequence[str], members: Sequence[Member]) -> float:
    """The height in inches of a row's caption and of the titles of its pictures."""
    titles = max(len(style.wrap(member.title, PANEL, style.NOTE)) for member in members)
    return style.text_height(len(caption), style.LABEL) + style.text_height(titles, style.NOTE) + 0.15


def _draw_member(axes: Axes, member: Member) -> None:
    height, width = member.sizes.shape
    grey = np.tensordot([0.299, 0.587, 0.114], member.picture, 1)
    axes.imshow(1 - PALENESS * (1 - grey), cmap="gray", vmin=0, vmax=1)
    cell = max(1, round(width / (PANEL * 34)))
    rows, columns = (np.arange(0, side, cell) for side in (height, width))
    summed = np.add.reduceat(np.add.reduceat(member.sizes, rows, 0), columns, 1)
    limit = float(np.quantile(summed, 0.99)) or float(summed.max()) or 1.0
    extent = (-0.5, len(columns) * cell - 0.5, len(rows) * cell - 0.5, -0.5)
    axes.imshow(summed, cmap=style.MASS, vmin=0, vmax=limit, extent=extent, interpolation="nearest")
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), xticks=[], yticks=[])
    axes.spines[:].set(linewidth=0.5, color="#9a9a9a")
    lines = style.wrap(member.title, PANEL, style.NOTE)
    axes.set_title("\n".join(lines), fontsize=style.NOTE, pad=2, parse_math=False)
