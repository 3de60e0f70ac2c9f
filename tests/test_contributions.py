"""What scene and region contribute: against definitions worked out by hand, brute force and scikit-learn."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from shapsight.diagnosis.contributions import (
    MEASURES,
    class_contributions_per_image,
    contributions_per_environment,
    contributions_per_image,
)
from shapsight.errors import DataError


def rows(count: int, environments: int = 1) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "path": [f"{n}.png" for n in range(count)],
            "environment": [f"room_{1 + n % environments}" for n in range(count)],
            "split": "validation",
        }
    )


def regression(
    seed: int = 0, count: int = 40, environments: int = 1
) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    target = generator.normal(size=count)
    values = np.stack([0.4 * target + generator.normal(size=count), target], 1)
    table = contributions_per_image(
        values, rows(count, environments), "x", base_value=np.full(count, 0.2), target=target
    )
    return table, values, target


def measured(table: pd.DataFrame, measure: str, part: str, **where: str) -> pd.Series:
    found = contributions_per_environment(table)
    chosen = found[(found["measure"] == measure) & (found["part"] == part)]
    for name, value in where.items():
        chosen = chosen[chosen[name] == value]
    assert len(chosen) == 1
    return chosen.iloc[0]


def test_sizes_and_shares_are_means_of_absolute_contributions() -> None:
    table, values, _ = regression()
    sizes = np.abs(values).mean(0)
    for number, part in enumerate(("scene", "region")):
        assert measured(table, "size", part)["value"] == pytest.approx(sizes[number])
        assert measured(table, "share", part)["value"] == pytest.approx(sizes[number] / sizes.sum())


def test_shares_of_the_variance_are_covariances_and_add_up_to_one() -> None:
    table, values, _ = regression()
    change = values.sum(1)
    shares = [measured(table, "variance_share", part)["value"] for part in ("scene", "region")]
    expected = [np.cov(values[:, n], change)[0, 1] / change.var(ddof=1) for n in range(2)]
    assert shares == pytest.approx(expected)
    assert sum(shares) == pytest.approx(1.0)


def test_what_a_part_knows_is_the_correlation_inside_environments() -> None:
    table, values, target = regression(count=60, environments=2)
    shifted = values.copy()
    shifted[::2] += 100.0  # another mean in one room is no knowledge of the target
    other = contributions_per_image(shifted, rows(60, 2), "x", base_value=np.zeros(60), target=target).assign(
        within=lambda t: t["environment"], environment="home"
    )
    centred, truth = values[:, 0].copy(), target.copy()
    for start in (0, 1):
        centred[start::2] -= centred[start::2].mean()
        truth[start::2] -= truth[start::2].mean()
    expected = stats.pearsonr(centred, truth).statistic
    assert measured(other, "knows", "scene")["value"] == pytest.approx(expected)
    alone = measured(table, "knows", "scene", environment="room_1")["value"]
    assert alone == pytest.approx(stats.pearsonr(values[::2, 0], target[::2]).statistic)


def test_pulls_are_shapley_values_of_the_squared_error_by_brute_force() -> None:
    generator = np.random.default_rng(1)
    values, base, target = generator.normal(size=(5, 3)), generator.normal(size=5), generator.normal(size=5)
    table = contributions_per_image(
        values, rows(5), "x", base_value=base, target=target, parts=("a", "b", "c")
    )
    for image, part in itertools.product(range(5), range(3)):

        def worth(coalition: tuple[int, ...], image: int = image) -> float:
            return -float((base[image] + values[image, list(coalition)].sum() - target[image]) ** 2)

        orders = list(itertools.permutations(range(3)))
        gains = [worth(o[: o.index(part) + 1]) - worth(o[: o.index(part)]) for o in orders]
        mine = table[table["part"] == "abc"[part]].iloc[image]
        assert mine["pull"] == pytest.approx(np.mean(gains))


def test_pulls_of_all_parts_sum_to_the_error_that_the_prediction_takes_away() -> None:
    table, values, target = regression()
    sums = table.groupby("path", sort=False)["pull"].sum().to_numpy()
    assert sums == pytest.approx((0.2 - target) ** 2 - (0.2 + values.sum(1) - target) ** 2)


def test_bootstrap_intervals_are_scipys() -> None:
    table, values, target = regression(count=50)

    def share(scene: np.ndarray, region: np.ndarray, axis: int) -> np.ndarray:
        sizes = np.abs(scene).mean(axis), np.abs(region).mean(axis)
        return sizes[0] / (sizes[0] + sizes[1])

    expected = stats.bootstrap(
        (values[:, 0], values[:, 1]), share, paired=True, vectorized=True, method="percentile", n_resamples=20000,
        random_state=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    found = measured(table, "share", "scene")
    assert (found["low"], found["high"]) == pytest.approx((expected.low, expected.high), abs=0.01)
    correlation = stats.bootstrap(
        (values[:, 0], target), lambda a, b: stats.pearsonr(a, b).statistic, paired=True, vectorized=False,
        method="percentile", n_resamples=3000, random_state=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    found = measured(table, "knows", "scene")
    assert (found["low"], found["high"]) == pytest.approx((correlation.low, correlation.high), abs=0.04)


def classes(seed: int = 0, count: int = 30, kinds: int = 2) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.integers(kinds, size=count)
    values = generator.normal(size=(count, kinds, 2))
    values[np.arange(count), labels, 0] += 1.0
    return values, labels


def test_what_a_part_knows_of_two_classes_is_the_label_going_first() -> None:
    values, labels = classes()
    values = values - values.mean(0)
    table = class_contributions_per_image(values, rows(30), "class", explained=labels, labels=labels)
    differences = values[:, 1, 0] - values[:, 0, 0]
    right = np.where(labels == 1, differences > 0, differences < 0).mean()
    assert measured(table, "knows", "scene")["value"] == pytest.approx(right)


def test_what_a_part_knows_of_many_classes_is_the_area_under_the_roc_of_each_image() -> None:
    values, labels = classes(count=12, kinds=5)
    values = values - values.mean(0)
    table = class_contributions_per_image(values, rows(12), "class", explained=labels, labels=labels)
    areas = [
        roc_auc_score(np.arange(5) == label, scores)
        for label, scores in zip(labels, values[:, :, 0], strict=True)
    ]
    assert measured(table, "knows", "scene")["value"] == pytest.approx(np.mean(areas))


def test_a_part_that_always_favours_the_commonest_class_knows_nothing() -> None:
    labels = np.array([0] * 18 + [1] * 2)
    values = np.zeros((20, 2, 2))
    values[:, 0] = 5.0
    table = class_contributions_per_image(values, rows(20), "class", explained=labels, labels=labels)
    assert measured(table, "knows", "scene")["value"] == pytest.approx(0.5)


def test_pull_of_a_class_is_its_logit_over_the_mean_of_the_others() -> None:
    values, labels = classes(kinds=3, count=7)
    table = class_contributions_per_image(values, rows(7), "class", explained=labels, labels=labels)
    own = values[np.arange(7), labels, 0]
    others = (values[:, :, 0].sum(1) - own) / 2
    assert table.loc[table["part"] == "scene", "pull"].to_numpy() == pytest.approx(own - others)


def test_a_single_image_has_no_interval_and_a_constant_prediction_no_share_of_the_variance() -> None:
    one = contributions_per_image(
        np.array([[1.0, -3.0]]), rows(1), "x", base_value=np.zeros(1), target=np.ones(1)
    )
    found = contributions_per_environment(one).set_index(["measure", "part"])
    assert found.loc[("share", "scene"), "value"] == pytest.approx(0.25)
    assert np.isnan(found.loc[("share", "scene"), "low"])
    assert not {"variance_share", "knows"} & set(found.reset_index()["measure"])
    still = contributions_per_image(
        np.tile([[1.0, 2.0]], (5, 1)), rows(5), "x", base_value=np.zeros(5), target=np.arange(5.0)
    )
    assert not {"variance_share", "knows"} & set(contributions_per_environment(still)["measure"])


def test_contributions_of_another_number_or_not_finite_are_refused() -> None:
    with pytest.raises(DataError, match=r"\(3, 2\) do not fit 4 images"):
        contributions_per_image(np.zeros((3, 2)), rows(4), "x", base_value=np.zeros(3), target=np.zeros(3))
    with pytest.raises(DataError, match="finite"):
        contributions_per_image(
            np.full((2, 2), np.nan), rows(2), "x", base_value=np.zeros(2), target=np.zeros(2)
        )


def test_every_measure_says_what_it_means() -> None:
    assert {m.name for m in MEASURES} == set(contributions_per_environment(regression()[0])["measure"])


@pytest.mark.parametrize(
    ("count", "environments", "is_enough"),
    [(2, 1, False), (3, 1, False), (4, 1, True), (4, 2, False), (5, 2, True)],
)
def test_correlations_of_a_few_images_have_no_interval_since_chance_alone_makes_them_whole(
    count, environments, is_enough
) -> None:
    table, *_ = regression(count=count, environments=environments)
    table = table.assign(within=table["environment"], environment="home")
    knows, size = measured(table, "knows", "scene"), measured(table, "size", "scene")
    assert np.isfinite(knows["value"])
    assert np.isfinite([knows["low"], knows["high"]]).all() == is_enough
    assert np.isfinite([size["low"], size["high"]]).all()
    if environments == 1:
        assert np.isfinite(measured(table, "variance_share", "scene")["low"]) == is_enough
    if count == 2:
        assert abs(knows["value"]) == pytest.approx(1)
