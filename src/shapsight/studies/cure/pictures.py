"""Pictures of remedies: what each does to training images, and errors against where the models look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, UInt8
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patheffects import AbstractPathEffect, withStroke
from matplotlib.ticker import PercentFormatter
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


def error_share_plot(ranking: pd.DataFrame, *, baseline: str = "baseline") -> Figure:
    """Draw each recipe's error in unseen environments against the scene's share of what moves it.

        error_share_plot(rank(judged))

    Lower and further left is better. Lines are intervals; the baseline is a square. Raises `DataError` for a ranking
    without shares.
    """
    known = ranking[np.isfinite(ranking["scene_share"].to_numpy(float))]
    if known.empty:
        raise DataError("error_share_plot needs the scene's shares: explain images with a region of interest")
    figure = Figure(figsize=(7.2, 4.6), layout="constrained")
    axes = figure.add_subplot()
    is_usual = known["recipe"] == baseline
    for rows, colour, marker in (
        (known[~is_usual], style.SERIES[0], "o"),
        (known[is_usual], style.SERIES[1], "s"),
    ):
        share, error = rows["scene_share"], rows["error"]
        spread: dict[str, Any] = {
            f"{axis}err": np.abs([rows[f"{name}_{end}"] - rows[name] for end in ("low", "high")])
            for axis, name in (("x", "scene_share"), ("y", "error"))
        }
        axes.errorbar(share, error, **spread, fmt="none", ecolor=colour, alpha=0.35, linewidth=1)
        axes.plot(share, error, marker=marker, markersize=6, color=colour, linestyle="", zorder=3)
    _label(axes, known)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_ylim(bottom=0)
    axes.set_xlabel("scene's share of what moves the prediction", fontsize=style.LABEL)
    axes.set_ylabel("error in unseen environments", fontsize=style.LABEL)
    style.tidy(axes)
    return figure


def _label(axes: Axes, ranking: pd.DataFrame) -> None:
    """Names beside the points, moved up or down until they no longer overlap, with a line to the point."""
    low, high = 0.0, float(ranking["error_high"].max()) * 1.05
    room = (high - low) * 0.045
    rows = ranking.sort_values("error")
    right = float(ranking["scene_share_high"].max())
    width = right - float(ranking["scene_share_low"].min()) or 0.1
    heights: list[float] = []
    for error in rows["error"]:
        heights.append(max(error, heights[-1] + room) if heights else float(error))
    middle = float(np.mean(rows["error"])) - float(np.mean(heights))
    for row, height in zip(rows.to_dict("records"), heights, strict=True):
        axes.annotate(
            str(row["recipe"]),
            (row["scene_share"], row["error"]),
            (right + 0.04 * width, height + middle),
            fontsize=style.NOTE,
            va="center",
            parse_math=False,
            arrowprops={"arrowstyle": "-", "linewidth": 0.5, "color": rcParams["text.color"], "alpha": 0.5},
        )
    axes.set_xlim(right=right + width * 0.5)


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
