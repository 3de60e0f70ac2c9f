"""Which images are looked at: turns, the worst errors and some at random; of each class; of each environment."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Int
from numpy import ndarray

from shapsight.errors import DataError


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
    error = (group[f"predicted_{target}"] - group[target]).abs().sort_values(ascending=False)
    ranked = pd.Series(
        ["leftmost target", "rightmost target", *["largest error"] * len(group)],
        index=[group[target].idxmin(), group[target].idxmax(), *error.index],
    )
    ranked = ranked[~ranked.index.duplicated()]
    chosen = ranked.iloc[: min(count, max(3, count // 2))]
    rest = group.index.difference(chosen.index, sort=False)
    drawn = generator.permutation(rest.to_numpy(copy=True))[: count - len(chosen)]
    why = pd.concat([chosen, pd.Series("drawn at random", index=drawn)])
    return group.loc[why.index].assign(why=why)


def choose_held_out(
    predictions: pd.DataFrame, count: int, *, seed: int = 0
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """At most `count` rows of a `predict_table`, in its order, and what a reader should know of the choice.

        rows, notes = choose_held_out(predict_table(bundle, manifest, images), 100)

    Images that were not trained on, drawn at random, as many of each environment as there are, and within one as many
    of each label. The rows of a larger count hold those of a smaller one. An environment of which every image was
    trained on is looked at through these, which is said. Raises `DataError` for a count below 2.
    """
    if count < 2:
        raise DataError(f"images={count}: a diagnosis needs 2 images or more")
    drawn, notes = {}, []
    for environment, held_out in held_out_rows(predictions):
        if (held_out["split"] == "train").all():
            images = f"{len(held_out)} image{'s' * (len(held_out) != 1)}"
            notes.append(f"Every image of {environment} was trained on, so its {images} flatter the model.")
        generator = np.random.default_rng([seed, zlib.crc32(str(environment).encode())])
        drawn[str(environment)] = _in_random_order(held_out, generator)
    shares = _evenly(count, {name: len(rows) for name, rows in drawn.items()})
    chosen = [row for name, rows in drawn.items() for row in rows[: shares[name]]]
    return predictions.loc[sorted(chosen)], tuple(notes)


def held_out_rows(predictions: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Each environment with its images that were not trained on; all of one of which every image was."""
    for environment, group in predictions.groupby("environment", sort=True):
        held_out = group[group["split"] != "train"]
        yield str(environment), held_out if len(held_out) else group


def _in_random_order(group: pd.DataFrame, generator: np.random.Generator) -> list[int]:
    """Positions in the table; of classes, one of each label after the other."""
    shuffled = group.iloc[generator.permutation(len(group))]
    if "label" in shuffled:
        turn = shuffled.groupby("label").cumcount()
        shuffled = shuffled.loc[turn.sort_values(kind="stable").index]
    return [int(row) for row in shuffled.index]


def _evenly(count: int, available: dict[str, int]) -> dict[str, int]:
    """`count` shared out as evenly as what is there allows."""
    shares = dict.fromkeys(available, 0)
    left = count
    while left and (open_ones := [name for name in available if shares[name] < available[name]]):
        for name in open_ones[:left]:
            shares[name] += 1
        left = count - sum(shares.values())
    return shares
