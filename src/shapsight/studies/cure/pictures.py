"""Pictures of remedies: what each does to training images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patheffects import AbstractPathEffect, withStroke
from numpy import ndarray
from torch import Tensor

from shapsight.data.remedies.batches import RecipeSamples
from shapsight.data.remedies.recipes import Recipe
from shapsight.data.turns import in_turn
from shapsight.drawing import style
from shapsight.errors import DataError
from shapsight.studies.cure.facts import Cure
from shapsight.studies.cure.trials import treatment_of

PANEL = 1.75  # inches
AFTER = 4  # pictures of each image after a remedy
TRIES = (
    60  # a remedy leaves some images as they are: so many draws are looked through for ones that it changes
)


@dataclass(frozen=True, eq=False)
class BeforeOrAfter:
    """An image `(3, height, width)`, the points in it (x, y; pixel centres are whole numbers), its region, a title."""

    image: UInt8[ndarray, "3 height width"]
    points: Float[ndarray, "points 2"]
    roi: Bool[ndarray, "height width"] | None = None
    title: str = ""


Rows = Sequence[Sequence[BeforeOrAfter]]


def augmentation_plot(rows: Rows) -> Figure:
    """Draw images before and after a remedy: a row an image, the first before, the others after.

        augmentation_plot([[before, after_1, after_2], [another, ...]])

    The ring is the target, the green line the edge of the region of interest. Raises `DataError` for no rows.
    """
    if not rows or not all(rows):
        raise DataError("augmentation_plot was given no image")
    columns = max(map(len, rows))
    figure = Figure(
        figsize=(columns * PANEL, len(rows) * (PANEL + 0.2) + 0.05),
        layout=ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0.02, hspace=0.02),
    )
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for axes_row, row in zip(grid, rows, strict=True):
        for axes in axes_row:
            axes.set_axis_off()
        for axes, shown in zip(axes_row, row, strict=False):
            _draw(axes, shown)
    return figure


def _draw(axes: Axes, shown: BeforeOrAfter) -> None:
    height, width = shown.image.shape[1:]
    axes.imshow(shown.image.transpose(1, 2, 0), interpolation="nearest")
    dark: list[AbstractPathEffect] = [withStroke(linewidth=2.4, foreground="black")]
    if shown.roi is not None and shown.roi.any() and not shown.roi.all():
        lines = axes.contour(shown.roi.astype(float), levels=[0.5], colors=style.REGION, linewidths=1.0)
        lines.set_path_effects(dark)
    for x, y in shown.points:
        axes.plot(
            x, y, marker="o", markersize=8, markerfacecolor="none", markeredgecolor=style.TARGET, markeredgewidth=1.6,
            path_effects=[withStroke(linewidth=3.2, foreground="black")], clip_on=False,
        )  # fmt: skip
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(height - 0.5, -0.5)
    axes.set_title(
        style.shorten(shown.title, PANEL, style.NOTE), fontsize=style.NOTE, pad=2, parse_math=False
    )


def changed_images(recipe: Recipe, cured: Cure) -> list[list[BeforeOrAfter]]:
    """Training images of two environments before and after a recipe; none for one that changes no image."""
    # Every environment is trained on here, so that scenes of others can be shown.
    names = (cured.turns.wider or cured.turns.plain)[0]
    budget, material = cured.budget, cured.material
    manifest = in_turn(
        material.manifest, names, seed=budget.split_seed, validation_share=budget.validation_share
    )
    samples = treatment_of(recipe.name, budget, material).samples(manifest, material.images)
    training = manifest.rows("train")
    environments = manifest.table["environment"].to_numpy()
    pictures = []
    for name in names[:2]:
        of_name = training[environments[training] == name]
        row = int(of_name[len(of_name) // 2])
        found = [_before(samples, row, str(name), has_roi=material.masks is not None)]
        for number in range(TRIES):
            after = _after(samples, number, row)
            is_new = not any(np.array_equal(after.image, shown.image) for shown in found)
            if is_new and len(found) <= AFTER:
                found.append(after)
        pictures.append(found)
    return pictures if any(len(found) > 1 for found in pictures) else []


def _before(samples: RecipeSamples, row: int, title: str, *, has_roi: bool) -> BeforeOrAfter:
    image, places = samples.images[row], samples.places
    size = (image.shape[-2], image.shape[-1])
    points = places.points(samples.targets[row], size) if places.across else torch.zeros(0, 2)
    return BeforeOrAfter(
        image.numpy(), points.numpy(), samples.masks[row].numpy() if has_roi else None, title
    )


def _after(samples: RecipeSamples, number: int, row: int) -> BeforeOrAfter:
    changed = samples.changed(number, row)
    image, points, roi = (changed[name].as_subclass(Tensor).numpy() for name in ("image", "points", "roi"))
    return BeforeOrAfter(image, points, roi)
