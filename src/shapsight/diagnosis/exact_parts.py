"""Exact Shapley values of parts of an image, hidden behind the references: what sums of DeepSHAP must agree with."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor, nn

from shapsight.attribution.explanation.region_values import RegionValues
from shapsight.attribution.regions import RegionShap
from shapsight.errors import DataError
from shapsight.models.references import ChosenReferences

MOST_PARTS = 8  # 256 coalitions, each asked about once for every reference
# How far apart the two may lie, over the root mean square of what is shared out: a fifth is 4 % of its square, and no
# sentence of a report says more than that.
AGREE = 0.2


def exact_parts(
    model: nn.Module,
    references: Float[Tensor, "references channels height width"] | ChosenReferences,
    images: Float[Tensor, "images channels height width"],
    labels: Int[Tensor, "images height width"],
    outputs: Any = None,
    *,
    progress: Callable[[int, int], None] | bool = False,
) -> RegionValues:
    """Shapley values of the parts of each image as players, from all their coalitions.

        exact_parts(model, references, images, roi.long()).values         # (images, outputs, 2): scene and region

    references, images: prepared for the model, on its device. What is hidden comes from the references, one after
        another, and the model's outputs are averaged: "absent" means what it means to `DeepShap(model, references)`,
        so the sums of its values over the same parts can be held against these.
    labels: each pixel's part, counted from 0. A part without pixels has 0.

    Two parts take two coalitions beside the whole image and the references: twice as many forward passes as references.
    Raises `DataError` for more than eight parts.
    Source: Shapley 1953; the game is that of Covert et al. 2021, with the marginal distribution of the references.
    """
    count = int(labels.max()) + 1
    if count > MOST_PARTS:
        raise DataError(
            f"{count} parts have 2^{count} coalitions: exact values are of up to {MOST_PARTS} parts. Put some together"
        )
    flat = labels.flatten(1)
    is_one = flat.amax(1) == flat.amin(1)
    # An image that is all one part has nothing to share out: it is asked about as two halves, which are then added.
    halves = torch.zeros_like(labels)
    halves[:, :, : labels.shape[2] // 2] = 1
    asked = torch.where(is_one[:, None, None], halves, labels)
    found = RegionShap(model, references, asked).by_region(images, outputs, progress=progress)
    values = found.values.new_zeros(*found.values.shape[:2], count)
    for number, mine in enumerate(flat.cpu()):
        present = mine.unique()  # RegionShap counts the parts of an image without gaps
        shares = found.values[number]
        values[number, :, present] = (
            shares.sum(1, keepdim=True) if is_one[number] else shares[:, : len(present)]
        )
    return dataclasses.replace(found, values=values, labels=labels)


@dataclass(frozen=True)
class Agreement:
    """How well the sums of one part agree with its exact values, over images.

    Attributes
        correlation: Pearson's; NaN where either is constant, or of fewer than three images.
        difference: root mean square of the differences, in the output's unit.
        relative: the same over the root mean square of `prediction - base value`.
    """

    correlation: float
    difference: float
    relative: float

    @property
    def is_close(self) -> bool:
        """Whether the sums may be quoted in place of the exact values."""
        return self.relative <= AGREE


def agreement_of(
    sums: Float[ndarray, "images"], exact: Float[ndarray, "images"], change: Float[ndarray, "images"]
) -> Agreement:
    """Compare sums of attributions with exact values; `change` is `prediction - base value`.

    agreement_of(parts.values[:, 0, 1], exact.values[:, 0, 1], predictions - base_values).correlation
    """
    sums, exact, change = (np.asarray(values, dtype=float) for values in (sums, exact, change))
    difference, size = (float(np.sqrt(np.square(v).mean())) for v in (sums - exact, change))
    is_varied = len(sums) > 2 and min(np.ptp(sums), np.ptp(exact)) > 1e-9 * max(size, 1e-30)
    correlation = float(np.corrcoef(sums, exact)[0, 1]) if is_varied else np.nan
    return Agreement(correlation, difference, difference / size if size > 0 else np.nan)
