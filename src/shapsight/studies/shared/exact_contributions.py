"""Measuring what scene and region contribute: sums of attributions, held against exact Shapley values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, UInt8
from numpy import ndarray
from torch import Tensor

from shapsight.attribution.explanation import Explanation
from shapsight.data.manifest import Manifest
from shapsight.diagnosis.contributions import contributions_per_environment
from shapsight.diagnosis.exact_parts import exact_parts
from shapsight.errors import DataError
from shapsight.models.bundle import Bundle
from shapsight.studies.shared.contributions import ATTRIBUTIONS, EXACT, Contributions
from shapsight.studies.tasks.task import task_of


def contributions_of(
    explanation: Explanation | None,
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

    Without an explanation the exact values stand for themselves.
    Images whose region is empty or everything are not counted, nor are those of a classifier without a known label;
    None where none is left. The exact values hide parts behind the references that the explanation was made with.
    """
    if len(rows) != len(masks):
        raise DataError(f"{len(masks)} regions of interest came with {len(rows)} images")
    task, area = task_of(manifest), masks.mean((1, 2))
    counted = (area > 0) & (area < 1) & task.is_known(rows, manifest)
    if not counted.any():
        return None
    at = torch.from_numpy(np.flatnonzero(counted))
    rows, images = rows[counted], images[at]
    labels = torch.from_numpy(masks[counted]).long()
    used = None if explanation is None else explanation.settings.get("references")
    exact = exact_parts(
        bundle.model,
        bundle.prepared_references(used if isinstance(used, int) else None),
        bundle.prepare(images.to(bundle.device)),
        labels.to(bundle.device),
        list(range(len(bundle.card.output_names))),
        progress=progress,
    )
    if explanation is None:
        sums = replace(exact, output_names=tuple(bundle.card.output_names))
    else:
        sums = explanation.select(images=at.tolist()).parts(labels)
    per_image, agreement = task.contributions(sums, exact, rows, manifest)
    method = EXACT if explanation is None else explanation.method
    agreement = agreement.replace({"quoted": {ATTRIBUTIONS: method}})
    return Contributions(per_image, contributions_per_environment(per_image, seed=seed), agreement)
