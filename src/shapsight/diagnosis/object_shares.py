"""Which objects get the attribution, where annotations name several kinds: track, chair, window, and the rest."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Bool
from numpy import ndarray

from shapsight.attribution.explanation import Explanation
from shapsight.diagnosis.groups import generator_of, groups
from shapsight.diagnosis.intervals import mean_with_interval
from shapsight.diagnosis.relevance import relevance_mass_accuracy
from shapsight.errors import DataError

REST = "everything else"


def object_shares(
    explanation: Explanation, rows: pd.DataFrame, objects: Mapping[str, Bool[ndarray, "images height width"]]
) -> pd.DataFrame:
    """One row an image, output and category: `path, environment, split, output, category, share, area`.

        object_shares(explanation, rows, {"track": track_masks, "chair": chair_masks})

    `share` of the absolute attribution and `area` of the image, both in [0, 1]; "everything else" is what lies in no
    category. Categories may overlap, so shares may sum to more than 1. A category that an image does not show is NaN.
    Raises `DataError` where the masks are not of the explanation's size.
    """
    if not objects:
        raise DataError("object_shares was given no category")
    everything = {**objects, REST: ~functools.reduce(np.logical_or, objects.values())}
    sizes = explanation.heatmap("abs").cpu()
    tables = []
    for category, masks in everything.items():
        area = masks.mean((1, 2))
        shares = np.where(area[:, None] > 0, relevance_mass_accuracy(sizes, masks), np.nan)
        tables += [
            rows[["path", "environment", "split"]].assign(
                output=[explanation.name_of(image, output) for image in range(len(rows))],
                category=category,
                share=shares[:, output],
                area=np.where(area > 0, area, np.nan),
            )
            for output in range(shares.shape[1])
        ]
    return pd.concat(tables, ignore_index=True)


def object_shares_per_environment(
    per_image: pd.DataFrame, *, resamples: int = 1000, level: float = 0.95, seed: int = 0
) -> pd.DataFrame:
    """The mean share of each category over the images that show it, with a percentile bootstrap interval.

        object_shares_per_environment(object_shares(explanation, rows, objects))

    Columns: `environment, split, output, category, images, share, low, high, chance`; `chance` is the mean area, what
    an even heatmap would score. A category that an environment never shows gets no row.
    """
    records = []
    for output, chosen in per_image.groupby("output", sort=False):
        for environment, split, group in groups(chosen):
            for category, part in group.dropna(subset="area").groupby("category", sort=False):
                values = part["share"].to_numpy(float)
                generator = generator_of(environment, split, seed)
                share, low, high = mean_with_interval(values, generator, resamples=resamples, level=level)
                figures = (int((~np.isnan(values)).sum()), share, low, high, float(part["area"].mean()))
                records.append((environment, split, output, category, *figures))
    columns = "environment split output category images share low high chance".split()
    return pd.DataFrame.from_records(records, columns=columns)
