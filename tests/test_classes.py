"""Measures of classes: as scikit-learn has them, with intervals that hold the truth as often as they say."""

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics

from shapsight.diagnosis.classes import (
    _f1,
    calibration_table,
    class_table,
    confusion_table,
    evaluate_classes,
)
from shapsight.diagnosis.prediction_errors import evaluate
from shapsight.errors import DataError

NAMES = ("cat", "dog", "fox")


def answers(count: int, seed: int, accuracy: float = 0.7, environment: str = "room") -> pd.DataFrame:
    """Labels, and predictions that are right with a probability that the confidence tells."""
    generator = np.random.default_rng(seed)
    label = generator.integers(0, 3, count)
    confidence = generator.uniform(2 * accuracy - 1, 1, count)
    is_right = generator.uniform(size=count) < confidence
    said = np.where(is_right, label, (label + generator.integers(1, 3, count)) % 3)
    return pd.DataFrame(
        {
            "environment": environment,
            "split": "unseen",
            "label": np.array(NAMES)[label],
            "predicted_label": np.array(NAMES)[said],
            "confidence": confidence,
        }
    )


def test_accuracy_f1_and_confusion_are_those_of_scikit_learn():
    table = answers(200, 0)
    row = evaluate_classes(table, NAMES).iloc[0]
    actual, said = table["label"], table["predicted_label"]
    assert row["accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(actual, said))
    assert row["f1"] == pytest.approx(sklearn.metrics.f1_score(actual, said, average="macro"))
    expected = sklearn.metrics.confusion_matrix(actual, said, labels=list(NAMES))
    assert (confusion_table(table, NAMES).to_numpy() == expected).all()
    each = class_table(table, NAMES)
    precision, recall, f1, count = sklearn.metrics.precision_recall_fscore_support(
        actual, said, labels=list(NAMES)
    )
    np.testing.assert_allclose(
        each[["precision", "recall", "f1"]].to_numpy().T, [precision, recall, f1], rtol=1e-5
    )
    assert each["images"].tolist() == count.tolist()


def test_the_calibration_error_is_its_definition():
    table = answers(300, 1)
    is_right = (table["label"] == table["predicted_label"]).to_numpy(float)
    bins = np.minimum((table["confidence"] * 15).astype(int), 14).to_numpy()
    by_hand = sum(
        (bins == b).mean() * abs(is_right[bins == b].mean() - table["confidence"][bins == b].mean())
        for b in set(bins)
    )
    assert evaluate_classes(table, NAMES)["calibration_error"].iloc[0] == pytest.approx(by_hand, rel=1e-5)
    drawn = calibration_table(table)
    assert drawn["images"].sum() == 300
    share = drawn["images"] / 300
    assert (share * (drawn["accuracy"] - drawn["confidence"]).abs()).sum() == pytest.approx(by_hand, rel=1e-5)


def test_intervals_hold_the_true_accuracy_in_about_95_of_100_samples():
    covered = 0
    for seed in range(100):
        row = evaluate_classes(answers(120, seed), NAMES, resamples=100, seed=seed).iloc[0]
        covered += row["accuracy_low"] <= 0.7 <= row["accuracy_high"]
    assert 0.90 <= covered / 100 <= 1.0


def test_drawing_counts_is_drawing_images():
    """The multinomial shortcut gives the spread of the plain bootstrap over images."""
    table = answers(80, 3)
    row = evaluate_classes(table, NAMES, resamples=3000).iloc[0]
    generator = np.random.default_rng(5)
    drawn = [table.iloc[generator.integers(80, size=80)] for _ in range(400)]
    scores = [sklearn.metrics.f1_score(d["label"], d["predicted_label"], average="macro") for d in drawn]
    low, high = np.quantile(scores, [0.025, 0.975])
    assert row["f1_low"] == pytest.approx(low, abs=0.03)
    assert row["f1_high"] == pytest.approx(high, abs=0.03)


def test_f1_of_counts_is_that_of_the_labels_they_stand_for():
    labels, said = np.array([0, 0, 1, 2]), np.array([0, 1, 1, 0])
    counts = np.array([[3, 1, 4, 0], [0, 0, 5, 2]])
    for row in counts:
        actual, predicted = np.repeat(labels, row), np.repeat(said, row)
        expected = sklearn.metrics.f1_score(actual, predicted, average="macro", zero_division=0)
        assert _f1(row[None], labels, said, 3)[0] == pytest.approx(expected)


def test_every_environment_has_its_row_and_one_image_has_no_interval():
    table = pd.concat([answers(20, 0, environment="a"), answers(1, 1, environment="b")])
    found = evaluate_classes(table, NAMES).set_index("environment")
    assert found.index.tolist() == ["a", "b", "all"]
    assert np.isnan(found.loc["b", "accuracy_low"])
    with pytest.raises(DataError, match="lack the columns confidence"):
        evaluate_classes(table.drop(columns="confidence"), NAMES)


def test_sign_accuracy_is_the_share_that_steers_to_the_right_side():
    table = pd.DataFrame(
        {
            "environment": "e",
            "split": "unseen",
            "x": [-0.5, 0.2, 0.0, 0.9],
            "predicted_x": [-0.1, -0.3, 0.4, 0.1],
            "speed": [1.0, 2.0, 3.0, 4.0],
            "predicted_speed": [1.0, 2.0, 3.0, 4.0],
        }
    )
    found = evaluate(table, ["x", "speed"]).set_index("target")
    assert found.loc["x", "sign_accuracy"] == pytest.approx(2 / 3)
    assert np.isnan(found.loc["speed", "sign_accuracy"])
