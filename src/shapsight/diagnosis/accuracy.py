"""How far predictions are from their targets, in each environment and split, with an interval."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, UInt8
from torch import Tensor

from shapsight.data.manifest import SPLITS, Manifest
from shapsight.errors import DataError
from shapsight.models.bundle import Bundle

MEASURES = ("mse", "mae", "r2")
EVERY = "all"  # the environment of a row that takes in several
CHUNK = 4_000_000  # numbers drawn at a time, so that many images need little memory


def predict_table(
    bundle: Bundle, manifest: Manifest, images: UInt8[Tensor, "images 3 size size"]
) -> pd.DataFrame:
    """The manifest's table with a column `predicted_NAME` for each output of the model.

        images = load_images(manifest, manifest.table["path"], bundle.card.input_size)
        predict_table(bundle, manifest, images)      # path, environment, split, ..., x, y, predicted_x, predicted_y

    Predictions are in the unit of the targets, [-1, 1] inside the image. Raises `DataError` if there is not
    one image for each row.
    """
    if len(images) != len(manifest):
        raise DataError(
            f"{len(images)} images came with a manifest of {len(manifest)} rows: load one for each row"
        )
    predictions = bundle.predict(images).double().numpy()
    named = {f"predicted_{name}": predictions[:, n] for n, name in enumerate(bundle.card.output_names)}
    return manifest.table.assign(**named)


def evaluate(
    predictions: pd.DataFrame,
    targets: Sequence[str],
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Mean squared error, mean absolute error and R² of each target, environment and split, with intervals.

        predictions = predict_table(bundle, manifest, images)
        evaluate(predictions, ["x", "y"])      # environment, split, target, images, mse, mse_low, mse_high, ...

    One row for each environment, split and target, and rows of the environment "all" for a split that spans
    several. `mse` is in squared target units, `mae` in target units; `r2 = 1 - Σ(p - t)² / Σ(t - mean t)²` is
    1 for a perfect model, 0 for one that always says the mean, and NaN where the target does not vary.
    `_low` and `_high` hold the percentile bootstrap interval of `level` over images (Efron and Tibshirani
    1993, chapter 13); NaN for a single image. A group's draws depend on `seed` and its own name only.
    Raises `DataError` if a column is missing.
    """
    wanted = ["environment", "split", *targets, *(f"predicted_{name}" for name in targets)]
    if missing := [name for name in wanted if name not in predictions.columns]:
        raise DataError(
            f"the predictions lack the columns {', '.join(missing)}: make them with predict_table"
        )
    if not 0 < level < 1 or resamples < 1:
        raise DataError(f"level={level} must lie between 0 and 1, and resamples={resamples} be 1 or more")
    rows = [
        {"environment": environment, "split": split, "target": target, "images": len(group)}
        | _measures_with_intervals(
            group[target].to_numpy(float),
            group[f"predicted_{target}"].to_numpy(float),
            resamples,
            level,
            # the same draws for every target of a group
            np.random.default_rng([seed, zlib.crc32(f"{environment}/{split}".encode())]),
        )
        for environment, split, group in _groups(predictions)
        for target in targets
    ]
    columns = [f"{name}{end}" for name in MEASURES for end in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=["environment", "split", "target", "images", *columns])


def _groups(predictions: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
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


def _measures_with_intervals(
    actual: Float[np.ndarray, "images"],
    predicted: Float[np.ndarray, "images"],
    resamples: int,
    level: float,
    generator: np.random.Generator,
) -> dict[str, float]:
    """Each measure, and the ends of its percentile bootstrap interval."""
    draws = _bootstrap(actual, predicted, resamples, generator)
    found: dict[str, float] = {}
    for name, value, drawn in zip(MEASURES, _measure(actual, predicted), draws, strict=True):
        defined = drawn[~np.isnan(drawn)]  # R² of a draw that holds one image many times is not
        ends = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2]) if defined.size else [np.nan, np.nan]
        found |= {name: float(value), f"{name}_low": float(ends[0]), f"{name}_high": float(ends[1])}
    return found


def _bootstrap(
    actual: Float[np.ndarray, "images"],
    predicted: Float[np.ndarray, "images"],
    resamples: int,
    generator: np.random.Generator,
) -> Float[np.ndarray, "measures resamples"]:
    """The measures of as many images drawn with replacement, again and again; none for a single image."""
    count = len(actual)
    if count < 2:
        return np.full((len(MEASURES), 0), np.nan)
    step = max(1, CHUNK // count)
    drawn = (
        generator.integers(count, size=(min(step, resamples - start), count))
        for start in range(0, resamples, step)
    )
    return np.concatenate([_measure(actual[rows], predicted[rows]) for rows in drawn], axis=1)


def _measure(
    actual: Float[np.ndarray, "... images"], predicted: Float[np.ndarray, "... images"]
) -> Float[np.ndarray, "measures ..."]:
    """MSE, MAE and R² over the last dimension."""
    error = predicted - actual
    squared = np.square(error).mean(-1)
    variance = actual.var(-1)
    varies = np.ptp(actual, axis=-1) > 0
    r2 = np.where(varies, 1 - squared / np.where(varies, variance, 1.0), np.nan)
    return np.stack([squared, np.abs(error).mean(-1), r2])
