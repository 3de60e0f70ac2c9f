"""Which images are looked at: turns, the worst errors and some at random; of each class; of each environment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Int
from numpy import ndarray


def choose_images(
    predictions: pd.DataFrame, per_environment: int, *, target: str, seed: int = 0
) -> pd.DataFrame:
    """Rows of `predictions` to explain, with a column `why`, at most `per_environment` of each environment.

    From a training environment only validation images are taken, if there are any. Half are chosen to be looked at:
    the leftmost target, the rightmost, and the largest errors; the rest are drawn at random, so that a mean over
    the choice says something about the environment.
    """
    generator = np.random.default_rng(seed)
    chosen = []
    for _, group in predictions.groupby("environment", sort=True):
        held_out = group[group["split"] != "train"]
        chosen.append(_choose(held_out if len(held_out) else group, per_environment, target, generator))
    return pd.concat(chosen)


def choose_of_each_class(predictions: pd.DataFrame, *, most: int = 32, seed: int = 0) -> pd.DataFrame:
    """One image of every class, drawn from those that were not trained on, with a column `why`.

    Test images come before unseen and validation images; of more than `most` classes the first are taken.
    """
    generator = np.random.default_rng(seed)
    order = ["test", "unseen", "validation", "train"]
    present = [split for split in order if (predictions["split"] == split).any()]
    chosen = []
    for _, group in predictions.groupby("label", sort=True):
        split = next(split for split in present if (group["split"] == split).any())
        rows = group[group["split"] == split]
        chosen.append(rows.iloc[[int(generator.integers(len(rows)))]])
    return pd.concat(chosen[:most]).assign(why="drawn at random")


def spread_over_environments(
    environments: Sequence[str] | ndarray, count: int, seed: int
) -> Int[ndarray, "chosen"]:
    """Positions of at most `count` images, of one environment after another in turn, each drawn at random."""
    order = np.random.default_rng(seed).permutation(len(environments))
    there = np.asarray(environments)[order]
    turn = pd.Series(there).groupby(there).cumcount().to_numpy()
    return np.asarray(order[np.argsort(turn, kind="stable")][:count])


def _choose(group: pd.DataFrame, count: int, target: str, generator: np.random.Generator) -> pd.DataFrame:
    error = (group[f"predicted_{target}"] - group[target]).abs()
    why: dict[object, str] = {}
    picks = [
        (group[target].idxmin(), "leftmost target"),
        (group[target].idxmax(), "rightmost target"),
        *((index, "largest error") for index in error.sort_values(ascending=False).index),
    ]
    to_look_at = min(count, max(3, count // 2))
    for index, reason in picks:
        if len(why) < to_look_at:
            why.setdefault(index, reason)
    rest = [index for index in group.index if index not in why]
    for index in generator.permutation(rest)[: count - len(why)]:
        why[index] = "drawn at random"
    return group.loc[list(why)].assign(why=list(why.values()))
