"""What the scene and the region of interest contribute to predictions, in the output's unit, with intervals."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from numpy import ndarray

from shapsight.diagnosis.groups import generator_of, groups
from shapsight.diagnosis.intervals import drawn_counts, interval
from shapsight.errors import DataError

SCENE, REGION = "scene", "region"
PARTS = (SCENE, REGION)
KEYS = ("environment", "split", "output", "part", "measure")
# Of two images every correlation is 1 or -1, and of three, one in six is in the target's order by chance, whatever is
# drawn of them: a bootstrap over fewer has nothing to say.
LEAST = 4


@dataclass(frozen=True)
class Measure:
    """One number of a part, over images: what it is called in tables, in words, and what it means."""

    name: str
    said: str
    meaning: str


MEASURES = (
    Measure(
        "size", "mean |contribution|", "the mean absolute contribution of the part, in the output's unit"
    ),
    Measure("share", "share of what moves it", "its size over the sizes of all parts together"),
    Measure(
        "variance_share",
        "share of the variance",
        "cov(contribution, prediction) / var(prediction), which adds up to 1 over the parts and may be below 0",
    ),
    Measure(
        "knows",
        "knows the target",
        "the correlation of the contribution with the target inside each environment; of classes, how often the label "
        "gets more from the part than another class does (the area under the ROC, 0.5 for chance)",
    ),
    Measure(
        "pull",
        "pull towards the target",
        "by how much the part brings the prediction nearer to the target than the base value is: the squared error "
        "that it takes away; of classes, what it adds to the label's logit over the mean of the other classes'",
    ),
)


def contributions_per_image(
    contributions: Float[ndarray, "images parts"],
    rows: pd.DataFrame,
    output: str,
    *,
    base_value: Float[ndarray, "images"],
    target: Float[ndarray, "images"],
    parts: Sequence[str] = PARTS,
) -> pd.DataFrame:
    """One row an image and part of a target: `path, environment, split, output, part, value, change, target, pull`.

        contributions_per_image(explanation.parts(roi.long()).values[:, 0], rows, "x", base_value=..., target=...)

    `value` is the part's contribution and `change` the sum over parts, `prediction - base value`, both in the output's
    unit. `pull` is the squared error that the part takes away, `-value · (base + prediction - 2 · target)`: the Shapley
    value of the part in the game "squared error of the base value and these contributions", in closed form since that
    is quadratic. The pulls of all parts sum to the error of the base value less that of the prediction.
    """
    values = np.asarray(contributions, dtype=float)
    _check(values, rows, parts)
    change = values.sum(1)
    pull = -values * (2 * (base_value - target) + change)[:, None]
    return _long(rows, output, parts, values, change, np.asarray(target, dtype=float), pull)


def class_contributions_per_image(
    contributions: Float[ndarray, "images classes parts"],
    rows: pd.DataFrame,
    output: str,
    *,
    explained: ndarray,
    labels: ndarray,
    parts: Sequence[str] = PARTS,
) -> pd.DataFrame:
    """The same for a classifier: `value` is of the class `explained` in each image, `pull` of the image's label.

        class_contributions_per_image(exact.values, rows, "the predicted class", explained=said, labels=truth)

    `contributions` are of all classes, in logits; `explained` and `labels` are columns, `(images,)`. `pull` is what the
    part adds to the label's logit over the mean of the other classes'. Instead of `target` there is `label_first`: how
    many of the other classes get less from the part than the label, in [0, 1]; a tie counts half. Each class counts
    from its mean over the images of an environment, so that a part that favours one class everywhere knows nothing.
    """
    values = np.asarray(contributions, dtype=float)
    count, classes, _ = values.shape
    _check(values[:, 0], rows, parts)
    at = np.arange(count)
    mine = values[at, explained]
    own = values[at, labels]
    pull = (own - values.mean(1)) * classes / max(classes - 1, 1)
    first = _label_first(values, np.asarray(labels), rows["environment"].to_numpy(str))
    table = _long(rows, output, parts, mine, mine.sum(1), np.full(count, np.nan), pull)
    return table.assign(label_first=first.T.reshape(-1))


def image_parts(
    contributions: Float[ndarray, "images parts"],
    rows: pd.DataFrame,
    output: str,
    *,
    parts: Sequence[str] = PARTS,
) -> pd.DataFrame:
    """The same where nothing is known of a target: `target` and `pull` are NaN, so sizes and shares can be told of."""
    values = np.asarray(contributions, dtype=float)
    _check(values, rows, parts)
    nothing = np.full(len(rows), np.nan)
    return _long(rows, output, parts, values, values.sum(1), nothing, np.full_like(values, np.nan))


def contributions_per_environment(
    per_image: pd.DataFrame, *, resamples: int = 1000, level: float = 0.95, seed: int = 0
) -> pd.DataFrame:
    """Each of `MEASURES` for each part, output, environment and split, with a bootstrap interval over images.

        contributions_per_environment(contributions_per_image(...))

    Columns: `environment, split, output, part, measure, images, value, low, high`; `low` and `high` end the percentile
    interval. The environment "all" takes in several. Rows with a column `within` are told of by `environment`, but know
    their target inside `within`: so "home" and "elsewhere" can stand for environments. A single image has no interval
    (NaN), nor have correlations and shares of a variance of fewer than four. A measure that is not defined, such as a
    share of no variance, has no row.
    """
    records = []
    for output, chosen in per_image.groupby("output", sort=False):
        for environment, split, group in groups(chosen):
            sample = _Sample.of(group)
            counts = drawn_counts(sample.images, generator_of(environment, split, seed), resamples)
            for measure, values, drawn in sample.measured(counts):
                for number, part in enumerate(sample.parts):
                    if not np.isfinite(values[number]):
                        continue
                    is_enough = sample.images > 1 and sample.freedom(measure) >= LEAST - 1
                    low, high = interval(drawn[:, number], level) if is_enough else (np.nan, np.nan)
                    key = dict(zip(KEYS, (environment, split, str(output), part, measure), strict=True))
                    figures = {"value": float(values[number]), "low": low, "high": high}
                    records.append({**key, "images": sample.images, **figures})
    return pd.DataFrame.from_records(records, columns=[*KEYS, "images", "value", "low", "high"])


@dataclass(frozen=True, eq=False)
class _Sample:
    """The images of a group as arrays, of which every measure is a function of how often each image is drawn."""

    parts: tuple[str, ...]
    values: Float[ndarray, "parts images"]
    change: Float[ndarray, "images"]
    target: Float[ndarray, "images"]
    pull: Float[ndarray, "parts images"]
    first: Float[ndarray, "parts images"] | None
    environments: ndarray

    @classmethod
    def of(cls, group: pd.DataFrame) -> _Sample:
        parts = tuple(dict.fromkeys(group["part"]))
        each = [group[group["part"] == part] for part in parts]
        one = each[0]

        def stacked(name: str) -> ndarray:
            return np.stack([rows[name].to_numpy(float) for rows in each])

        return cls(
            parts,
            stacked("value"),
            one["change"].to_numpy(float),
            one["target"].to_numpy(float),
            stacked("pull"),
            stacked("label_first") if "label_first" in group else None,
            one["within" if "within" in group else "environment"].to_numpy(str),
        )

    @property
    def images(self) -> int:
        return int(self.values.shape[1])

    def freedom(self, measure: str) -> int | float:
        """How many images are left where means are taken off; as many as you like of measures that take none."""
        if measure == "variance_share":
            return self.images - 1
        if measure == "knows" and self.first is None:
            return self.images - len(set(self.environments.tolist()))
        return np.inf

    def measured(
        self, counts: Iterable[Int[ndarray, "draws images"]]
    ) -> Iterator[tuple[str, ndarray, ndarray]]:
        """Each measure's name, its value for every part, and the same for each draw."""
        functions = {measure.name: getattr(self, f"_{measure.name}") for measure in MEASURES}
        draws = [{name: of(some.astype(float)) for name, of in functions.items()} for some in counts]
        whole = np.ones((1, self.images))
        for name, of in functions.items():
            yield name, of(whole)[0], np.concatenate([some[name] for some in draws])

    def _size(self, weights: ndarray) -> ndarray:
        return np.asarray(weights @ np.abs(self.values).T / weights.sum(1, keepdims=True))

    def _share(self, weights: ndarray) -> ndarray:
        return _over(self._size(weights), self._size(weights).sum(1, keepdims=True))

    def _variance_share(self, weights: ndarray) -> ndarray:
        whole = _covariances(weights, self.change[None], self.change)
        floor = 1e-12 * np.square(self.values).max(initial=0.0)
        return _over(_covariances(weights, self.values, self.change), np.where(whole > floor, whole, 0.0))

    def _knows(self, weights: ndarray) -> ndarray:
        if self.first is not None:
            return np.asarray(weights @ self.first.T / weights.sum(1, keepdims=True))
        # Inside environments: means that differ between them are no knowledge of the target.
        sums = {name: np.zeros((len(weights), len(self.parts))) for name in ("both", "part", "target")}
        for place in dict.fromkeys(self.environments.tolist()):
            here = self.environments == place
            mine, values, target = weights[:, here], self.values[:, here], self.target[here]
            times = mine.sum(1, keepdims=True)
            sums["both"] += times * _covariances(mine, values, target)
            sums["part"] += times * np.stack([_covariances(mine, v[None], v)[:, 0] for v in values], 1)
            sums["target"] += times * _covariances(mine, target[None], target)
        floor = 1e-12 * np.square(self.values).max(initial=0.0) * np.square(self.target).max(initial=0.0)
        product = sums["part"] * sums["target"]
        return _over(sums["both"], np.sqrt(np.where(product > floor * self.images**2, product, 0.0)))

    def _pull(self, weights: ndarray) -> ndarray:
        return np.asarray(weights @ self.pull.T / weights.sum(1, keepdims=True))


def _covariances(weights: ndarray, values: ndarray, other: ndarray) -> Float[ndarray, "draws parts"]:
    """Weighted covariances of each row of `values` with `other`; 0 where nothing was drawn."""
    total = np.maximum(weights.sum(1, keepdims=True), 1e-300)
    # Centred first, so that nothing is lost where the mean is far from 0.
    values, other = values - values.mean(1, keepdims=True), other - other.mean()
    means = weights @ values.T / total
    return np.asarray(weights @ (values * other).T / total - means * (weights @ other[:, None] / total))


def _over(numerator: ndarray, denominator: ndarray) -> ndarray:
    """A quotient that is NaN where nothing is divided by."""
    safe = np.where(denominator > 0, denominator, 1.0)
    return np.where(denominator > 0, numerator / safe, np.nan)


def _label_first(values: ndarray, labels: ndarray, environments: ndarray) -> Float[ndarray, "images parts"]:
    """How many of the other classes get less than the label, classes counted from their means in the environment."""
    centred = np.array(values, dtype=float)
    for place in dict.fromkeys(environments.tolist()):
        here = environments == place
        centred[here] -= centred[here].mean(0)
    own = centred[np.arange(len(labels)), labels][:, None]
    close = 1e-9 * np.abs(values).max(initial=1e-30)
    lower = (centred < own - close).sum(1) + (np.abs(centred - own) <= close).sum(1) / 2 - 0.5
    return np.asarray(lower / max(values.shape[1] - 1, 1))


def _long(
    rows: pd.DataFrame,
    output: str,
    parts: Sequence[str],
    values: ndarray,
    change: ndarray,
    target: ndarray,
    pull: ndarray,
) -> pd.DataFrame:
    tables = [
        rows[["path", "environment", "split"]].assign(
            output=output, part=part, value=values[:, n], change=change, target=target, pull=pull[:, n]
        )
        for n, part in enumerate(parts)
    ]
    return pd.concat(tables, ignore_index=True)


def _check(values: ndarray, rows: pd.DataFrame, parts: Sequence[str]) -> None:
    if values.shape != (len(rows), len(parts)):
        raise DataError(
            f"contributions of shape {values.shape} do not fit {len(rows)} images and the parts {', '.join(parts)}"
        )
    if not np.isfinite(values).all():
        raise DataError("contributions must be finite numbers")
