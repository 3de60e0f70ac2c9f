"""Which images a diagnosis looks at: held-out ones, as many of each environment."""

from __future__ import annotations

import zlib

import numpy as np
import pandas as pd

from shapsight.errors import DataError
from shapsight.studies.shared.words import count as counted


def choose_rows(
    predictions: pd.DataFrame, count: int, *, seed: int = 0
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """At most `count` rows of a `predict_table`, in its order, and what a reader should know of the choice.

        rows, notes = choose_rows(predict_table(bundle, manifest, images), 100)

    Images that were not trained on, drawn at random, as many of each environment as there are, and within one as many
    of each label. The rows of a larger count hold those of a smaller one. An environment of which every image was
    trained on is looked at through these, which is said. Raises `DataError` for a count below 2.
    """
    if count < 2:
        raise DataError(f"images={count}: a diagnosis needs 2 images or more")
    drawn, notes = {}, []
    for environment, group in predictions.groupby("environment", sort=True):
        held_out = group[group["split"] != "train"]
        if held_out.empty:
            held_out = group
            notes.append(
                f"Every image of {environment} was trained on, so its {counted(len(group), 'image')} flatter the model."
            )
        generator = np.random.default_rng([seed, zlib.crc32(str(environment).encode())])
        drawn[str(environment)] = _in_random_order(held_out, generator)
    shares = _evenly(count, {name: len(rows) for name, rows in drawn.items()})
    chosen = [row for name, rows in drawn.items() for row in rows[: shares[name]]]
    return predictions.loc[sorted(chosen)], tuple(notes)


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
