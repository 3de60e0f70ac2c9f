"""The pictures of where a model looks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from shapsight.attribution.explanation.detail import SMALL
from shapsight.diagnosis.contributions import SCENE
from shapsight.diagnosis.fixed_places import target_groups
from shapsight.diagnosis.groups import EVERY
from shapsight.diagnosis.relevance_measures import MEASURES
from shapsight.drawing.charts.intervals import share_bars
from shapsight.drawing.charts.measures import measures_plot, objects_plot
from shapsight.drawing.viewer import Map, Shown, channels_last
from shapsight.report.page import Picture
from shapsight.studies.diagnose.case import Case
from shapsight.studies.diagnose.look.tables import LookTables
from shapsight.studies.shared.examples import explained_images
from shapsight.studies.shared.words import count

MOST_PLACES = 8
Sizes = Float[Tensor, "images height width"]


EXPLAINED = "The explained images"


def pictures(case: Case, tables: LookTables) -> tuple[Picture, ...]:
    """What the scene contributes, the images, the atlas of each environment, that by target, measures, and objects."""
    output = tables.output
    # Single pixels are mostly noise that cancels; in images of a few pixels a side they can be read.
    is_small = max(case.images.shape[2:]) <= SMALL
    sizes = case.explanation.heatmap(detail="pixels" if is_small else "smooth")[:, 0].abs()
    found = []
    if tables.contributions is not None:
        contributions = tables.contributions.measures
        shares = contributions[(contributions["measure"] == "share") & (contributions["part"] == SCENE)]
        mine = shares[(shares["output"] == output) & (shares["environment"] != EVERY)]
        if len(mine):
            chart = share_bars(mine, "scene's share of what moves {}")
            found.append(
                Picture(
                    chart, "How much comes from the scene", "The scene's share of what moves each output."
                )
            )
    found.append(_explained(case, tables))
    found.append(_atlas(case, sizes))
    moving = _by_target(case, sizes)
    if moving is not None:
        found.append(moving)
    if len(tables.measures):
        titles = {measure.name: measure.said for measure in MEASURES}
        found.append(Picture(measures_plot(tables.measures, output, titles), "Where the attribution lies"))
    if tables.objects is not None and len(tables.objects):
        found.append(Picture(objects_plot(tables.objects, output), "Attribution on kinds of objects"))
    return tuple(found)


def _explained(case: Case, tables: LookTables) -> Picture:
    """Every explained image, as many of each environment among the first as there is room for."""
    parts = None if tables.contributions is None else tables.contributions.per_image
    images = explained_images(
        {"": case.explanation}, case.rows, case.manifest, case.bundle, case.masks, parts=parts
    )
    turn = case.rows.groupby("environment").cumcount().to_numpy()
    order = np.argsort(turn, kind="stable").tolist()
    return Picture(
        [images[at] for at in order],
        EXPLAINED,
        f"{EXPLAINED}: red raises the output, blue lowers it; a click opens one.",
    )


def _atlas(case: Case, sizes: Sizes) -> Picture:
    title = "Mean attribution in each environment"
    images = []
    for environment, at in _environments(case):
        mean, spread = mean_and_spread(sizes[at])
        images.append(_place(case, at, title, environment, {"mean": mean, "standard deviation": spread}))
    return Picture(images, title, maps=(0, 1))


def _by_target(case: Case, sizes: Sizes) -> Picture | None:
    """Mean heatmaps of low, middle and high targets in each environment with enough images."""
    if not case.targets:
        return None
    name = case.targets[0]
    title = f"Does the attribution move with {name}?"
    images = []
    for environment, at in _environments(case):
        values = case.rows[name].to_numpy(float)[at]
        parts = target_groups(values)
        if len(at) < 9 or parts.min() < 0:
            continue
        heats = {}
        for part in range(3):
            chosen = at[parts == part]
            ends = values[parts == part].min(), values[parts == part].max()
            heading = f"{name} {ends[0]:.2g} to {ends[1]:.2g}".replace("-", "−")
            heats[heading] = mean_and_spread(sizes[chosen])[0]
        images.append(_place(case, at, title, environment, heats))
    return Picture(images, title, maps=(0, 1, 2)) if images else None


def _environments(case: Case) -> list[tuple[str, Int[ndarray, "images"]]]:
    """Positions of each environment's rows, at most eight environments, those with most images."""
    names = case.rows["environment"].to_numpy(str)
    kept = pd.Series(names).value_counts().index[:MOST_PLACES]
    return [(name, np.flatnonzero(names == name)) for name in sorted(kept)]


def _place(
    case: Case,
    at: Int[ndarray, "images"],
    title: str,
    environment: str,
    heats: Mapping[str, Float[ndarray, "height width"]],
) -> Shown:
    """Mean heatmaps over the mean picture of an environment."""
    name = f"{environment}, mean of {count(len(at), 'image')}"
    return Shown(
        name,
        channels_last(case.images[at].float().mean(0) / 255),
        [Map(heading, values) for heading, values in heats.items()],
        details=("smooth", "pixels"),
        caption=f"{name}: {', '.join(heats)}",
        key=f"{title} {environment}",
        outline=None if case.masks is None else case.masks[at].mean(0) >= 0.5,
    )


def mean_and_spread(
    sizes: Sizes,
) -> tuple[Float[ndarray, "height width"], Float[ndarray, "height width"]]:
    """The mean and the standard deviation over images of |SHAP values|, one image at a time to spare memory."""
    total = np.zeros(sizes.shape[1:])
    squares = np.zeros_like(total)
    for image in sizes:
        values = image.cpu().double().numpy()
        total += values
        squares += values**2
    mean = total / len(sizes)
    return mean, np.sqrt((squares / len(sizes) - mean**2).clip(min=0))
