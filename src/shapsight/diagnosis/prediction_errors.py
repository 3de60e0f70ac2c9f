"""How far predictions are from their targets, in each environment and split, with an interval."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from shapsight.data.manifest import Manifest
from shapsight.diagnosis.groups import EVERY, check_table, generator_of, groups
from shapsight.diagnosis.intervals import drawn_rows, interval
from shapsight.diagnosis.metrics import functional
from shapsight.errors import DataError
from shapsight.models.bundle import Bundle

__all__ = ["EVERY", "MEASURES", "error_per_image", "evaluate", "predict_table"]
MEASURES = ("mse", "mae", "r2", "sign_accuracy")


def predict_table(
    bundle: Bundle, manifest: Manifest, images: UInt8[Tensor, "images 3 size size"]
) -> pd.DataFrame:
    """The manifest's table with what the model says of every image.

        images = load_images(manifest, manifest.table["path"], bundle.card.input_size)
        predict_table(bundle, manifest, images)      # path, environment, split, ..., x, y, predicted_x, predicted_y

    A regression gets a column `predicted_NAME` for each output, in the unit of the target. A classification gets
    `predicted_label`, `confidence` (the softmax probability of that label) and `probability` (of the true one).
    Raises `DataError` if there is not one image for each row.
    """
    if len(images) != len(manifest):
        raise DataError(
            f"{len(images)} images came with a manifest of {len(manifest)} rows: load one for each row"
        )
    outputs = bundle.predict(images).double()
    if bundle.card.class_names:
        return _classes(bundle.probabilities(outputs), manifest, bundle.card.class_names)
    predictions = outputs.numpy()
    named = {f"predicted_{name}": predictions[:, n] for n, name in enumerate(bundle.card.output_names)}
    if taken := sorted(named.keys() & set(manifest.targets)):
        raise DataError(
            f"a target is called {taken[0]}, which is what predictions of {taken[0].removeprefix('predicted_')} are "
            "called in tables: give it another name"
        )
    return manifest.table.assign(**named)


def _classes(
    probabilities: Float[Tensor, "images classes"], manifest: Manifest, names: Sequence[str]
) -> pd.DataFrame:
    confidence, chosen = probabilities.max(1)
    number = {name: n for n, name in enumerate(names)}
    actual = manifest.table["label"].map(number)
    of_label = probabilities[torch.arange(len(probabilities)), torch.tensor(np.array(actual.fillna(0), int))]
    return manifest.table.assign(
        predicted_label=[names[n] for n in chosen.tolist()],
        confidence=confidence.numpy(),
        probability=np.where(actual.isna(), 0.0, of_label.numpy()),
    )


def error_per_image(predictions: pd.DataFrame, manifest: Manifest) -> Float[np.ndarray, "images"]:
    """How wrong the model is on each image of `predict_table`: one number, whatever the task.

    The squared error, mean over targets on their scales (a target from -1 to +1 is at most 4); for classes 1 where the
    label is wrong and 0 where it is right.
    """
    if manifest.class_names:
        return np.asarray(predictions["predicted_label"] != predictions["label"], dtype=float)
    scaled = [
        (predictions[f"predicted_{name}"] - predictions[name]) / manifest.scales[name].half
        for name in manifest.targets
    ]
    return np.asarray(np.square(np.stack(scaled)).mean(0), dtype=float)


def evaluate(
    predictions: pd.DataFrame,
    targets: Sequence[str],
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Mean squared error, mean absolute error, R² and sign accuracy of each target, environment and split.

        predictions = predict_table(bundle, manifest, images)
        evaluate(predictions, ["x", "y"])      # environment, split, target, images, mse, mse_low, mse_high, ...

    One row for each environment, split and target, and rows of the environment "all" for a split that spans
    several. `mse` is in squared target units, `mae` in target units; `r2 = 1 - Σ(p - t)² / Σ(t - mean t)²` is
    1 for a perfect model, 0 for one that always says the mean, and NaN where the target does not vary.
    `sign_accuracy` is the share of images, less those whose target is 0, where prediction and target have the same
    sign ("does it steer to the right side?"); NaN for a target that never changes its sign.
    `_low` and `_high` hold the percentile bootstrap interval of `level` over images (Efron and Tibshirani
    1993, chapter 13); NaN for a single image. A group's draws depend on `seed` and its own name only.
    All measures are torchmetrics'. Raises `DataError` if a column is missing.
    """
    wanted = ["environment", "split", *targets, *(f"predicted_{name}" for name in targets)]
    check_table(predictions, wanted, resamples, level)
    is_signed = {name: predictions[name].min() < 0 < predictions[name].max() for name in targets}
    rows = [
        {"environment": environment, "split": split, "target": target, "images": len(group)}
        | _measures_with_intervals(
            np.array(group[target], float),
            np.array(group[f"predicted_{target}"], float),
            resamples,
            level,
            generator_of(environment, split, seed),
            has_sign=is_signed[target],
        )
        for environment, split, group in groups(predictions)
        for target in targets
    ]
    columns = [f"{name}{end}" for name in MEASURES for end in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=["environment", "split", "target", "images", *columns])


def _measures_with_intervals(
    actual: Float[np.ndarray, "images"],
    predicted: Float[np.ndarray, "images"],
    resamples: int,
    level: float,
    generator: np.random.Generator,
    *,
    has_sign: bool,
) -> dict[str, float]:
    """Each measure, and the ends of its percentile bootstrap interval."""
    values = _measure(actual[:, None], predicted[:, None], has_sign)[:, 0]
    draws = _bootstrap(actual, predicted, resamples, generator, has_sign)
    found: dict[str, float] = {}
    for name, value, drawn in zip(MEASURES, values, draws, strict=True):
        low, high = interval(drawn, level)
        found |= {name: float(value), f"{name}_low": low, f"{name}_high": high}
    return found


def _bootstrap(
    actual: Float[np.ndarray, "images"],
    predicted: Float[np.ndarray, "images"],
    resamples: int,
    generator: np.random.Generator,
    has_sign: bool,
) -> Float[np.ndarray, "measures resamples"]:
    """The measures of as many images drawn with replacement, again and again; none for a single image."""
    count = len(actual)
    if count < 2:
        return np.full((len(MEASURES), 0), np.nan)
    drawn = (rows.T for rows in drawn_rows(count, generator, resamples))
    return np.concatenate([_measure(actual[rows], predicted[rows], has_sign) for rows in drawn], axis=1)


def _measure(
    actual: Float[np.ndarray, "images draws"], predicted: Float[np.ndarray, "images draws"], has_sign: bool
) -> Float[np.ndarray, "measures draws"]:
    """The measures of each draw of images."""
    functions = functional()
    draws = actual.shape[1]
    p, t = torch.from_numpy(predicted), torch.from_numpy(actual)
    squared = functions.mean_squared_error(p, t, num_outputs=draws).reshape(draws)
    absolute = functions.mean_absolute_error(p, t, num_outputs=draws).reshape(draws)
    nothing = torch.full((draws,), torch.nan, dtype=torch.float64)
    r2 = sign = nothing
    varies = t.amax(0) > t.amin(0)
    if varies.any():  # so there are two images
        r2 = functions.r2_score(p, t, multioutput="raw_values").reshape(draws).where(varies, nothing)
    if has_sign:
        side = (t > 0).int().where(t != 0, torch.tensor(-1, dtype=torch.int32))
        right = functions.classification.binary_accuracy(
            (p > 0).int().T, side.T, multidim_average="samplewise", ignore_index=-1
        )
        sign = right.double().where((t != 0).any(0), nothing)
    return torch.stack([squared, absolute, r2, sign]).numpy()
