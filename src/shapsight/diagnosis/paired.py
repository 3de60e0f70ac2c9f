"""Two models on the same images: how much lower the error of the second is, pair by pair."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from shapsight.diagnosis.groups import generator_of, groups
from shapsight.diagnosis.intervals import mean_with_interval
from shapsight.errors import DataError


def paired_change(
    first: pd.DataFrame,
    second: pd.DataFrame,
    targets: Sequence[str],
    *,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """The change of the error from one model to another, in each environment and split, with intervals.

        paired_change(before, after, ["x", "y"])      # environment, split, target, images, first, second, change, ...

    Both tables are `predict_table`'s of the same images in the same order. `first` and `second` are mean squared
    errors in squared target units, `change` is their difference and `change_low`, `change_high` its percentile
    bootstrap interval over images, each with both models' errors. Without targets, labels are compared: the errors
    are shares of wrong labels. Raises `DataError` where the images differ.
    """
    if list(first["path"]) != list(second["path"]):
        raise DataError("two models can only be compared on the same images in the same order")
    rows = []
    for environment, split, group in groups(first):
        other = second.loc[group.index]
        for target in targets or ("label",):
            one, two = _error(group, target), _error(other, target)
            generator = generator_of(environment, split, seed)
            change, low, high = mean_with_interval(two - one, generator, resamples=resamples, level=level)
            rows.append(
                {
                    "environment": environment,
                    "split": split,
                    "target": target,
                    "images": len(group),
                    "first": one.mean(),
                    "second": two.mean(),
                    "change": change,
                    "change_low": low,
                    "change_high": high,
                }
            )
    return pd.DataFrame(rows)


def _error(rows: pd.DataFrame, target: str) -> Float[ndarray, "images"]:
    if target == "label" and "predicted_label" in rows:
        return np.asarray(rows["predicted_label"] != rows["label"], dtype=float)
    difference = rows[f"predicted_{target}"].to_numpy(float) - rows[target].to_numpy(float)
    return np.asarray(np.square(difference))
