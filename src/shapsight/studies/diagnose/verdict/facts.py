"""How wrong the model is at home and elsewhere, as numbers for the verdict."""

from __future__ import annotations

import numpy as np
import pandas as pd

from shapsight.data.manifest import Manifest
from shapsight.diagnosis.groups import EVERY
from shapsight.studies.shared.facts import Fact


def error_facts(errors: pd.DataFrame, predictions: pd.DataFrame, manifest: Manifest) -> dict[str, Fact]:
    """The first target's mean squared error, or the share of wrong labels, where it was trained and where it was not.

    output, measure, unit, is_classes: what is measured. environments: how many there are.
    home: the environments that were trained on; home_error with home_error_low, _high: of their held-out images, None
        where there are none; home_images.
    worst: the environment with the largest error that was not trained on; worst_error, _low, _high, worst_images.
    ratio: worst_error over home_error. worst_unexplained: worst_error over the target's variance in that environment
        (of classes: worst_error itself).
    is_constant: whether all predictions are the same.
    """
    is_classes = bool(manifest.class_names)
    target = "label" if is_classes else manifest.targets[0]
    table = _as_errors(errors) if is_classes else errors[errors["target"] == target]
    home, elsewhere = _home(table, manifest), _elsewhere(table, manifest)
    facts: dict[str, Fact] = {
        "output": target,
        "is_classes": is_classes,
        "measure": "share of wrong labels" if is_classes else f"mean squared error of {target}",
        "short": "wrong" if is_classes else "MSE",
        "unit": "" if is_classes else manifest.scales[target].unit,
        "environments": len(manifest.environments),
        "home": ", ".join(manifest.train_on),
    }
    facts |= _named("home", home) | _named("worst", elsewhere)
    facts["worst"] = None if elsewhere is None else str(elsewhere["environment"])
    facts["worst_unexplained"] = _unexplained(elsewhere, predictions, target, is_classes)
    facts["ratio"] = None
    if home is not None and elsewhere is not None and home["mse"] > 0:
        facts["ratio"] = float(elsewhere["mse"] / home["mse"])
    said = predictions["predicted_label"] if is_classes else predictions[f"predicted_{target}"]
    facts["is_constant"] = bool(
        said.nunique() == 1 or (not is_classes and np.ptp(said.to_numpy(float)) < 1e-6)
    )
    return facts


def _unexplained(
    row: pd.Series | None, predictions: pd.DataFrame, target: str, is_classes: bool
) -> float | None:
    if row is None or is_classes:
        return None if row is None else float(row["mse"])
    variance = float(predictions.loc[predictions["environment"] == row["environment"], target].var(ddof=0))
    return float(row["mse"]) / variance if variance > 0 else None


def _as_errors(errors: pd.DataFrame) -> pd.DataFrame:
    """Accuracies as shares of wrong labels."""
    return errors.assign(
        mse=1 - errors["accuracy"], mse_low=1 - errors["accuracy_high"], mse_high=1 - errors["accuracy_low"]
    )


def _home(table: pd.DataFrame, manifest: Manifest) -> pd.Series | None:
    """The held-out images of the environments that were trained on."""
    rows = table[table["split"].isin(["validation", "test"])]
    for split in ("test", "validation"):
        mine = rows[rows["split"] == split]
        whole = mine[mine["environment"] == EVERY]
        at_home = mine[mine["environment"].isin(manifest.train_on)]
        if len(whole):
            return whole.iloc[0]
        if len(at_home):
            return at_home.iloc[0]
    return None


def _elsewhere(table: pd.DataFrame, manifest: Manifest) -> pd.Series | None:
    """The environment with the largest error among those that were not trained on."""
    rows = table[(table["split"] == "unseen") & (table["environment"] != EVERY)]
    rows = rows[~rows["environment"].isin(manifest.train_on)]
    return None if rows.empty else rows.iloc[int(rows["mse"].to_numpy(float).argmax())]


def _named(name: str, row: pd.Series | None) -> dict[str, Fact]:
    if row is None:
        return {
            f"{name}_error": None,
            f"{name}_error_low": None,
            f"{name}_error_high": None,
            f"{name}_images": 0,
        }
    return {
        f"{name}_error": float(row["mse"]),
        f"{name}_error_low": float(row["mse_low"]),
        f"{name}_error_high": float(row["mse_high"]),
        f"{name}_images": int(row["images"]),
    }
