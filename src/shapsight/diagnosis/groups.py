"""The groups that errors are told of: each split's environments, and all of them together."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np
import pandas as pd

from shapsight.data.manifest import SPLITS
from shapsight.errors import DataError

EVERY = "all"  # the environment of a row that takes in several


def groups(predictions: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Each split's environments in order, then all of them together where there are several."""
    present = list(predictions["split"].unique())
    splits = [
        *(name for name in SPLITS if name in present),
        *(name for name in present if name not in SPLITS),
    ]
    for split in splits:
        within = predictions[predictions["split"] == split]
        environments = sorted(within["environment"].unique())
        for environment in environments:
            yield environment, split, within[within["environment"] == environment]
        if len(environments) > 1:
            yield EVERY, split, within


def generator_of(environment: str, split: str, seed: int) -> np.random.Generator:
    """The same draws for everything that is measured in a group, and for nothing else."""
    return np.random.default_rng([seed, zlib.crc32(f"{environment}/{split}".encode())])


def check_table(predictions: pd.DataFrame, wanted: list[str], resamples: int, level: float) -> None:
    """Raise `DataError` for a missing column or an interval that cannot be."""
    if missing := [name for name in wanted if name not in predictions.columns]:
        raise DataError(
            f"the predictions lack the columns {', '.join(missing)}: make them with predict_table"
        )
    if not 0 < level < 1 or resamples < 1:
        raise DataError(f"level={level} must lie between 0 and 1, and resamples={resamples} be 1 or more")
