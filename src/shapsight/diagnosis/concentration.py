"""How much of the image the attribution needs: its entropy, and the fewest pixels that carry most of it."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from shapsight.errors import DataError

Heatmaps = Float[Tensor, "images outputs height width"] | Float[ndarray, "images outputs height width"]


def attribution_entropy(heatmaps: Heatmaps) -> Float[ndarray, "images outputs"]:
    """The entropy of absolute attribution over pixels, as a share of the largest possible: 0 one pixel, 1 all alike.

        attribution_entropy(explanation.heatmap("abs"))

    `-Σ p log p / log(pixels)`, with `p` a pixel's share. NaN without attribution.
    Source: Shannon 1948; as complexity of an explanation, Bhatt et al. 2020, equation 3.
    """
    shares, is_known = _shares(heatmaps)
    with np.errstate(divide="ignore", invalid="ignore"):
        bits = np.where(shares > 0, shares * np.log(shares), 0).sum(-1)
    return np.where(is_known, -bits / np.log(max(2, shares.shape[-1])), np.nan)


def area_of_attribution(heatmaps: Heatmaps, carried: float = 0.9) -> Float[ndarray, "images outputs"]:
    """The share of pixels, those with most attribution first, that carry `carried` of the absolute attribution.

        area_of_attribution(explanation.heatmap("abs"))       # 0.12: an eighth of the pixels carries 90 %

    In (0, 1]; an even heatmap needs `carried` itself. The last pixel counts in part. NaN without attribution.
    Raises `DataError` for a share that is not between 0 and 1.
    """
    if not 0 < carried < 1:
        raise DataError(f"carried={carried} is a share of the attribution: it lies between 0 and 1")
    shares, is_known = _shares(heatmaps)
    pixels = shares.shape[-1]
    areas = np.full(is_known.shape, np.nan)
    for place in zip(*np.nonzero(is_known), strict=True):
        grown = np.concatenate([[0.0], np.cumsum(np.sort(shares[place])[::-1])])
        last = min(int(np.searchsorted(grown, carried)), pixels)
        before, after = grown[last - 1], grown[last]
        areas[place] = (last - 1 + min(1.0, (carried - before) / (after - before))) / pixels
    return areas


def _shares(
    heatmaps: Heatmaps,
) -> tuple[Float[ndarray, "images outputs pixels"], Float[ndarray, "images outputs"]]:
    """Each pixel's share of the absolute attribution, and where there is any."""
    sizes = np.abs(np.asarray(heatmaps, dtype=np.float64)).reshape(*heatmaps.shape[:2], -1)
    total = sizes.sum(-1, keepdims=True)
    is_known = total[..., 0] > 0
    return np.divide(sizes, total, out=np.zeros_like(sizes), where=total > 0), is_known
