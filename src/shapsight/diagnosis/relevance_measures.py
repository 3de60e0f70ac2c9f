"""Where the attribution lies, by every measure: per image, and per environment with intervals, chance and a control."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from numpy import ndarray

from shapsight.attribution.explanation import Explanation
from shapsight.diagnosis.concentration import area_of_attribution, attribution_entropy
from shapsight.diagnosis.groups import generator_of, groups
from shapsight.diagnosis.intervals import mean_with_interval
from shapsight.diagnosis.relevance import (
    pointing_game,
    relevance_mass_accuracy,
    relevance_rank_accuracy,
)
from shapsight.errors import DataError

CARRIED = 0.9


@dataclass(frozen=True)
class Measure:
    """A column of the tables, what it is called, and what an even heatmap scores; None: the region's share."""

    name: str
    said: str
    chance: float | None = None


MEASURES = (
    Measure("mass_accuracy", "attribution inside the region"),
    Measure("mass_accuracy_positive", "positive attribution inside"),
    Measure("mass_accuracy_negative", "negative attribution inside"),
    Measure("rank_accuracy", "most important pixels inside (rank accuracy)"),
    Measure("pointing_game", "most important pixel inside (pointing game)"),
    Measure("entropy", "entropy of the attribution (1: spread evenly)", 1.0),
    Measure("area", "pixels that carry 90 % of it", CARRIED),
)
NAMES = tuple(measure.name for measure in MEASURES)
KEYS = ["environment", "split", "output", "measure"]


def measures_per_image(
    explanation: Explanation, rows: pd.DataFrame, masks: Bool[ndarray, "images height width"] | None
) -> pd.DataFrame:
    """One row an image and output: `path, environment, split, output, region`, and each of `MEASURES`.

        measures_per_image(explanation, rows, masks)

    All lie in [0, 1]. `region` is the share of the image that the region of interest covers, which is the chance value
    of the measures that need one; these are NaN without masks, and for an image whose mask is empty or full, of which
    they say nothing. Raises `DataError` where the masks or rows are not those of the explanation.
    """
    images, outputs = explanation.values.shape[:2]
    size = (images, *explanation.values.shape[3:])
    if len(rows) != images:
        raise DataError(f"{len(rows)} rows came with an explanation of {images} images")
    if masks is not None and masks.shape != size:
        raise DataError(f"masks of shape {masks.shape} do not fit heatmaps of shape {size}")
    region = np.full(images, np.nan)
    if masks is not None:
        area = masks.mean((1, 2))
        region = np.where((area > 0) & (area < 1), area, np.nan)
    records: list[dict[str, Any]] = []
    for image, row in enumerate(rows[["path", *KEYS[:2]]].to_numpy(str)):
        one = explanation[image]
        measured = _measured(one, masks[image : image + 1] if masks is not None else None)
        for output in range(outputs):
            values = {name: float(found[0, output]) for name, found in measured.items()}
            if np.isnan(region[image]):
                values |= {measure.name: np.nan for measure in MEASURES if measure.chance is None}
            name = explanation.name_of(image, output)
            records.append(
                {
                    **dict(zip(("path", *KEYS[:2]), row, strict=True)),
                    "output": name,
                    "region": region[image],
                    **values,
                }
            )
    return pd.DataFrame.from_records(records, columns=["path", *KEYS[:3], "region", *NAMES])


def measures_per_environment(
    per_image: pd.DataFrame,
    *,
    randomised: pd.DataFrame | None = None,
    pooled: str | None = None,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """The mean of each measure in each split, environment and output, beside chance and a randomised model.

        measures_per_environment(measures_per_image(explanation, rows, masks))

    Columns: `environment, split, output, measure, images, value, low, high, chance, randomised, randomised_low,
    randomised_high`. `low` and `high` end the percentile bootstrap interval of `level` over images (Efron and
    Tibshirani 1993, chapter 13), NaN for a single image. `chance` is what an even heatmap scores: the region's share,
    1 for the entropy and 0.9 for the area. `randomised` holds the rows of `measures_per_image` of randomised copies
    of the model, told apart by a column `copy`: their mean, and the lowest and highest copy. `pooled` names an output
    that takes in all others, where each image explains its own class. The environment "all" takes in several.
    A measure that no image of a group has gets no row.
    """
    measured = _with_pool(per_image, pooled)
    control = None if randomised is None else _with_pool(randomised, pooled)
    records = []
    for environment, split, output, group in _groups(measured):
        for measure in MEASURES:
            values = group[measure.name].to_numpy(float)
            if np.isnan(values).all():
                continue
            generator = generator_of(environment, split, seed)
            value, low, high = mean_with_interval(values, generator, resamples=resamples, level=level)
            known = group.loc[~np.isnan(values), "region"]
            chance = float(known.mean()) if measure.chance is None else measure.chance
            key = dict(zip(KEYS, (environment, split, output, measure.name), strict=True))
            figures = {"images": int((~np.isnan(values)).sum()), "value": value, "low": low, "high": high}
            records.append({**key, **figures, "chance": chance})
    columns = [*KEYS, "images", "value", "low", "high", "chance"]
    return _beside(pd.DataFrame.from_records(records, columns=columns), control)


def _measured(
    explanation: Explanation, masks: Bool[ndarray, "1 height width"] | None
) -> dict[str, Float[ndarray, "1 outputs"]]:
    """Each measure of one image."""
    sizes = explanation.heatmap("abs").cpu().double()
    found = {"entropy": attribution_entropy(sizes), "area": area_of_attribution(sizes, CARRIED)}
    if masks is None:
        return found
    positive = explanation.heatmap("positive").cpu().double()
    return {
        "mass_accuracy": relevance_mass_accuracy(sizes, masks),
        "mass_accuracy_positive": relevance_mass_accuracy(positive, masks),
        "mass_accuracy_negative": relevance_mass_accuracy(sizes - positive, masks),
        "rank_accuracy": relevance_rank_accuracy(sizes, masks),
        "pointing_game": pointing_game(sizes, masks),
        **found,
    }


def _with_pool(per_image: pd.DataFrame, pooled: str | None) -> pd.DataFrame:
    if pooled is None:
        return per_image
    return pd.concat([per_image.assign(output=pooled), per_image], ignore_index=True)


def _groups(per_image: pd.DataFrame) -> Iterator[tuple[str, str, str, pd.DataFrame]]:
    for output, chosen in per_image.groupby("output", sort=False):
        for environment, split, group in groups(chosen):
            yield environment, split, str(output), group


def _beside(table: pd.DataFrame, control: pd.DataFrame | None) -> pd.DataFrame:
    """The table with what randomised copies score in the same groups; NaN where they explained nothing."""
    names = ["randomised", "randomised_low", "randomised_high"]
    if control is None:
        return table.assign(**dict.fromkeys(names, np.nan))
    records = []
    for environment, split, output, group in _groups(control):
        copies = group.groupby("copy")[list(NAMES)].mean()
        for name in NAMES:
            ends = copies[name].mean(), copies[name].min(), copies[name].max()
            records.append((environment, split, output, name, *ends))
    return table.merge(pd.DataFrame(records, columns=[*KEYS, *names]), on=KEYS, how="left")
