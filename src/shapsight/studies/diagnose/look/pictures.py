"""The pictures of where a model looks."""

from __future__ import annotations

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
from shapsight.drawing.relevance import Place, mean_and_spread, places_plot
from shapsight.studies.diagnose.case import Case
from shapsight.studies.diagnose.findings import Drawn
from shapsight.studies.diagnose.look.tables import LookTables

MOST_PLACES = 8
Sizes = Float[Tensor, "images height width"]


def pictures(case: Case, tables: LookTables) -> dict[str, Drawn]:
    """What the scene contributes, measures, the atlas of each environment, the atlas by target, and objects."""
    output = tables.output
    # Single pixels are mostly noise that cancels; in images of a few pixels a side they can be read.
    is_small = max(case.images.shape[2:]) <= SMALL
    sizes = case.explanation.heatmap(detail="pixels" if is_small else "smooth")[:, 0].abs()
    figures: dict[str, Drawn] = {}
    if tables.contributions is not None:
        contributions = tables.contributions.measures
        shares = contributions[(contributions["measure"] == "share") & (contributions["part"] == SCENE)]
        mine = shares[(shares["output"] == output) & (shares["environment"] != EVERY)]
        if len(mine):
            figures["How much comes from the scene"] = share_bars(mine, "scene's share of what moves {}")
    if len(tables.measures):
        titles = {measure.name: measure.said for measure in MEASURES}
        figures["Where the attribution lies"] = measures_plot(tables.measures, output, titles)
    figures["Mean attribution in each environment"] = places_plot(_atlas(case, sizes))
    moving = _by_target(case, sizes)
    if moving:
        figures[f"Does the attribution move with {case.targets[0]}?"] = places_plot(moving)
    if tables.objects is not None and len(tables.objects):
        figures["Attribution on kinds of objects"] = objects_plot(tables.objects, output)
    return figures


def _atlas(case: Case, sizes: Sizes) -> list[Place]:
    places = []
    for environment, at in _environments(case):
        mean, spread = mean_and_spread(sizes[at])
        caption = f"{environment}, {_count(len(at))}"
        places.append(_place(case, at, caption, {"mean": mean, "standard deviation": spread}))
    return places


def _by_target(case: Case, sizes: Sizes) -> list[Place]:
    """Mean heatmaps of low, middle and high targets in each environment with enough images."""
    if not case.targets:
        return []
    name = case.targets[0]
    places = []
    for environment, at in _environments(case):
        values = case.rows[name].to_numpy(float)[at]
        parts = target_groups(values)
        if len(at) < 9 or parts.min() < 0:
            continue
        heats = {}
        for part in range(3):
            chosen = at[parts == part]
            ends = values[parts == part].min(), values[parts == part].max()
            heats[f"{name} {ends[0]:.2g} to {ends[1]:.2g}".replace("-", "−")] = mean_and_spread(
                sizes[chosen]
            )[0]
        places.append(_place(case, at, f"{environment}, {_count(len(at))}", heats))
    return places


def _environments(case: Case) -> list[tuple[str, Int[ndarray, "images"]]]:
    """Positions of each environment's rows, at most eight environments, those with most images."""
    names = case.rows["environment"].to_numpy(str)
    kept = pd.Series(names).value_counts().index[:MOST_PLACES]
    return [(name, np.flatnonzero(names == name)) for name in sorted(kept)]


def _place(
    case: Case, at: Int[ndarray, "images"], caption: str, heats: dict[str, Float[ndarray, "height width"]]
) -> Place:
    picture = np.asarray(case.images[at].float().mean(0) / 255, dtype=float)
    region = None if case.masks is None else case.masks[at].mean(0) >= 0.5
    return Place(caption, picture, heats, region)


def _count(number: int) -> str:
    return f"mean of {number} image" + "s" * (number != 1)
