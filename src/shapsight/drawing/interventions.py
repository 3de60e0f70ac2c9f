"""Pictures of interventions: the changed images themselves, and which places of the scene matter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy import ndarray

from shapsight.drawing import style
from shapsight.drawing.tables import sized
from shapsight.errors import DataError

PANEL, GAP, LINES = 1.42, 0.1, 0.34  # inches
ACROSS = 7
MARGIN = 0.08


@dataclass(frozen=True, eq=False)
class Variant:
    """A changed picture: its pixels, its name, what is said of it, and points (x, y) of target and prediction."""

    image: UInt8[ndarray, "3 height width"]
    name: str
    said: str = ""
    target: tuple[float, float] | None = None
    prediction: tuple[float, float] | None = None
    is_turned: bool = False


@style.in_an_installed_font
def variants_plot(groups: Sequence[tuple[str, Sequence[Variant]]]) -> Figure:
    """Draw images in all their variants, a block an image, seven in a row.

        variants_plot([("room_2", [Variant(image, "original", "x −0.31"), Variant(grey, "grey scene", "x −0.02")])])

    The ring is the target, the dot the prediction; a prediction that turned is written in bold.
    Raises `DataError` for no pictures.
    """
    if not groups or not all(variants for _, variants in groups):
        raise DataError("variants_plot was given no picture")
    across = min(ACROSS, max(len(variants) for _, variants in groups))
    rows = [-(-len(variants) // across) for _, variants in groups]
    head, between = style.text_height(1, style.HEADING) + 0.02, 0.12
    width = across * PANEL + (across - 1) * GAP + 2 * MARGIN
    height = sum(head + between + count * (PANEL + LINES) for count in rows) - between + 2 * MARGIN
    figure, paper = _paper(width, height)
    top = height - MARGIN
    for (title, variants), count in zip(groups, rows, strict=True):
        paper.text(
            MARGIN, top - 0.02, title, fontsize=style.HEADING, va="top", fontweight="bold", parse_math=False
        )
        top -= head
        for number, variant in enumerate(variants):
            left = MARGIN + number % across * (PANEL + GAP)
            _draw_variant(paper, variant, left, top - (number // across + 1) * (PANEL + LINES))
        top -= count * (PANEL + LINES) + between
    return figure


def _paper(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure with one pair of axes all over it, in inches from the lower left: many axes would be slow to draw."""
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_autoscale_on(False)
    axes.set(xlim=(0, width), ylim=(0, height))
    return figure, axes


def _picture(
    paper: Axes, image: UInt8[ndarray, "3 height width"], left: float, bottom: float, side: float
) -> None:
    paper.imshow(
        image.transpose(1, 2, 0), extent=(left, left + side, bottom, bottom + side), aspect="auto",
        interpolation="nearest",
    )  # fmt: skip


def _draw_variant(paper: Axes, variant: Variant, left: float, bottom: float) -> None:
    height, width = variant.image.shape[1:]
    _picture(paper, variant.image, left, bottom, PANEL)
    outline = [withStroke(linewidth=2.6, foreground="black")]

    def on_paper(point: tuple[float, float]) -> tuple[float, float]:
        x, y = np.clip(point, 0, (width - 1, height - 1))
        return left + (x + 0.5) / width * PANEL, bottom + PANEL - (y + 0.5) / height * PANEL

    if variant.target is not None:
        paper.plot(
            *on_paper(variant.target), marker="o", markersize=8.5, markerfacecolor="none",
            markeredgecolor=style.TARGET, markeredgewidth=1.6, path_effects=outline,
        )  # fmt: skip
    if variant.prediction is not None:
        paper.plot(
            *on_paper(variant.prediction),
            marker="o",
            markersize=4.5,
            color=style.PREDICTION,
            path_effects=outline,
        )
    top = bottom + PANEL
    name = style.shorten(variant.name, PANEL, style.NOTE)
    said = style.shorten(variant.said, PANEL, style.NOTE)
    options: dict[str, Any] = {"fontsize": style.NOTE, "va": "center", "parse_math": False}
    paper.text(left, top + 0.22, name, **options)
    weight = "bold" if variant.is_turned else "normal"
    paper.text(left, top + 0.08, said, fontweight=weight, alpha=1 if variant.is_turned else 0.75, **options)


@dataclass(frozen=True, eq=False)
class PatchMap:
    """The patches of one picture: which each pixel is in, 0 for the region; and a number for each patch from 1 on."""

    image: UInt8[ndarray, "3 height width"]
    labels: Int[ndarray, "height width"]
    values: Float[ndarray, "patches"]
    title: str = ""


@style.in_an_installed_font
def patches_plot(maps: Sequence[PatchMap], *, unit: str = "units of the output") -> Figure:
    """Draw pictures with the RegionSHAP value of each patch of their scene: red raises the output, blue lowers it.

        patches_plot([PatchMap(image, labels, values, "room_2")])

    All share a scale. The three largest are numbered. Raises `DataError` for no pictures.
    """
    if not maps:
        raise DataError("patches_plot was given no picture")
    across = min(3, len(maps))
    rows = -(-len(maps) // across)
    figure = sized(None, across * 2.5 + 0.8, rows * 2.62 + 0.05, equal_axes=True)
    grid = figure.subplots(rows, across, squeeze=False)
    reach = max(1e-12, *(float(np.abs(each.values).max(initial=0)) for each in maps))
    norm = Normalize(-reach, reach)
    for axes in grid.ravel():
        axes.set_axis_off()
    for axes, each in zip(grid.ravel(), maps, strict=False):
        _draw_patches(axes, each, norm)
    bar = figure.colorbar(ScalarMappable(norm, style.HEAT), ax=grid, shrink=0.7, aspect=26, pad=0.02)
    bar.ax.tick_params(labelsize=style.NOTE, length=2)
    bar.set_label(unit, fontsize=style.LABEL, parse_math=False)
    bar.outline.set_visible(False)
    return figure


def _over_image() -> Colormap:
    """The colours of heatmaps, and nothing where there is no value."""
    return style.HEAT.with_extremes(bad=(0, 0, 0, 0))


def _draw_patches(axes: Axes, each: PatchMap, norm: Normalize) -> None:
    grey = each.image.transpose(1, 2, 0).mean(2) / 255
    axes.imshow(1 - 0.6 * (1 - grey), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    values = np.concatenate([[np.nan], each.values])[each.labels]
    axes.imshow(
        np.ma.masked_invalid(values), cmap=_over_image(), norm=norm, interpolation="nearest", alpha=0.8
    )
    inside = each.labels == 0
    if inside.any() and not inside.all():
        axes.contour(inside.astype(float), levels=[0.5], colors="black", linewidths=0.9)
    largest = np.argsort(-np.abs(each.values), kind="stable")[:3]
    for rank, patch in enumerate(largest, start=1):
        rows, columns = np.nonzero(each.labels == patch + 1)
        if len(rows):
            axes.text(
                columns.mean(), rows.mean(), str(rank), fontsize=style.HEADING, ha="center", va="center",
                fontweight="bold", color="black", path_effects=[withStroke(linewidth=2.5, foreground="white")],
            )  # fmt: skip
    axes.set_title(style.shorten(each.title, 2.4, style.LABEL), fontsize=style.LABEL, pad=3, parse_math=False)
