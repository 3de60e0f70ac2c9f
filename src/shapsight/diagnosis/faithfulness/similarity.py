"""How alike two heatmaps are: by rank, and by structure."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.stats import rankdata
from skimage import metrics

SMALLEST_WINDOW = 3
USUAL_WINDOW = 7


def rank_correlation(
    first: Float[ndarray, "maps values"], second: Float[ndarray, "maps values"]
) -> Float[ndarray, "maps"]:
    """Spearman's correlation of each row of one with the same row of the other, in [-1, 1].

        rank_correlation(a.reshape(len(a), -1), b.reshape(len(b), -1))

    Equal values share the mean of their ranks; NaN for a row without differences.
    """
    ranks = [rankdata(np.asarray(rows, float), axis=1) for rows in (first, second)]
    one, two = (rows - rows.mean(1, keepdims=True) for rows in ranks)
    size = np.sqrt(np.square(one).sum(1) * np.square(two).sum(1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(size > 0, (one * two).sum(1) / size, np.nan))


def structural_similarity(
    first: Float[ndarray, "maps height width"], second: Float[ndarray, "maps height width"]
) -> Float[ndarray, "maps"]:
    """The structural similarity of heatmaps, each over its own largest absolute value first; 1 if they are the same.

    Windows of 7 × 7 pixels, smaller for smaller maps. NaN for a map that is 0 everywhere, or below 3 pixels a side.
    Source: Wang et al. 2004, as scikit-image has it; on attributions, Adebayo et al. 2018.
    """
    return np.array([_ssim(one, two) for one, two in zip(first, second, strict=True)])


def _ssim(first: Float[ndarray, "height width"], second: Float[ndarray, "height width"]) -> float:
    largest = [float(np.abs(values).max(initial=0.0)) for values in (first, second)]
    window = min(USUAL_WINDOW, min(first.shape) - 1 + min(first.shape) % 2)
    if not all(size > 0 and np.isfinite(size) for size in largest) or window < SMALLEST_WINDOW:
        return float("nan")
    one, two = (np.asarray(v, float) / size for v, size in zip((first, second), largest, strict=True))
    reach = max(one.max(), two.max()) - min(one.min(), two.min())
    similarity: Any = metrics.structural_similarity
    return float(similarity(one, two, win_size=window, data_range=float(reach)))
