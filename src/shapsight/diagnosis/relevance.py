"""Where the attribution lies: inside the region of interest, or in the scene around it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Tensor

from shapsight.attribution.explanation import Explanation
from shapsight.diagnosis.intervals import mean_with_interval
from shapsight.errors import DataError


def relevance_mass_accuracy(
    heatmaps: Float[Tensor, "images outputs height width"] | Float[ndarray, "images outputs height width"],
    masks: Bool[ndarray, "images height width"],
) -> Float[ndarray, "images outputs"]:
    """The share of absolute attribution inside the region of interest, in [0, 1]; NaN where there is no attribution.

        relevance_mass_accuracy(explanation.heatmap("abs"), masks)
        relevance_mass_accuracy(explanation.heatmap("positive"), masks)      # of what raises the output only

    An even heatmap scores the share of the image that the region covers. Raises `DataError` where the masks are not of
    the heatmaps' size.
    Source: relevance mass accuracy of Arras et al. 2022, on absolute values.
    """
    mass = _sizes(heatmaps, masks)
    inside = (mass * masks[:, None]).sum((2, 3))
    total = mass.sum((2, 3))
    with np.errstate(invalid="ignore"):
        return np.where(total > 0, inside / total, np.nan)


def relevance_rank_accuracy(
    heatmaps: Float[Tensor, "images outputs height width"] | Float[ndarray, "images outputs height width"],
    masks: Bool[ndarray, "images height width"],
) -> Float[ndarray, "images outputs"]:
    """The share of the K pixels with most absolute attribution that lie in the region, which has K pixels; in [0, 1].

        relevance_rank_accuracy(explanation.heatmap("abs"), masks)

    Of pixels that tie for the last places each counts as often as a draw among them would take it, so an even or a
    random heatmap scores the region's share of the image. NaN without attribution or without a region.
    Raises `DataError` where the masks are not of the heatmaps' size.
    Source: relevance rank accuracy of Arras et al. 2022, on absolute values.
    """
    mass = _sizes(heatmaps, masks)
    scores = np.full(mass.shape[:2], np.nan)
    for image, mask in enumerate(masks):
        count = int(mask.sum())
        for output, values in enumerate(mass[image]):
            if count and values.sum() > 0:
                scores[image, output] = _best_inside(values[mask], values, count)
    return scores


def pointing_game(
    heatmaps: Float[Tensor, "images outputs height width"] | Float[ndarray, "images outputs height width"],
    masks: Bool[ndarray, "images height width"],
) -> Float[ndarray, "images outputs"]:
    """Does the pixel with most absolute attribution lie in the region? 1 or 0; a share where several tie.

        pointing_game(explanation.heatmap("abs"), masks)

    A random pixel scores the region's share of the image. NaN without attribution.
    Raises `DataError` where the masks are not of the heatmaps' size.
    Source: Zhang et al. 2018 (excitation backprop), without their 15 pixels of tolerance.
    """
    mass = _sizes(heatmaps, masks)
    is_highest = mass == mass.max((2, 3), keepdims=True)
    scores = (is_highest & masks[:, None]).sum((2, 3)) / is_highest.sum((2, 3)).clip(1)
    return np.where(mass.sum((2, 3)) > 0, scores, np.nan)


def _best_inside(inside: Float[ndarray, "k"], values: Float[ndarray, "height width"], count: int) -> float:
    """The share of the `count` highest values that are inside, ties drawn evenly."""
    lowest = np.partition(values, values.size - count, axis=None)[values.size - count]
    certain, tied = int((values > lowest).sum()), int((values == lowest).sum())
    taken = (count - certain) / tied
    return float(((inside > lowest).sum() + taken * (inside == lowest).sum()) / count)


def _sizes(
    heatmaps: Float[Tensor, "images outputs height width"] | Float[ndarray, "images outputs height width"],
    masks: Bool[ndarray, "images height width"],
) -> Float[ndarray, "images outputs height width"]:
    """Absolute values in double precision, once the masks fit."""
    mass = np.abs(np.asarray(heatmaps, dtype=np.float64))
    if masks.shape != (mass.shape[0], *mass.shape[2:]):
        raise DataError(
            f"masks of shape {masks.shape} do not fit heatmaps of {mass.shape[0]} images, "
            f"{mass.shape[2]} × {mass.shape[3]} pixels"
        )
    return mass


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
    records = []
    for (environment, split, output), group in per_image.groupby(
        ["environment", "split", "output"], sort=False
    ):
        shares = group["share"].dropna().to_numpy()
        share, low, high = mean_with_interval(shares, generator, resamples=resamples, level=level)
        records.append(
            {
                "environment": environment,
                "split": split,
                "output": output,
                "images": len(shares),
                "share": share,
                "low": low,
                "high": high,
                "chance": group["chance"].mean(),
            }
        )
    return pd.DataFrame.from_records(records)
