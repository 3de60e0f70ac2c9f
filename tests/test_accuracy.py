"""Errors and their intervals: closed forms by hand, and intervals that hold the truth as often as they say."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from shapsight.data.manifest import Manifest, no_skipped
from shapsight.diagnosis.prediction_errors import evaluate, predict_table
from shapsight.errors import DataError
from shapsight.models.bundle import Bundle
from shapsight.models.card import Card


def predictions(actual, predicted, environment="room", split="unseen") -> pd.DataFrame:
    return pd.DataFrame({"environment": environment, "split": split, "x": actual, "predicted_x": predicted})


def noisy(count: int, seed: int, **names: str) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    actual = generator.uniform(-1, 1, count)
    return predictions(actual, actual + generator.normal(0, 0.3, count), **names)


def test_measures_equal_their_closed_forms():
    row = evaluate(predictions([1, 2, 3, 4], [1, 2.5, 3, 6]), ["x"]).iloc[0]
    assert row["images"] == 4
    assert row["mse"] == pytest.approx((0 + 0.25 + 0 + 4) / 4)
    assert row["mae"] == pytest.approx((0 + 0.5 + 0 + 2) / 4)
    assert row["r2"] == pytest.approx(1 - 4.25 / (1.5**2 + 0.5**2 + 0.5**2 + 1.5**2))


def test_r2_is_1_for_a_perfect_model_0_for_the_mean_and_negative_for_worse():
    actual = np.random.default_rng(0).normal(size=50)
    for predicted, r2 in ((actual, 1), (np.full(50, actual.mean()), 0), (-actual, None)):
        found = evaluate(predictions(actual, predicted), ["x"])["r2"].iloc[0]
        assert found < -1 if r2 is None else found == pytest.approx(r2)


def test_r2_is_the_squared_correlation_of_a_least_squares_fit():
    frame = noisy(80, 3)
    slope, intercept = np.polyfit(frame["predicted_x"], frame["x"], 1)
    fitted = frame.assign(predicted_x=slope * frame["predicted_x"] + intercept)
    correlation = np.corrcoef(frame["x"], frame["predicted_x"])[0, 1]
    assert evaluate(fitted, ["x"])["r2"].iloc[0] == pytest.approx(correlation**2)


@pytest.mark.parametrize("actual", [[0.1] * 7, [0.3]])
def test_r2_is_nan_where_the_target_does_not_vary(actual):
    row = evaluate(predictions(actual, np.arange(len(actual)) / 10), ["x"]).iloc[0]
    assert np.isnan(row[["r2", "r2_low", "r2_high"]].astype(float)).all()
    assert np.isfinite(row["mse"])


def test_a_single_image_has_no_interval():
    row = evaluate(predictions([0.5], [0.25]), ["x"]).iloc[0]
    assert (row["mse"], row["mae"]) == (0.0625, 0.25)
    assert np.isnan(row[["mse_low", "mse_high", "mae_low", "mae_high"]].astype(float)).all()


def test_two_images_have_an_interval_and_no_warning():
    row = evaluate(predictions([0, 1], [0, 0]), ["x"]).iloc[0]
    assert (row["mse_low"], row["mse_high"]) == (0, 1)


def test_there_is_a_row_for_each_group_and_one_for_all_of_a_split_that_spans_several():
    frame = pd.concat(
        [
            noisy(9, 0, environment="b", split="unseen"),
            noisy(5, 1, environment="a", split="unseen"),
            noisy(7, 2, environment="c", split="train"),
            noisy(3, 3, environment="c", split="validation"),
        ]
    )
    found = evaluate(frame, ["x"])
    assert list(zip(found["environment"], found["split"], found["images"], strict=True)) == [
        ("c", "train", 7),
        ("c", "validation", 3),
        ("a", "unseen", 5),
        ("b", "unseen", 9),
        ("all", "unseen", 14),
    ]
    mse = found.set_index("environment")["mse"]
    assert mse["all"] == pytest.approx((5 * mse["a"] + 9 * mse["b"]) / 14)
    assert list(found.columns) == ["environment", "split", "target", "images"] + [
        f"{name}{end}" for name in ("mse", "mae", "r2", "sign_accuracy") for end in ("", "_low", "_high")
    ]


def test_every_target_has_its_row_and_its_own_numbers():
    frame = noisy(20, 0).assign(y=0.0, predicted_y=0.5)
    found = evaluate(frame, ["x", "y"]).set_index("target")
    assert found.loc["y", "mse"] == 0.25
    assert found.loc["y", ["mse_low", "mse_high"]].tolist() == [0.25, 0.25]
    assert found.loc["x", "mse"] != 0.25


def test_intervals_hold_the_estimate_and_narrow_with_more_images_and_less_confidence():
    small, large = (evaluate(noisy(count, 1), ["x"]).iloc[0] for count in (20, 2000))
    certain = evaluate(noisy(20, 1), ["x"], level=0.5).iloc[0]
    for name in ("mse", "mae", "r2"):
        usual, many, less_sure = (row[f"{name}_high"] - row[f"{name}_low"] for row in (small, large, certain))
        assert small[f"{name}_low"] < small[name] < small[f"{name}_high"]
        assert many < usual / 5
        assert less_sure < usual


def test_the_interval_is_that_of_a_bootstrap_written_as_a_loop():
    frame = noisy(30, 5)
    squared = ((frame["predicted_x"] - frame["x"]) ** 2).to_numpy()
    generator = np.random.default_rng(99)
    loop = [squared[generator.integers(30, size=30)].mean() for _ in range(20_000)]
    row = evaluate(frame, ["x"], resamples=20_000).iloc[0]
    assert [row["mse_low"], row["mse_high"]] == pytest.approx(np.quantile(loop, [0.025, 0.975]), rel=0.03)


def test_the_same_seed_gives_the_same_interval_whatever_other_groups_there_are():
    frame = noisy(25, 0, environment="a")
    alone, again, other = (evaluate(frame, ["x"], seed=seed).iloc[0] for seed in (0, 0, 1))
    beside = (
        evaluate(pd.concat([noisy(9, 1, environment="b"), frame]), ["x"]).set_index("environment").loc["a"]
    )
    assert alone["mse_low"] == again["mse_low"] == beside["mse_low"] != other["mse_low"]


def test_many_images_are_drawn_in_chunks_with_the_same_result(monkeypatch):
    whole = evaluate(noisy(50, 0), ["x"])
    monkeypatch.setattr("shapsight.diagnosis.intervals.CHUNK", 120)
    pd.testing.assert_frame_equal(evaluate(noisy(50, 0), ["x"]), whole)


def test_a_95_percent_interval_holds_the_true_error_about_95_times_in_100():
    covered = {"mse": 0, "mae": 0}
    truth = {"mse": 0.3**2, "mae": 0.3 * np.sqrt(2 / np.pi)}
    for seed in range(300):
        row = evaluate(noisy(80, 1000 + seed), ["x"], resamples=400, seed=seed).iloc[0]
        for name in covered:
            covered[name] += row[f"{name}_low"] <= truth[name] <= row[f"{name}_high"]
    assert all(0.90 <= count / 300 <= 0.99 for count in covered.values()), covered


def test_a_missing_column_or_a_wrong_level_is_refused():
    with pytest.raises(DataError, match="lack the columns y, predicted_y"):
        evaluate(noisy(5, 0), ["x", "y"])
    with pytest.raises(DataError, match=r"level=95 must lie between 0 and 1"):
        evaluate(noisy(5, 0), ["x"], level=95)


class MeanColour(nn.Module):
    """Predicts the mean of the red and of the green channel, in [0, 1]."""

    def __init__(self):
        super().__init__()
        self.none = nn.Parameter(torch.zeros(1))

    def forward(self, images):
        return images.mean((2, 3))[:, :2] + self.none


def test_the_prediction_table_is_the_manifest_with_a_column_for_each_output(tmp_path):
    card = Card("none", ("x", "y"), {}, 4, mean=(0.0,) * 3, std=(1.0,) * 3)
    images = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    images[1, 0] = 255
    table = pd.DataFrame(
        {
            "path": ["a", "b"],
            "environment": "e",
            "split": "train",
            "width": 4,
            "height": 4,
            "x": 0.0,
            "y": 1.0,
        }
    )
    manifest = Manifest(tmp_path, table, ("x", "y"), no_skipped())
    found = predict_table(Bundle(MeanColour(), card, images), manifest, images)
    assert found["predicted_x"].tolist() == [0, 1]
    assert found["predicted_y"].tolist() == [0, 0]
    pd.testing.assert_frame_equal(found[table.columns], table)
    assert "predicted_x" not in manifest.table
    clash = Manifest(tmp_path, table.assign(predicted_x=0.0), ("x", "predicted_x"), no_skipped())
    with pytest.raises(DataError, match="a target is called predicted_x"):
        predict_table(Bundle(MeanColour(), card, images), clash, images)
    with pytest.raises(DataError, match="1 images came with a manifest of 2 rows"):
        predict_table(Bundle(MeanColour(), card, images), manifest, images[:1])
