"""How wrong a model is where it was trained and where it was not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from shapsight.data.manifest import Manifest
from shapsight.diagnosis.estimate import NOT_MEASURED, UNKNOWN, Estimate
from shapsight.diagnosis.groups import EVERY
from shapsight.studies.shared.facts import Facts


@dataclass(frozen=True)
class ErrorFacts(Facts):
    """The first target's mean squared error, or the share of wrong labels, where it was trained and where it was not.

    Attributes
        output, measure, metric, unit, is_classes: what is measured, in words and in short.
        environments: how many there are. home: those that were trained on.
        home_error, home_images: of their held-out images; not known where there are none.
        worst: the environment with the largest error that was not trained on; worst_error, worst_images.
        ratio: worst_error over home_error. worst_unexplained: worst_error over the target's variance in that
            environment (of classes: worst_error itself).
        is_constant: whether all predictions are the same.
    """

    output: str = ""
    measure: str = ""
    metric: str = ""
    unit: str = ""
    is_classes: bool = False
    environments: int = 0
    home: str = ""
    home_error: Estimate = NOT_MEASURED
    home_images: int = 0
    worst: str | None = None
    worst_error: Estimate = NOT_MEASURED
    worst_images: int = 0
    worst_unexplained: float = UNKNOWN
    ratio: float = UNKNOWN
    is_constant: bool = False


def error_facts(errors: pd.DataFrame, predictions: pd.DataFrame, manifest: Manifest) -> ErrorFacts:
    """The facts of a table of errors (mean squared, or accuracies) and of the predictions behind it."""
    is_classes = bool(manifest.class_names)
    target = "label" if is_classes else manifest.targets[0]
    table = _as_errors(errors) if is_classes else errors[errors["target"] == target]
    home, worst = _home(table, manifest), _worst(table, manifest)
    home_error, worst_error = (
        NOT_MEASURED if row is None else Estimate.in_row(row.to_dict(), "mse") for row in (home, worst)
    )
    place = None if worst is None else str(worst["environment"])
    return ErrorFacts(
        output=target,
        measure="share of wrong labels" if is_classes else f"mean squared error of {target}",
        metric="wrong" if is_classes else "MSE",
        unit="" if is_classes else manifest.scales[target].unit,
        is_classes=is_classes,
        environments=len(manifest.environments),
        home=", ".join(manifest.train_on),
        home_error=home_error,
        home_images=0 if home is None else int(home["images"]),
        worst=place,
        worst_error=worst_error,
        worst_images=0 if worst is None else int(worst["images"]),
        worst_unexplained=worst_error.value
        if is_classes
        else _over(worst_error.value, _variance(predictions, place, target)),
        ratio=_over(worst_error.value, home_error.value),
        is_constant=is_constant(predictions, manifest, target),
    )


def is_constant(predictions: pd.DataFrame, manifest: Manifest, target: str) -> bool:
    """Whether a target, or the probability of the class said, is the same of all images; one says nothing of that."""
    if len(predictions) < 2:
        return False
    if manifest.class_names:
        is_one_class = predictions["predicted_label"].nunique() == 1
        return is_one_class and float(np.ptp(predictions["confidence"].to_numpy(float))) < 1e-6
    said = predictions[f"predicted_{target}"].to_numpy(float)
    return bool(np.ptp(said) < 1e-6 * manifest.scales[target].half)


def _variance(predictions: pd.DataFrame, environment: str | None, target: str) -> float:
    return float(predictions.loc[predictions["environment"] == environment, target].var(ddof=0))


def _over(value: float, under: float) -> float:
    return value / under if under > 0 else UNKNOWN


def _as_errors(errors: pd.DataFrame) -> pd.DataFrame:
    """Accuracies as shares of wrong labels."""
    return errors.assign(
        mse=1 - errors["accuracy"], mse_low=1 - errors["accuracy_high"], mse_high=1 - errors["accuracy_low"]
    )


def _home(table: pd.DataFrame, manifest: Manifest) -> pd.Series | None:
    """The held-out images of the environments that were trained on."""
    for split in ("test", "validation"):
        mine = table[table["split"] == split]
        for rows in (
            mine[mine["environment"] == EVERY],
            mine[mine["environment"].isin(manifest.train_on)],
        ):
            if len(rows):
                return rows.iloc[0]
    return None


def _worst(table: pd.DataFrame, manifest: Manifest) -> pd.Series | None:
    """The environment with the largest error among those that were not trained on."""
    rows = table[(table["split"] == "unseen") & ~table["environment"].isin([EVERY, *manifest.train_on])]
    known = np.nan_to_num(
        rows["mse"].to_numpy(float), nan=-1.0
    )  # one without a number is worst only if all are
    return None if rows.empty else rows.iloc[int(known.argmax())]
