"""The pictures of where a model looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from shapsight.diagnosis.contributions import SCENE
from shapsight.diagnosis.fixed_places import target_groups
from shapsight.diagnosis.groups import EVERY
from shapsight.diagnosis.relevance_measures import MEASURES
from shapsight.drawing.charts.intervals import share_bars
from shapsight.drawing.charts.measures import measures_plot, objects_plot
from shapsight.drawing.viewer import Map, Shown, channels_last
from shapsight.report.page import Picture
from shapsight.studies.diagnose.case import Case
from shapsight.studies.diagnose.look.streamed import Atlas, Mean, sizes_of
from shapsight.studies.diagnose.look.tables import LookTables
from shapsight.studies.shared.contributions import as_array
from shapsight.studies.shared.examples import explained_images
from shapsight.studies.shared.words import count

Sizes = Float[Tensor, "images height width"]


EXPLAINED = "The explained images"


def pictures(case: Case, tables: LookTables) -> tuple[Picture, ...]:
    """What the scene contributes, the images, the atlas of each environment, that by target, measures, and objects."""
    output = tables.output
    sizes = sizes_of(case.explanation)
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
    found.append(_atlas(tables.atlas))
    moving = _by_target(case, sizes, tuple(sorted(tables.atlas.means)))
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


def _atlas(atlas: Atlas) -> Picture:
    title = "Mean attribution in each environment"
    images = [
        _place(title, place, mean, {"mean": mean.heat, "standard deviation": mean.spread})
        for place, mean in sorted(atlas.means.items())
    ]
    return Picture(images, title, maps=(0, 1))


def _by_target(case: Case, sizes: Sizes, places: Sequence[str]) -> Picture | None:
    """Mean heatmaps of low, middle and high targets in each environment with enough images."""
    if not case.targets:
        return None
    name = case.targets[0]
    title = f"Does the attribution move with {name}?"
    images = []
    environments = case.rows["environment"].to_numpy(str)
    for environment in places:
        at = np.flatnonzero(environments == environment)
        values = case.rows[name].to_numpy(float)[at]
        parts = target_groups(values)
        if len(at) < 9 or parts.min() < 0:
            continue
        heats = {}
        for part in range(3):
            chosen = at[parts == part]
            ends = values[parts == part].min(), values[parts == part].max()
            heading = f"{name} {ends[0]:.2g} to {ends[1]:.2g}".replace("-", "−")
            heats[heading] = mean_of(case, chosen, sizes).heat
        images.append(_place(title, environment, mean_of(case, at, sizes), heats))
    return Picture(images, title, maps=(0, 1, 2)) if images else None


def _place(
    title: str, environment: str, of: Mean, heats: Mapping[str, Float[ndarray, "height width"]]
) -> Shown:
    """Mean heatmaps over the mean picture of an environment."""
    name = f"{environment}, mean of {count(of.images, 'image')}"
    return Shown(
        name,
        channels_last(of.picture.float()),
        [Map(heading, values) for heading, values in heats.items()],
        details=("smooth", "pixels"),
        caption=f"{name}: {', '.join(heats)}",
        key=f"{title} {environment}",
        outline=of.outline,
    )


def mean_of(case: Case, at: Int[ndarray, "images"], sizes: Sizes) -> Mean:
    """Of some images of the case, one at a time to spare memory."""
    found = Mean()
    for number in at:
        mask = None if case.masks is None else case.masks[number]
        found.add(as_array(sizes[number]), as_array(case.images[number]) / 255, mask)
    return found
