"""What changing the picture did: how far predictions moved, how often they turned, how wrong they became."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from numpy import ndarray

from shapsight.diagnosis.groups import EVERY, generator_of
from shapsight.diagnosis.intervals import mean_with_interval
from shapsight.errors import DataError


@dataclass(frozen=True, eq=False)
class Effects:
    """What a variant did to each image; means over its draws, NaN where there was no such variant of the image.

    Attributes
        change: how far the prediction moved, in its unit, without a sign.
        flips: share of draws in which the sign (of classes: the label) became another.
        error: squared error against the image's own target; of classes, share of wrong labels.
    """

    change: Float[ndarray, "images"]
    flips: Float[ndarray, "images"]
    error: Float[ndarray, "images"]


def effects_on_number(
    before: Float[ndarray, "images"],
    after: Float[ndarray, "draws images"],
    target: Float[ndarray, "images"],
    *,
    middle: float | None = 0.0,
) -> Effects:
    """Of a regression: `after` against the prediction `before` and the image's `target`.

    `middle` is where the sign changes, None for a target without two sides.
    """
    if after.shape[1:] != before.shape:
        raise DataError(f"{after.shape[1:]} changed predictions do not fit {before.shape} images")
    flips = np.full(after.shape, np.nan)
    if middle is not None:
        flips = np.where(np.isnan(after), np.nan, np.sign(after - middle) != np.sign(before - middle))
    return Effects(_mean(np.abs(after - before)), _mean(flips), _mean(np.square(after - target)))


def effects_on_classes(
    before: Float[ndarray, "images classes"],
    after: Float[ndarray, "draws images classes"],
    label: ndarray,
) -> Effects:
    """Of a classification: probabilities after against before; the change is that of the class said before."""
    said = before.argmax(1)
    rows = np.arange(len(said))
    unknown = np.isnan(after).any(2)
    now = np.where(np.isnan(after), 0, after).argmax(2)
    moved = np.abs(after[:, rows, said] - before[rows, said])
    flips = np.where(unknown, np.nan, now != said)
    wrong = np.where(unknown, np.nan, now != label)
    return Effects(_mean(moved), _mean(flips), _mean(wrong))


def effect_table(
    effects: Mapping[str, Effects],
    environments: ndarray,
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """One row a variant and environment, and one of all: `variant, environment, images, change, flips, error`.

    Each with `_low` and `_high`, the percentile bootstrap interval over images.
    """
    names = list(dict.fromkeys(environments.tolist()))
    places: list[tuple[str, Bool[ndarray, "images"]]] = [(name, environments == name) for name in names]
    if len(names) > 1:
        places.append((EVERY, np.ones(len(environments), bool)))
    records = []
    for variant, effect in effects.items():
        for place, rows in places:
            known = rows & ~np.isnan(effect.change)
            if not known.any():
                continue
            record: dict[str, object] = {
                "variant": variant,
                "environment": place,
                "images": int(known.sum()),
            }
            for name in ("change", "flips", "error"):
                values = getattr(effect, name)[known]
                generator = generator_of(place, "", seed)
                mean, low, high = mean_with_interval(values, generator, resamples=resamples, level=level)
                record |= {name: mean, f"{name}_low": low, f"{name}_high": high}
            records.append(record)
    return pd.DataFrame(records)


def together(effects: Mapping[str, Effects], *variants: str) -> Effects:
    """The mean over variants, image by image, of those that an image has; NaN where it has none."""
    nothing = np.full((1, len(next(iter(effects.values())).change)), np.nan)
    there = [effects[name] for name in variants if name in effects]

    def mean(name: str) -> Float[ndarray, "images"]:
        return _mean(np.stack([getattr(effect, name) for effect in there]) if there else nothing)

    return Effects(mean("change"), mean("flips"), mean("error"))


def _mean(values: Float[ndarray, "draws images"]) -> Float[ndarray, "images"]:
    """Over draws; NaN where there is none."""
    known = ~np.isnan(values)
    count = known.sum(0)
    total = np.where(known, values, 0).sum(0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
