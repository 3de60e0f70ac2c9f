"""Pictures of a handful of regions: where they are, what each is worth, and how every two work together."""

from __future__ import annotations

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from numpy import ndarray

from shapsight.attribution.explanation.bands import in_colour
from shapsight.attribution.explanation.region_values import Interactions, RegionValues
from shapsight.drawing import style
from shapsight.drawing.notebook_figure import NotebookFigure

SIDE = 2.6  # of a picture, in inches
MOST_BARS = 24


@style.in_an_installed_font
def region_bars(found: RegionValues, *, unit: str = "units of the output") -> Figure:
    """Draw each image with its regions numbered, and beside it a bar for each region, one panel an output.

        region_bars(explainer.by_region(images, TopK(2)))

    Red raises the output, blue lowers it; the line across a bar's end is one standard error to each side. Of more than
    24 regions, those with the largest values are drawn.
    """
    images, outputs, regions = found.values.shape
    height = max(SIDE, 0.19 * min(regions, MOST_BARS) + 0.8)
    figure = NotebookFigure(figsize=(SIDE * (1 + 1.15 * outputs), height * images), layout="constrained")
    grid = figure.subplots(images, outputs + 1, squeeze=False)
    values = found.values.detach().cpu().double().numpy()
    errors = None if found.std_errors is None else found.std_errors.detach().cpu().double().numpy()
    for image, row in enumerate(grid):
        own = int(found.labels[image].max()) + 1
        _draw_regions(row[0], found, image, np.abs(values[image]).sum(0))
        for output, axes in enumerate(row[1:]):
            spread = None if errors is None else errors[image, output, :own]
            _draw_bars(axes, values[image, output, :own], spread)
            _name(axes, found, image, output)
            axes.set_xlabel(unit, fontsize=style.NOTE)
    return figure


@style.in_an_installed_font
def interaction_grid(
    found: Interactions, *, unit: str = "units of the output", cmap: str | Colormap | None = None
) -> Figure:
    """Draw each image with its regions numbered, and beside it how every two work together, one panel an output.

        interaction_grid(explainer.interactions(images))

    Red: the model needs both; blue: one does for the other. The diagonal is each region's own Shapley value. All panels
    of an image share a scale. `cmap` is that of `image_plot`.
    """
    colours = style.see_through(cmap, style.HEAT)
    images, outputs, _, _ = found.values.shape
    figure = NotebookFigure(figsize=(SIDE * (1 + 1.25 * outputs), 1.1 * SIDE * images), layout="constrained")
    grid = figure.subplots(images, outputs + 1, squeeze=False)
    values = found.values.detach().cpu().double().numpy()
    for image, row in enumerate(grid):
        own = int(found.labels[image].max()) + 1
        _draw_regions(row[0], found, image, np.abs(values[image]).sum((0, 1)))
        limit = np.abs(values[image, :, :own, :own]).max() or 1.0
        for output, axes in enumerate(row[1:]):
            drawn = axes.imshow(values[image, output, :own, :own], cmap=colours, vmin=-limit, vmax=limit)
            _name(axes, found, image, output)
            axes.set_xticks(range(own))
            axes.set_yticks(range(own))
            axes.tick_params(labelsize=style.NOTE, length=0)
        bar = figure.colorbar(drawn, ax=row[-1], fraction=0.05)
        bar.set_label(unit, fontsize=style.NOTE)
        bar.ax.tick_params(labelsize=style.NOTE)
    return figure


def _pixels(found: RegionValues | Interactions, image: int) -> ndarray:
    """The picture as `(*sides)` or `(*sides, 3)` from 0 to 1."""
    pixels = in_colour(found.images[image : image + 1].detach().cpu().float().numpy())[0][0]
    low, high = float(pixels.min()), float(pixels.max())
    if low < 0 or high > 1:  # normalised, or from 0 to 255
        pixels = pixels / 255 if low >= 0 and 2 < high <= 255 else (pixels - low) / max(high - low, 1e-12)
    return np.asarray(pixels)


def _draw_regions(axes: Axes, found: RegionValues | Interactions, image: int, sizes: ndarray) -> None:
    """A picture with the borders of its regions, and each region's number in the middle of it.

    Of a volume, the slice whose regions are worth most by `sizes`.
    """
    pixels, labels = _pixels(found, image), found.labels[image].cpu().numpy()
    if labels.ndim == 3:
        volumes = np.bincount(labels.ravel(), minlength=len(sizes))
        worth = (sizes / np.maximum(volumes, 1))[labels].sum((1, 2))
        best = np.flatnonzero(worth > (1 - 1e-9) * worth.max())
        number = int(best[len(best) // 2])
        pixels, labels = pixels[number], labels[number]
        axes.set_title(f"slice {number} of 0 to {len(worth) - 1}", fontsize=style.LABEL)
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=1)
    for region in range(int(labels.max()) + 1):
        inside = labels == region
        if not inside.any():
            continue
        axes.contour(inside, levels=[0.5], colors=[style.TARGET], linewidths=0.8)
        rows, columns = inside.nonzero()
        middle = ((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2).argmin()
        axes.text(
            columns[middle], rows[middle], str(region), fontsize=style.NOTE, ha="center", va="center",
            color="black", bbox={"boxstyle": "round,pad=0.15", "facecolor": style.TARGET, "linewidth": 0},
        )  # fmt: skip
    axes.set_axis_off()


def _draw_bars(axes: Axes, values: ndarray, errors: ndarray | None) -> None:
    shown = np.sort(np.argsort(-np.abs(values))[:MOST_BARS])
    colours = [style.RAISES if value > 0 else style.LOWERS for value in values[shown]]
    places = np.arange(len(shown))
    axes.barh(places, values[shown], color=colours, height=0.7)
    if errors is not None:
        axes.errorbar(
            values[shown],
            places,
            xerr=errors[shown],
            fmt="none",
            ecolor=rcParams["text.color"],
            elinewidth=0.9,
        )
    axes.axvline(0, color=rcParams["axes.edgecolor"], linewidth=0.8)
    axes.set_yticks(places, [str(region) for region in shown])
    axes.invert_yaxis()
    style.tidy(axes, "x")


def _name(axes: Axes, found: RegionValues | Interactions, image: int, output: int) -> None:
    column = int(found.output_index[image, output])
    name = found.output_names[column] if column < len(found.output_names) else f"output {column}"
    axes.set_title(style.shorten(name, SIDE, style.LABEL), fontsize=style.LABEL, parse_math=False)
