"""What scene and region contribute, measured for some explained images, beside exact values of the same images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, UInt8
from numpy import ndarray
from torch import Tensor

from shapsight.attribution.explanation import Explanation
from shapsight.attribution.explanation.region_values import RegionValues
from shapsight.data.manifest import Manifest
from shapsight.diagnosis.contributions import (
    PARTS,
    SCENE,
    class_contributions_per_image,
    contributions_per_environment,
    contributions_per_image,
)
from shapsight.diagnosis.exact_parts import agreement_of, exact_parts
from shapsight.errors import DataError
from shapsight.models.bundle import Bundle
from shapsight.report.page import Column

PREDICTED = "the predicted class"
AGREEMENT = (
    Column("output"),
    Column("images", format="d"),
    Column("correlation_scene", "correlation, scene", ".2f"),
    Column("correlation_region", "correlation, region", ".2f"),
    Column("difference", "typical difference", ".3g"),
    Column("relative", "of prediction - base value", ".0%"),
    Column("quoted", "given here"),
)
ATTRIBUTIONS, EXACT = "DeepSHAP", "exact Shapley values"


@dataclass(frozen=True, eq=False)
class Contributions:
    """The contributions of scene and region, and how they compare with exact values.

    Attributes
        per_image: `contributions_per_image`, with two more columns: `sums` of the attributions, and the `exact` values;
            `value` is what is quoted: the sums where they agree with the exact values, the exact values otherwise.
        measures: `contributions_per_environment`.
        agreement: `output, images, correlation_scene, correlation_region, difference, relative, quoted`.
    """

    per_image: pd.DataFrame
    measures: pd.DataFrame
    agreement: pd.DataFrame

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """By the names that their files get."""
        return {
            "contributions": self.measures,
            "contributions_per_image": self.per_image,
            "agreement_with_exact": self.agreement,
        }


def contributions_of(
    explanation: Explanation,
    bundle: Bundle,
    manifest: Manifest,
    rows: pd.DataFrame,
    images: UInt8[Tensor, "images 3 size size"],
    masks: Bool[ndarray, "images size size"],
    *,
    progress: Callable[[int, int], None] | bool = False,
    seed: int = 0,
) -> Contributions | None:
    """Sum an explanation over scene and region, and hold the sums against exact values of every image.

    Images whose region is empty or everything are not counted, nor are those of a classifier without a known label;
    None where none is left. The exact values hide parts behind the references that the explanation was made with.
    """
    kept = _counted(rows, masks, manifest)
    if not kept.any():
        return None
    at = torch.from_numpy(np.flatnonzero(kept))
    explanation, rows, images = explanation.select(images=at.tolist()), rows[kept], images[at]
    labels = torch.from_numpy(masks[kept]).long()
    used = explanation.settings.get("references")
    device = next(bundle.model.parameters()).device
    exact = exact_parts(
        bundle.model,
        bundle.prepared_references(used if isinstance(used, int) else None),
        bundle.prepare(images.to(device)),
        labels.to(device),
        list(range(len(bundle.card.output_names))),
        progress=progress,
    )
    sums = explanation.parts(labels)
    tables = _of_classes if manifest.class_names else _of_targets
    per_image, agreement = tables(sums, exact, rows, manifest)
    return Contributions(per_image, contributions_per_environment(per_image, seed=seed), agreement)


def _counted(rows: pd.DataFrame, masks: Bool[ndarray, "images size size"], manifest: Manifest) -> ndarray:
    if len(rows) != len(masks):
        raise DataError(f"{len(masks)} regions of interest came with {len(rows)} images")
    area = masks.mean((1, 2))
    counted = (area > 0) & (area < 1)
    if manifest.class_names:
        counted &= rows["label"].isin(manifest.class_names).to_numpy()
    return np.asarray(counted)


def _of_targets(
    sums: RegionValues, exact: RegionValues, rows: pd.DataFrame, manifest: Manifest
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Of every explained target."""
    tables, records = [], []
    for number, column in enumerate(sums.output_index[0].tolist()):
        name = sums.output_names[column]
        mine, true = (_array(values) for values in (sums.values[:, number], exact.values[:, column]))
        base, target = _array(sums.base_values[:, number]), rows[name].to_numpy(float)
        record = _agreement(name, mine, true)
        records.append(record)
        quoted = true if record["quoted"] == EXACT else mine
        table = contributions_per_image(quoted, rows, name, base_value=base, target=target)
        tables.append(table.assign(sums=mine.T.reshape(-1), exact=true.T.reshape(-1)))
    return pd.concat(tables, ignore_index=True), pd.DataFrame(records)


def _of_classes(
    sums: RegionValues, exact: RegionValues, rows: pd.DataFrame, manifest: Manifest
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Of the class that each image is taken for; what its label gets is known from the exact values."""
    names = list(manifest.class_names)
    said = rows["predicted_label"].map(names.index).to_numpy(int)
    where = (sums.output_index.cpu().numpy() == said[:, None]).argmax(1)
    mine = _array(sums.values)[np.arange(len(said)), where]
    labels = rows["label"].map(names.index).to_numpy(int)
    table = class_contributions_per_image(
        _array(exact.values), rows, PREDICTED, explained=said, labels=labels
    )
    true = _array(exact.values)[np.arange(len(said)), said]
    record = _agreement(PREDICTED, mine, true)
    quoted = true if record["quoted"] == EXACT else mine
    table = table.assign(value=quoted.T.reshape(-1), change=np.tile(quoted.sum(1), len(PARTS)))
    return table.assign(sums=mine.T.reshape(-1), exact=true.T.reshape(-1)), pd.DataFrame([record])


def _agreement(output: str, sums: ndarray, exact: ndarray) -> dict[str, object]:
    """The parts share one sum, so that what one of them has too much the other has too little."""
    found = [agreement_of(sums[:, n], exact[:, n], exact.sum(1)) for n in range(len(PARTS))]
    worst = max(found, key=lambda one: one.difference)
    return {
        "output": output,
        "images": len(sums),
        **{f"correlation_{part}": one.correlation for part, one in zip(PARTS, found, strict=True)},
        "difference": worst.difference,
        "relative": worst.relative,
        "quoted": ATTRIBUTIONS if worst.is_close or np.isnan(worst.relative) else EXACT,
    }


def _array(values: Tensor) -> ndarray:
    return np.asarray(values.detach().cpu().double())


def value_of(
    measures: pd.DataFrame, output: str, measure: str, *, part: str = SCENE, **where: str
) -> dict[str, float] | None:
    """The value of a measure with its ends, of one place; None where it is not known.

    value_of(found.measures, "x", "share", environment="room_1", split="validation")
    """
    rows = measures[
        (measures["output"] == output) & (measures["part"] == part) & (measures["measure"] == measure)
    ]
    for name, value in where.items():
        rows = rows[rows[name] == value]
    if rows.empty:
        return None
    row = rows.iloc[0]
    return {name: float(row[name]) for name in ("value", "low", "high", "images")}
