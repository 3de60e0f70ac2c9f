"""Ranking remedies: means and intervals against arithmetic, and honesty where nothing is shown."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student_t

from shapsight.diagnosis.paired import paired_change
from shapsight.diagnosis.ranking import rank, recommend
from shapsight.errors import DataError

HOMES = ("a", "b", "c")
COUNTS = {"a": 30, "b": 10, "c": 20}


def judged(effects: dict[str, float], *, seeds: int = 3, noise: float = 0.01, wider: tuple[str, ...] = ()):
    """Every image has an error of its own; a recipe adds its effect and the noise of a training."""
    generator = np.random.default_rng(0)
    own = {name: generator.uniform(0.1, 0.5, count) for name, count in COUNTS.items()}
    rows = []
    for recipe, seed, home in itertools.product(effects, range(seeds), HOMES):
        trained_on = [name for name in HOMES if name != home] if recipe in wider else [home]
        luck = generator.normal(0, noise)
        for environment in HOMES:
            if environment in trained_on:
                continue
            rows += [
                {
                    "recipe": recipe,
                    "trained_on": ", ".join(trained_on),
                    "seed": seed,
                    "environment": environment,
                    "path": f"{environment}/{n}",
                    "error": error + effects[recipe] + luck,
                    "is_right_side": float(n % 2),
                    "scene_share": 0.4 + 0.1 * (recipe != "baseline") if n < 2 else np.nan,
                    "seconds": 10.0 if recipe == "baseline" else 15.0,
                }
                for n, error in enumerate(own[environment])
            ]
    return pd.DataFrame(rows)


def test_errors_are_means_over_images_then_environments_and_changes_are_their_differences():
    table = judged({"baseline": 0.0, "flip": -0.05})
    ranking = rank(table).set_index("recipe")
    for recipe in ("baseline", "flip"):
        mine = table[table["recipe"] == recipe]
        by_hand = mine.groupby(["seed", "environment"])["error"].mean().groupby("seed").mean().mean()
        assert ranking.loc[recipe, "error"] == pytest.approx(by_hand)
        assert ranking.loc[recipe, "error_low"] < by_hand < ranking.loc[recipe, "error_high"]
    assert ranking.loc["flip", "change"] == pytest.approx(
        ranking.loc["flip", "error"] - ranking.loc["baseline", "error"]
    )
    assert ranking.loc["baseline", ["change", "change_low", "change_high"]].tolist() == [0, 0, 0]
    assert ranking.loc["flip", "scene_share"] == pytest.approx(0.5)
    assert ranking.loc["flip", "cost"] == pytest.approx(1.5)
    assert ranking.loc["flip", "sign_accuracy"] == pytest.approx(0.5)
    assert (ranking.loc["flip", "wins"], ranking.loc["flip", "pairs"]) == (6, 6)


def test_paired_intervals_are_narrower_than_those_of_the_errors():
    ranking = rank(judged({"baseline": 0.0, "flip": -0.05})).set_index("recipe").loc["flip"]
    assert ranking["change_high"] - ranking["change_low"] < ranking["error_high"] - ranking["error_low"]


def test_a_clear_winner_is_recommended_and_those_within_noise_of_it_are_named():
    effects = {"baseline": 0.0, "flip": -0.06, "swap-scene": -0.058, "noise": 0.05}
    found = recommend(rank(judged(effects)))
    assert found.is_sure
    assert found.recipe in ("flip", "swap-scene")
    assert found.tied == tuple({"flip", "swap-scene"} - {found.recipe})
    assert "noise of it: " in found.reason


def test_differences_within_noise_recommend_nothing():
    found = recommend(rank(judged({"baseline": 0.0, "flip": -0.01, "light": 0.01}, noise=0.08)))
    assert not found.is_sure
    assert found.recipe == "baseline"
    assert "noise" in found.reason or "No recipe" in found.reason


def test_one_seed_is_not_enough_to_recommend_anything():
    found = recommend(rank(judged({"baseline": 0.0, "flip": -0.06}, seeds=1)))
    assert not found.is_sure
    assert "3 seeds" in found.reason


def test_recipes_without_any_effect_are_seldom_called_better():
    table = judged(dict.fromkeys(("baseline", "flip", "light", "noise"), 0.0), noise=0)
    trainings = list(table.groupby(["recipe", "seed", "trained_on"]).groups.values())
    sure = 0
    for trial in range(60):
        generator = np.random.default_rng(trial)
        errors = table["error"].to_numpy().copy()
        for rows in trainings:
            errors[rows] += generator.normal(0, 0.05)
        sure += recommend(rank(table.assign(error=errors))).is_sure
    assert sure <= 5  # of 60; more than that has a chance below 1 in 50 at a true rate of 3 %


def test_where_images_are_alike_intervals_are_those_of_an_analysis_of_variance_of_relative_errors():
    table = judged({"baseline": 0.0, "flip": -0.05, "light": 0.0})
    trainings = table.groupby(["recipe", "trained_on", "seed"]).ngroup().to_numpy()
    errors = np.random.default_rng(1).normal(0.3, 0.05, trainings.max() + 1)
    ranking = rank(table.assign(error=errors[trainings])).set_index("recipe")
    per_turn = errors.reshape(3, 3, 3)  # recipes in the alphabet's order, turns, seeds
    means = per_turn.mean(2)
    spread = np.square(per_turn / means[:, :, None] - 1).sum() / 18
    for recipe, of_recipe in zip(("baseline", "flip", "light"), means, strict=True):
        reach = student_t.ppf(0.975, 18) * np.sqrt(spread * np.square(of_recipe).sum() / 3) / 3
        assert ranking.loc[recipe, "error_high"] == pytest.approx(of_recipe.mean() + reach)
    change = means[1].mean() - means[0].mean()
    reach = student_t.ppf(1 - 0.025 / 2, 18) * np.sqrt(spread * np.square(means[:2]).sum() / 3) / 3
    assert ranking.loc["flip", "change"] == pytest.approx(change)
    assert ranking.loc["flip", "change_low"] == pytest.approx(change - reach)


def test_a_recipe_of_more_environments_is_compared_with_every_training_of_the_baseline():
    table = judged({"baseline": 0.0, "more-environments": -0.05}, wider=("more-environments",))
    row = rank(table).set_index("recipe").loc["more-environments"]
    assert (row["wins"], row["pairs"], row["trainings"]) == (6, 6, 9)


def test_recipes_judged_on_other_images_or_without_a_baseline_are_refused():
    table = judged({"baseline": 0.0, "flip": 0.0})
    with pytest.raises(DataError, match="other images or seeds"):
        rank(table[~((table["recipe"] == "flip") & (table["path"] == "a/3"))])
    with pytest.raises(DataError, match="no recipe 'baseline'"):
        rank(table[table["recipe"] == "flip"])
    with pytest.raises(DataError, match="seconds"):
        rank(table.drop(columns="seconds"))


def test_a_paired_change_is_the_difference_of_mean_squares_with_its_interval():
    generator = np.random.default_rng(0)
    first = pd.DataFrame(
        {"path": [f"{n}" for n in range(40)], "environment": ["a", "b"] * 20, "split": "unseen"}
        | {"x": generator.normal(size=40)}
    )
    second = first.assign(predicted_x=first["x"] + 0.1)
    first = first.assign(predicted_x=first["x"] + generator.normal(0, 0.5, 40))
    change = paired_change(first, second, ["x"]).set_index("environment")
    of_a = first[first["environment"] == "a"]
    assert change.loc["a", "first"] == pytest.approx(((of_a["predicted_x"] - of_a["x"]) ** 2).mean())
    assert change.loc["b", "second"] == pytest.approx(0.01)
    for environment in ("a", "b", "all"):
        row = change.loc[environment]
        assert row["change"] == pytest.approx(row["second"] - row["first"])
        assert row["change_low"] < row["change"] < row["change_high"] < 0
    same = paired_change(first, first, ["x"])
    assert (same[["change", "change_low", "change_high"]] == 0).all(axis=None)
    with pytest.raises(DataError, match="same images"):
        paired_change(first, second.iloc[::-1], ["x"])
