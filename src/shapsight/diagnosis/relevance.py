"""Where the attribution lies: inside the region of interest, or in the scene around it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Tensor

from shapsight.attribution.explanation import Explanation
from shapsight.errors import DataError


def relevance_mass_accuracy(
    heatmaps: Float[Tensor, "images outputs height width"] | Float[ndarray, "images outputs height width"],
    masks: Bool[ndarray, "images height width"],
) -> Float[ndarray, "images outputs"]:
    """The share of absolute attribution inside the region of interest, in [0, 1]; NaN where there is no attribution.

        relevance_mass_accuracy(explanation.heatmap("abs"), masks)

    Raises `DataError` where the masks are not of the heatmaps' size.
    Source: relevance mass accuracy of Arras et al. 2022, on absolute values.
    """
    mass = np.abs(np.asarray(heatmaps, dtype=np.float64))
    if masks.shape != (mass.shape[0], *mass.shape[2:]):
        raise DataError(
            f"masks of shape {masks.shape} do not fit heatmaps of {mass.shape[0]} images, "
            f"{mass.shape[2]} × {mass.shape[3]} pixels"
        )
    inside = (mass * masks[:, None]).sum((2, 3))
    total = mass.sum((2, 3))
    with np.errstate(invalid="ignore"):
        return np.where(total > 0, inside / total, np.nan)


def relevance_per_image(
    explanation: Explanation, rows: pd.DataFrame, masks: Bool[ndarray, "images height width"]
) -> pd.DataFrame:
    """One row an image and output: `path, environment, split, output, share, chance`.

    `share` is the relevance mass accuracy; `chance` is the share of the image that the region covers, which a
    model that looks everywhere alike would reach.
    """
    shares = relevance_mass_accuracy(explanation.heatmap("abs").cpu(), masks)
    chance = masks.mean((1, 2))
    tables = [
        rows[["path", "environment", "split"]].assign(
            output=[explanation.name_of(image, output) for image in range(len(rows))],
            share=shares[:, output],
            chance=chance,
        )
        for output in range(shares.shape[1])
    ]
    return pd.concat(tables, ignore_index=True)


def relevance_per_environment(
    per_image: pd.DataFrame, *, resamples: int = 1000, level: float = 0.95, seed: int = 0
) -> pd.DataFrame:
    """The mean share of each environment and output, with a percentile bootstrap interval over images.

    Columns: `environment, split, output, images, share, low, high, chance`. With a single image the interval is
    empty (NaN).
    """
    generator = np.random.default_rng(seed)
    tail = (1 - level) / 2
    records = []
    for (environment, split, output), group in per_image.groupby(
        ["environment", "split", "output"], sort=False
    ):
        shares = group["share"].dropna().to_numpy()
        low, high = np.nan, np.nan
        if len(shares) > 1:
            draws = shares[generator.integers(len(shares), size=(resamples, len(shares)))].mean(1)
            low, high = np.quantile(draws, [tail, 1 - tail])
        records.append(
            {
                "environment": environment,
                "split": split,
                "output": output,
                "images": len(shares),
                "share": shares.mean() if len(shares) else np.nan,
                "low": low,
                "high": high,
                "chance": group["chance"].mean(),
            }
        )
    return pd.DataFrame.from_records(records)
