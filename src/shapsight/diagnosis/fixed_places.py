"""Signs of a scene without a region of interest: attribution that stays where it is, and on parts that never vary."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int, UInt8
from numpy import ndarray
from torch import Tensor

from shapsight.diagnosis.cell_shares import cell_shares
from shapsight.diagnosis.groups import groups
from shapsight.diagnosis.intervals import mean_with_interval
from shapsight.diagnosis.relevance import relevance_mass_accuracy

FEWEST = 3  # images of a group, below which its mean heatmap is one picture's
COLUMNS = (
    *("environment", "split", "images", "same_place", "shuffled", "shuffled_low", "does_move"),
    *("still", "still_low", "still_high", "still_chance", "variation"),
)


def target_groups(target: Float[ndarray, "images"], count: int = 3) -> Int[ndarray, "images"]:
    """Images in groups of equal size by their target: 0 the lowest; -1 for all where the target does not vary."""
    if len(target) == 0 or np.ptp(target) == 0:
        return np.full(len(target), -1)
    ranks = np.argsort(np.argsort(target, kind="stable"), kind="stable")
    return ranks * count // len(target)


def same_place(
    heatmaps: Float[Tensor, "images height width"] | Float[ndarray, "images height width"],
    kinds: Int[ndarray, "images"],
    *,
    cells: int = 16,
    draws: int = 200,
    seed: int = 0,
) -> tuple[float, Float[ndarray, "draws"]]:
    """How far the attribution of different targets overlaps, in [0, 1], and the same where targets are shuffled.

        overlap, shuffled = same_place(explanation.heatmap("abs")[:, 0], target_groups(x))

    Heatmaps become shares of cells and are averaged in each group; two groups overlap by `Σ min(a, b)` over cells
    (1 the same, 0 nothing in common), and the mean over all pairs of groups is given. Shuffled groups differ by chance
    alone: an overlap as high as theirs means that the attribution stays where it is, whatever the target, as it does
    when a model looks at a scene. Groups of fewer than three images and of the number -1 are left out; NaN where fewer
    than two are left.
    """
    shares = cell_shares(heatmaps, cells).reshape(len(heatmaps), -1)
    names, counts = np.unique(kinds[kinds >= 0], return_counts=True)
    kept = np.isin(kinds, names[counts >= FEWEST]) & ~np.isnan(shares).any(1)
    shares, kinds = shares[kept], kinds[kept]
    if len(np.unique(kinds)) < 2:
        return np.nan, np.full(draws, np.nan)
    generator = np.random.default_rng(seed)
    shuffled = [_overlap(shares, generator.permutation(kinds)) for _ in range(draws)]
    return _overlap(shares, kinds), np.array(shuffled)


def still_parts(
    images: UInt8[Tensor, "images 3 height width"] | UInt8[ndarray, "images 3 height width"],
    share: float = 0.25,
) -> tuple[Bool[ndarray, "height width"], float]:
    """The share of the pixels that vary least from image to image, and the largest variation among them.

        still, variation = still_parts(images_of_one_environment)
        relevance_mass_accuracy(heatmaps, np.repeat(still[None], len(heatmaps), 0))     # chance: still.mean()

    Variation is the standard deviation over images, mean over channels, on a scale of 0 to 1. With pixels that tie,
    a few more are taken. A camera that moves leaves nothing still, and the variation says so.
    """
    # Whole numbers: what never changes has a mean without rounding, and a deviation of exactly 0.
    variation = np.asarray(images, dtype=np.float32).std(0).mean(0) / 255
    limit = np.quantile(variation, share, method="lower")
    return variation <= limit, float(limit)


def fixed_places(
    heatmaps: Float[Tensor, "images height width"],
    rows: pd.DataFrame,
    images: UInt8[Tensor, "images 3 height width"],
    *,
    target: str | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """What points to the scene without a region of interest, in each environment.

        fixed_places(explanation.heatmap("abs")[:, 0], rows, images, target="x")

    Groups that should be told apart are low, middle and high values of `target`, without one the predicted labels.
    Columns: `environment, split, images, same_place, shuffled, shuffled_low, does_move, still, still_low, still_high,
    still_chance, variation`; see `same_place` and `still_parts`. `shuffled_low` is what 5 % of shuffled targets fall
    below, `does_move` whether the real ones do, `variation` the largest standard deviation of what counts as still.
    """
    position = {index: number for number, index in enumerate(rows.index)}
    records = []
    for environment, split, group in groups(rows):
        at = [position[index] for index in group.index]
        if len(at) < 2 * FEWEST:
            continue
        if target is None:
            parts = np.asarray(pd.factorize(group["predicted_label"])[0])
        else:
            parts = target_groups(group[target].to_numpy(float), 3 if len(group) >= 3 * FEWEST else 2)
        overlap, shuffled = same_place(heatmaps[at], parts, seed=seed)
        still, variation = still_parts(images[at])
        shares = relevance_mass_accuracy(heatmaps[at][:, None], np.repeat(still[None], len(at), 0))[:, 0]
        lowest = float(np.quantile(shuffled, 0.05))
        does_move = None if np.isnan(overlap) else bool(overlap < lowest)
        inside = mean_with_interval(shares, np.random.default_rng(seed))
        chance = float(shuffled.mean())
        records.append(
            (environment, split, len(at), overlap, chance, lowest, does_move, *inside, float(still.mean()), variation)
        )  # fmt: skip
    return pd.DataFrame.from_records(records, columns=COLUMNS)


def _overlap(shares: Float[ndarray, "images cells"], groups: Int[ndarray, "images"]) -> float:
    means = [shares[groups == group].mean(0) for group in np.unique(groups)]
    return float(np.mean([np.minimum(one, two).sum() for one, two in combinations(means, 2)]))
