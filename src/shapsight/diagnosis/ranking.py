"""Ranking remedies by their errors in environments that were never trained on, and what can be concluded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from shapsight.diagnosis.groups import interval
from shapsight.errors import DataError

NEEDED = ("recipe", "trained_on", "seed", "environment", "path", "error", "is_right_side", "share", "seconds")
ENOUGH = 3  # seeds without which nothing is recommended
MEASURED = ("error", "is_right_side", "share")


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
class Draws:
    """Bootstrap weights of seeds and of images, the same for every recipe, so that recipes are compared in pairs."""

    seeds: Float[ndarray, "resamples seeds"]
    images: Float[ndarray, "resamples images"]

    def means(self, values: Float[ndarray, "seeds images"]) -> Float[ndarray, "resamples"]:
        """The mean of each draw; images without a value are left out."""
        known = np.isfinite(values)
        total = np.einsum("rs,si,ri->r", self.seeds, np.where(known, values, 0.0), self.images, optimize=True)
        weight = np.einsum("rs,si,ri->r", self.seeds, known.astype(float), self.images, optimize=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(total / weight)


def rank(
    judged: pd.DataFrame,
    *,
    baseline: str = "baseline",
    resamples: int = 4000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """One row a recipe, the lowest error in unseen environments first.

        rank(judged)      # recipe, error, error_low, error_high, change, change_low, change_high, share, ...

    `judged` has a row for every image that a training had not seen: `recipe`, `trained_on`, `seed`, `environment`,
    `path`, `error`, `is_right_side` (1, 0 or NaN), `share` (of attribution inside the region; NaN where it was not
    explained) and `seconds` (of that training). Environments count alike, whatever the number of their images.

    Columns: `error` with its interval; `change`, the difference to the baseline on the same images and seeds, with an
    interval that holds for all recipes together (Bonferroni), and `behind`, the same against the best recipe;
    `wins` of `pairs`, how many pairs of trained and unseen environments have a lower error than with the baseline;
    `share` and `sign_accuracy` with intervals; `seconds` of a training (median), and `cost`, these over the baseline's.
    Intervals are percentile bootstrap over seeds and images (of `n` seeds, `n - 1` are drawn: Rao and Wu 1988).
    Raises `DataError` for missing columns or recipes whose images or seeds differ.
    """
    _check(judged, baseline)
    recipes = list(dict.fromkeys(judged["recipe"]))
    grids = {name: _grid(judged[judged["recipe"] == name]) for name in recipes}
    keys = grids[baseline]["error"]
    for name, grid in grids.items():
        if not grid["error"].index.equals(keys.index) or not grid["error"].columns.equals(keys.columns):
            raise DataError(
                f"{name} was judged on other images or seeds than {baseline}: they cannot be compared"
            )
    draws = _draws(keys, resamples, seed)
    errors = {name: draws.means(grid["error"].to_numpy()) for name, grid in grids.items()}
    points = {name: _mean(grid["error"]) for name, grid in grids.items()}
    best = min(points, key=lambda name: points[name])
    together = 1 - (1 - level) / max(1, len(recipes) - 1)
    rows = []
    for name, grid in grids.items():
        mine = judged[judged["recipe"] == name]
        row = {"recipe": name} | _with_interval("error", points[name], errors[name], level)
        row |= _with_interval(
            "change", points[name] - points[baseline], errors[name] - errors[baseline], together
        )
        row |= _with_interval("behind", points[name] - points[best], errors[name] - errors[best], together)
        row |= _wins(mine, judged[judged["recipe"] == baseline])
        for column, said in (("share", "share"), ("is_right_side", "sign_accuracy")):
            row |= _with_interval(said, _mean(grid[column]), draws.means(grid[column].to_numpy()), level)
        trainings = mine.groupby(["trained_on", "seed"])["seconds"].first()
        # The first training also loads libraries, and other work may slow down any: hence the median.
        seconds = float(trainings.median())
        rows.append(row | {"seeds": len(keys), "trainings": len(trainings), "seconds": seconds})
    table = pd.DataFrame(rows).sort_values("error", kind="stable", ignore_index=True)
    usual = float(table.loc[table["recipe"] == baseline, "seconds"].iloc[0])
    return table.assign(cost=table["seconds"] / usual if usual > 0 else np.nan)


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
    shares = first["share"], usual["share"]
    if not np.isfinite(shares).all():
        return ""
    return (
        f" Attribution inside the region of interest: {shares[0]:.0%} against {shares[1]:.0%}; "
        f"a training took {first['cost']:.2g} times as long."
    )


def _signed(value: float) -> str:
    return f"{value:+.2g}".replace("-", "−")


def _tied(ranking: pd.DataFrame, best: str) -> tuple[str, ...]:
    """Recipes whose difference to the best may be none."""
    near = ranking[(ranking["behind_low"] <= 0) & (ranking["recipe"] != best)]
    return tuple(near["recipe"])


def _grid(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Each measure as a table of seeds by images, the mean over trainings that had not seen the image."""
    means = rows.groupby(["seed", "environment", "path"])[list(MEASURED)].mean()
    return {name: means[name].unstack(["environment", "path"]).sort_index(axis=1) for name in MEASURED}


def _mean(grid: pd.DataFrame) -> float:
    """The mean over images within environments, then over environments, then over seeds."""
    return float(grid.T.groupby(level="environment").mean().mean().mean())


def _draws(grid: pd.DataFrame, resamples: int, seed: int) -> Draws:
    generator = np.random.default_rng(seed)
    seeds, images = grid.shape
    environments = grid.columns.get_level_values("environment").to_numpy()
    weights = np.zeros((resamples, images))
    for environment in dict.fromkeys(environments):
        members = np.flatnonzero(environments == environment)
        share = np.full(len(members), 1 / len(members))
        weights[:, members] = generator.multinomial(len(members), share, size=resamples) / len(members)
    # Of few seeds one less is drawn: the spread of the mean would else be too small by (seeds - 1) / seeds.
    drawn = max(1, seeds - 1)
    of_seeds = generator.multinomial(drawn, np.full(seeds, 1 / seeds), size=resamples) / drawn
    return Draws(of_seeds, weights)


def _with_interval(
    name: str, value: float, drawn: Float[ndarray, "resamples"], level: float
) -> dict[str, float]:
    low, high = interval(drawn, level)
    return {name: value, f"{name}_low": low, f"{name}_high": high}


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
