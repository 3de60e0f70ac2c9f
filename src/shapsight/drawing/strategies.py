"""Pictures of strategies: each with its mean heatmap and typical images, and the map on which they were told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy import ndarray

from shapsight.drawing import style
from shapsight.drawing.tables import sized
from shapsight.errors import DataError

PANEL = 1.7  # inches
PALENESS = 0.4
COLOURS = (*style.SERIES, "#b5503c", "#5b5fb0", "#b0a23c")
MARKERS = "osD^vP*X"


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


@style.in_an_installed_font
def strategy_map(
    embedding: Float[ndarray, "images 2"],
    labels: Int[ndarray, "images"],
    environments: Sequence[str],
    eigenvalues: Float[ndarray, "smallest"],
) -> Figure:
    """Draw images as points, near where their heatmaps are alike, coloured by strategy; beside it the spectrum.

        strategy_map(found.embedding, found.labels, rows["environment"], found.eigenvalues)

    The axes of the map mean nothing by themselves. As many eigenvalues are near 0 as there are clear groups.
    """
    names = list(dict.fromkeys(map(str, environments)))
    figure = sized(None, 8.6, 3.6)
    grid = figure.add_gridspec(1, 2, width_ratios=(2, 1))
    axes = figure.add_subplot(grid[0])
    for label in sorted(set(labels.tolist()) - {0}):
        for number, name in enumerate(names):
            chosen = (labels == label) & (np.array(environments, dtype=str) == name)
            if chosen.any():
                said = f"strategy {label}, {style.shorten(name, 1.2, style.NOTE)} ({chosen.sum()})"
                across, up = embedding[chosen].T
                axes.scatter(
                    across, up, s=22, marker=MARKERS[number % len(MARKERS)], alpha=0.8, linewidths=0,
                    color=COLOURS[(label - 1) % len(COLOURS)], label=said,
                )  # fmt: skip
    axes.set(xticks=[], yticks=[])
    axes.set_title("images whose heatmaps are alike lie together (t-SNE)", fontsize=style.LABEL)
    axes.spines[:].set(linewidth=0.5, color="#9a9a9a")
    legend = axes.legend(
        fontsize=style.NOTE, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.2,
        handletextpad=0.2,
    )  # fmt: skip
    style.literal(legend.get_texts())
    _draw_spectrum(figure.add_subplot(grid[1]), eigenvalues, len(set(labels.tolist()) - {0}))
    return figure


def _draw_spectrum(axes: Axes, eigenvalues: Float[ndarray, "smallest"], count: int) -> None:
    at = np.arange(1, len(eigenvalues) + 1)
    axes.plot(at, eigenvalues, color=rcParams["text.color"], marker="o", markersize=4, linewidth=0.8)
    axes.axvline(count + 0.5, color=style.RAISES, linewidth=1, linestyle=":")
    axes.annotate(
        f"{count} taken", (count + 0.5, 1), (3, -3), ("data", "axes fraction"), "offset points", va="top",
        fontsize=style.NOTE, color=style.RAISES,
    )  # fmt: skip
    axes.set_xticks(at)
    axes.set_ylim(bottom=min(0.0, float(eigenvalues.min())))
    axes.set_title("eigenvalues of the graph", fontsize=style.LABEL)
    style.tidy(axes)


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
