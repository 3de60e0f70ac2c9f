"""Ranking remedies by their errors in environments that were never trained on, and what can be concluded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray
from scipy.stats import t as student_t

from shapsight.errors import DataError

NEEDED = (
    "recipe",
    "trained_on",
    "seed",
    "environment",
    "path",
    "error",
    "is_right_side",
    "scene_share",
    "seconds",
)
ENOUGH = 3  # seeds without which nothing is recommended
MEASURED = ("error", "is_right_side", "scene_share")


@dataclass(frozen=True)
class Recommendation:
    """The recipe to take, and why.

    Attributes
        recipe: its name; the baseline's where no recipe is better beyond noise.
        is_sure: whether its error is lower than the baseline's beyond noise.
        tied: recipes that cannot be told from it.
        reason: sentences with the numbers.
    """

    recipe: str
    is_sure: bool
    tied: tuple[str, ...]
    reason: str


@dataclass(frozen=True, eq=False)
class Parts:
    """A mean over trainings and images, in the parts that its uncertainty comes from.

    Attributes
        by_training: what each training adds to the mean, a row for each set of environments trained on, a column for
            each seed; the mean is the sum over rows of the mean over columns.
        by_image: the mean over trainings of each image, by environment and path.
    """

    by_training: pd.DataFrame
    by_image: pd.Series[float]

    @property
    def mean(self) -> float:
        """Environments count alike, and so do the trainings that left each of them unseen."""
        return float(self.by_training.sum(axis=0, min_count=1).mean())


@dataclass(frozen=True)
class Luck:
    """How far trainings that differ in their seed alone lie apart, as a share of what they measure.

    Three seeds in one set of environments say little of that, so it is taken as the same share for all recipes and
    sets of environments, as an analysis of variance does: `relative` is the squared share, `freedom` what it rests on.
    """

    relative: float
    freedom: int

    @classmethod
    def of(cls, parts: Iterable[Parts]) -> Luck:
        """Pooled over all recipes; nothing is known of it with a single seed."""
        squares, freedom = 0.0, 0
        for each in parts:
            table = each.by_training
            means = table.mean(axis=1)
            shares = table.sub(means, axis=0).div(means.where(means != 0, 1), axis=0)
            squares += float(np.nansum(np.square(shares.to_numpy(float))))
            freedom += int((table.count(axis=1) - 1).clip(lower=0).sum())
        return cls(squares / freedom if freedom else 0.0, freedom)

    def variance(self, by_training: pd.DataFrame) -> float:
        """What it adds to the variance of the mean that these trainings have."""
        return self.relative * float((by_training.mean(axis=1) ** 2 / by_training.count(axis=1)).sum())


def rank(
    judged: pd.DataFrame,
    *,
    baseline: str = "baseline",
    level: float = 0.95,
) -> pd.DataFrame:
    """One row a recipe, the lowest error in unseen environments first.

        rank(judged)      # recipe, error, error_low, error_high, change, change_low, change_high, scene_share, ...

    `judged` has a row for every image that a training had not seen: `recipe`, `trained_on`, `seed`, `environment`,
    `path`, `error`, `is_right_side` (1, 0 or NaN), `scene_share` (of what moves the prediction; NaN where it was not
    explained) and `seconds` (of that training). Environments count alike, whatever the number of their images.

    Columns: `error` with its interval; `change`, the difference to the baseline on the same images and seeds, with an
    interval that holds for all recipes together (Bonferroni), and `behind`, the same against the best recipe;
    `wins` of `pairs`, how many pairs of trained and unseen environments have a lower error than with the baseline;
    `scene_share` and `sign_accuracy` with intervals; `seconds` of a training (median), and `cost`, these over the
    baseline's.
    `interval_of` says what intervals are.
    Raises `DataError` for missing columns or recipes whose images or seeds differ.
    """
    _check(judged, baseline)
    groups = {str(name): rows for name, rows in judged.groupby("recipe", sort=False)}
    parts = {name: {measure: _parts(rows, measure) for measure in MEASURED} for name, rows in groups.items()}
    errors = {name: measures["error"] for name, measures in parts.items()}
    luck = {measure: Luck.of(each[measure] for each in parts.values()) for measure in MEASURED}
    usual = errors[baseline]
    for name, error in errors.items():
        if not error.by_image.index.equals(usual.by_image.index) or not _has_seeds_of(error, usual):
            raise DataError(
                f"{name} was judged on other images or seeds than {baseline}: they cannot be compared"
            )
    best = errors[min(errors, key=lambda name: errors[name].mean)]
    together = 1 - (1 - level) / max(1, len(errors) - 1)
    rows: list[dict[str, Any]] = []
    for name, mine in groups.items():
        row = {"recipe": name} | _named("error", interval_of(errors[name], luck=luck["error"], level=level))
        row |= _named("change", interval_of(errors[name], usual, luck=luck["error"], level=together))
        row |= _named("behind", interval_of(errors[name], best, luck=luck["error"], level=together))
        row |= _wins(mine, groups[baseline])
        scene = interval_of(parts[name]["scene_share"], luck=luck["scene_share"], level=level)
        row |= _named("scene_share", scene)
        row |= _named(
            "sign_accuracy",
            interval_of(parts[name]["is_right_side"], luck=luck["is_right_side"], level=level),
        )
        trainings = mine.groupby(["trained_on", "seed"])["seconds"].first()
        # The first training also loads libraries, and other work may slow down any: hence the median.
        seconds = float(trainings.median())
        seeds = errors[name].by_training.shape[1]
        rows.append(row | {"seeds": seeds, "trainings": len(trainings), "seconds": seconds})
    table = pd.DataFrame(rows).sort_values("error", kind="stable", ignore_index=True)
    taken = float(table.loc[table["recipe"] == baseline, "seconds"].iloc[0])
    return table.assign(cost=table["seconds"] / taken if taken > 0 else np.nan)


def interval_of(
    parts: Parts, other: Parts | None = None, *, luck: Luck, level: float = 0.95
) -> tuple[float, float, float]:
    """A mean, or the difference of two, and the ends of its interval (Student's t); NaN where there are no values.

    The variance is that of trainings plus that of images (within each environment, compared in pairs), with the
    degrees of freedom of Welch and Satterthwaite. A bootstrap over three seeds would be too sure of itself. With a
    single seed the interval is of the images alone.
    """
    images, tables = parts.by_image, [parts.by_training]
    mean = parts.mean
    if other is not None:
        mean -= other.mean
        images = images - other.by_image
        tables.append(other.by_training)
    of_trainings = sum(luck.variance(table) for table in tables), luck.freedom
    environments = images.dropna().groupby(level="environment")
    of_images = [
        (variance / environments.ngroups**2, freedom)
        for variance, freedom in (_source(values.to_numpy(float)) for _, values in environments)
    ]
    sources = [of_trainings, *of_images]
    variance = sum(part for part, _ in sources)
    if variance == 0 or not np.isfinite(mean) or parts is other:
        return mean, mean, mean
    freedom = variance**2 / sum(part**2 / max(freedom, 1) for part, freedom in sources)
    reach = float(student_t.ppf((1 + level) / 2, freedom)) * variance**0.5
    return mean, mean - reach, mean + reach


def recommend(ranking: pd.DataFrame, *, baseline: str = "baseline") -> Recommendation:
    """The recipe with the lowest error, if that is lower than the baseline's beyond noise; else the baseline.

    recommend(rank(judged)).reason
    """
    rows: dict[str, Any] = {row["recipe"]: row for row in ranking.to_dict("records")}
    best = str(ranking["recipe"].iloc[0])
    first, usual = rows[best], rows[baseline]
    tied = _tied(ranking, best)
    if best == baseline:
        said = f"No recipe has a lower error in unseen environments than the baseline ({usual['error']:.3g})."
        return Recommendation(baseline, False, tied, said)
    against = (
        f"{best} has the lowest error in unseen environments, {first['error']:.3g} against {usual['error']:.3g} of "
        f"the baseline (change {_signed(first['change'])}, {_signed(first['change_low'])} to "
        f"{_signed(first['change_high'])}; lower in {first['wins']} of {first['pairs']} pairs of trained and unseen "
        "environment)"
    )
    if not first["change_high"] < 0:
        said = f"{against}, but that is within noise: nothing is shown to be better than the baseline."
        return Recommendation(baseline, False, tied, said)
    if first["seeds"] < ENOUGH:
        said = f"{against}, but {ENOUGH} seeds or more are needed to tell that from the luck of a training."
        return Recommendation(baseline, False, tied, said)
    also = f"Within noise of it: {', '.join(tied)}." if tied else "No other recipe is within noise of it."
    return Recommendation(best, True, tied, f"{against}. {also}{_looks(first, usual)}")


def _looks(first: dict[str, Any], usual: dict[str, Any]) -> str:
    shares = first["scene_share"], usual["scene_share"]
    if not np.isfinite(shares).all():
        return ""
    return (
        f" The scene contributes {shares[0]:.0%} of what moves it there, against {shares[1]:.0%}; "
        f"a training took {first['cost']:.2g} times as long."
    )


def _signed(value: float) -> str:
    return f"{value:+.2g}".replace("-", "−")


def _tied(ranking: pd.DataFrame, best: str) -> tuple[str, ...]:
    """Recipes whose difference to the best may be none."""
    near = ranking[(ranking["behind_low"] <= 0) & (ranking["recipe"] != best)]
    return tuple(near["recipe"])


def _parts(rows: pd.DataFrame, measure: str) -> Parts:
    """The parts of a recipe's mean; values that are not known are left out."""
    known = rows.dropna(subset=[measure])
    if known.empty:
        nowhere = pd.MultiIndex.from_arrays([[], []], names=["environment", "path"])
        return Parts(pd.DataFrame([[np.nan]]), pd.Series(np.empty(0), index=nowhere))
    means = known.groupby(["trained_on", "seed", "environment"])[measure].mean().reset_index()
    pairs = means[["trained_on", "environment"]].drop_duplicates()["environment"].value_counts()
    shares = means[measure] / means["environment"].map(pairs) / max(1, len(pairs))
    added = shares.groupby([means["trained_on"], means["seed"]]).sum().unstack("seed")
    by_image = known.groupby(["environment", "path"])[measure].mean()
    return Parts(pd.DataFrame(added), by_image)


def _source(values: Float[ndarray, "values"]) -> tuple[float, int]:
    """The variance of a mean, and its degrees of freedom; of a single value nothing is known."""
    known = values[np.isfinite(values)]
    if len(known) < 2:
        return 0.0, 0
    return float(known.var(ddof=1) / len(known)), len(known) - 1


def _has_seeds_of(parts: Parts, other: Parts) -> bool:
    return parts.by_training.columns.equals(other.by_training.columns)


def _named(name: str, found: tuple[float, float, float]) -> dict[str, Any]:
    return dict(zip((name, f"{name}_low", f"{name}_high"), found, strict=True))


def _wins(mine: pd.DataFrame, usual: pd.DataFrame) -> dict[str, int]:
    """In how many pairs of trained and unseen environments the mean error is lower than the baseline's.

    A recipe that trains on more environments is compared, in each unseen one, with every training of the baseline.
    """
    here = mine.groupby(["environment", "trained_on"])["error"].mean().reset_index()
    there = usual.groupby(["environment", "trained_on"])["error"].mean().reset_index()
    same = there.merge(here, on=["environment", "trained_on"], how="left", suffixes=("_usual", ""))
    elsewhere = there["environment"].map(here.groupby("environment")["error"].mean())
    lower = same["error"].fillna(elsewhere) < same["error_usual"]
    wins, pairs = int(lower.sum()), len(lower)
    return {"wins": wins, "pairs": pairs}


def _check(judged: pd.DataFrame, baseline: str) -> None:
    missing = [name for name in NEEDED if name not in judged.columns]
    if missing:
        raise DataError(f"a ranking needs the columns {', '.join(missing)}")
    if baseline not in set(judged["recipe"]):
        raise DataError(f"there is no recipe {baseline!r} to compare the others with")
