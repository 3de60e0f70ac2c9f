"""How often classes are told right, how sure the model is of it, and which ones it takes for which."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from shapsight.diagnosis.groups import check_table, generator_of, groups
from shapsight.diagnosis.intervals import drawn_counts, drawn_rows, interval
from shapsight.diagnosis.metrics import functional

MEASURES = ("accuracy", "f1", "calibration_error")
BINS = 15
CALIBRATION_DRAWS = 200  # one pass over all images each, while the others are drawn from counts


def evaluate_classes(
    predictions: pd.DataFrame,
    class_names: Sequence[str],
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Accuracy, F1 and calibration error of each environment and split, with intervals.

        predictions = predict_table(bundle, manifest, images)
        evaluate_classes(predictions, bundle.card.class_names)      # environment, split, images, accuracy, ...

    `f1` is the mean over the classes that occur; `calibration_error` the expected calibration error over 15 bins
    (Naeini et al. 2015): the mean distance of confidence and accuracy. `_low` and `_high` hold the percentile
    bootstrap interval of `level` over images; NaN for a single image. All measures are torchmetrics'.
    Raises `DataError` if a column is missing.
    """
    wanted = ["environment", "split", "label", "predicted_label", "confidence"]
    check_table(predictions, wanted, resamples, level)
    rows = []
    for environment, split, group in groups(predictions):
        generator = generator_of(environment, split, seed)
        measured = _measure(group, class_names)
        draws = _bootstrap(group, class_names, resamples, generator)
        row: dict[str, object] = {"environment": environment, "split": split, "images": len(group)}
        for name in MEASURES:
            low, high = interval(draws[name], level)
            row |= {name: measured[name], f"{name}_low": low, f"{name}_high": high}
        rows.append(row)
    return pd.DataFrame(rows)


def confusion_table(predictions: pd.DataFrame, class_names: Sequence[str]) -> pd.DataFrame:
    """How many images of each label (row) are taken for which (column), over all rows given."""
    counts = _confusion(*_numbers(predictions, class_names), len(class_names))
    return pd.DataFrame(counts.numpy(), index=list(class_names), columns=list(class_names))


def class_table(predictions: pd.DataFrame, class_names: Sequence[str]) -> pd.DataFrame:
    """`label, images, precision, recall, f1` of each class, over all rows given."""
    functions = functional().classification
    predicted, actual = _numbers(predictions, class_names)
    options = {"num_classes": len(class_names), "average": "none"}
    return pd.DataFrame(
        {
            "label": list(class_names),
            "images": torch.bincount(actual, minlength=len(class_names)).numpy(),
            "precision": functions.multiclass_precision(predicted, actual, **options).numpy(),
            "recall": functions.multiclass_recall(predicted, actual, **options).numpy(),
            "f1": functions.multiclass_f1_score(predicted, actual, **options).numpy(),
        }
    )


def calibration_table(predictions: pd.DataFrame, bins: int = BINS) -> pd.DataFrame:
    """`images, confidence, accuracy` in each bin of confidence that has images."""
    is_right = predictions["label"] == predictions["predicted_label"]
    number = np.minimum((predictions["confidence"] * bins).astype(int), bins - 1)
    grouped = pd.DataFrame(
        {"confidence": predictions["confidence"], "accuracy": is_right.astype(float)}
    ).groupby(number)
    return grouped.mean().assign(images=grouped.size()).reset_index(drop=True)


def _numbers(
    predictions: pd.DataFrame, class_names: Sequence[str]
) -> tuple[Int[Tensor, "n"], Int[Tensor, "n"]]:
    number = {name: n for n, name in enumerate(class_names)}
    predicted, actual = (
        torch.tensor(np.array(predictions[column].map(number), np.int64))
        for column in ("predicted_label", "label")
    )
    return predicted, actual


def _confusion(predicted: Int[Tensor, "n"], actual: Int[Tensor, "n"], classes: int) -> Int[Tensor, "c c"]:
    counts: Tensor = functional().classification.multiclass_confusion_matrix(predicted, actual, classes)
    return counts


def _calibration_error(confidence: Float[Tensor, "n"], is_right: Int[Tensor, "n"]) -> float:
    return float(functional().classification.binary_calibration_error(confidence, is_right, n_bins=BINS))


def _measure(group: pd.DataFrame, class_names: Sequence[str]) -> dict[str, float]:
    functions = functional().classification
    predicted, actual = _numbers(group, class_names)
    options = {"num_classes": len(class_names)}
    confidence = torch.tensor(np.array(group["confidence"], float))
    return {
        "accuracy": float(functions.multiclass_accuracy(predicted, actual, average="micro", **options)),
        "f1": float(functions.multiclass_f1_score(predicted, actual, average="macro", **options)),
        "calibration_error": _calibration_error(confidence, (predicted == actual).long()),
    }


def _bootstrap(
    group: pd.DataFrame, class_names: Sequence[str], resamples: int, generator: np.random.Generator
) -> dict[str, np.ndarray]:
    """Each measure of images drawn with replacement; none for a single image.

    Accuracy and F1 depend on the counts of (label, predicted) only, whose draw is multinomial.
    """
    count = len(group)
    if count < 2:
        return dict.fromkeys(MEASURES, np.empty(0))
    predicted, actual = _numbers(group, class_names)
    table = _confusion(predicted, actual, len(class_names)).numpy()
    labels, said = np.nonzero(table)
    counts = drawn_counts(count, generator, resamples, shares=table[labels, said] / count)
    drawn = np.concatenate(list(counts))
    confidence = torch.tensor(np.array(group["confidence"], float))
    is_right = (predicted == actual).long()
    chunks = drawn_rows(count, generator, min(resamples, CALIBRATION_DRAWS))
    rows = (torch.from_numpy(row) for chunk in chunks for row in chunk)
    return {
        "accuracy": drawn[:, labels == said].sum(1) / count,
        "f1": _f1(drawn, labels, said, len(class_names)),
        "calibration_error": np.array([_calibration_error(confidence[r], is_right[r]) for r in rows]),
    }


def _f1(
    drawn: Int[np.ndarray, "draws cells"], labels: np.ndarray, said: np.ndarray, classes: int
) -> Float[np.ndarray, "draws"]:
    """The mean F1, 2 right / (all of the label + all that were said), over the classes that occur in a draw."""
    of_label, of_said, right = (np.zeros((classes, len(labels))) for _ in range(3))
    cells = np.arange(len(labels))
    of_label[labels, cells] = of_said[said, cells] = 1
    right[labels[labels == said], cells[labels == said]] = 1
    whole = drawn @ of_label.T + drawn @ of_said.T
    with np.errstate(invalid="ignore"):
        return np.asarray(np.nanmean(np.where(whole > 0, 2 * (drawn @ right.T) / whole, np.nan), axis=1))
