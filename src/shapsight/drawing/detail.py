"""A heatmap summed over regions, or under a Gaussian; its sum stays."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

WIDTH = 0.03  # of the Gaussian: its standard deviation, as a share of the side


def evened(heatmap: Float[ndarray, "*sides"], labels: Int[ndarray, "*sides"]) -> Float[ndarray, "*sides"]:
    """Each region's sum, spread evenly over its pixels."""
    known = np.isfinite(heatmap)
    sums = np.bincount(labels.ravel(), np.where(known, heatmap, 0).ravel())
    counts = np.bincount(labels.ravel(), known.ravel())
    return np.where(known, (sums / np.maximum(counts, 1))[labels], np.nan)


def smoothed(heatmap: Float[ndarray, "*sides"]) -> Float[ndarray, "*sides"]:
    """Each value shared out under a Gaussian of 3 % of the shorter side.

    The image is mirrored at its borders, so what would leave it comes back. What would go to a pixel that is not a
    number goes to the others. Both keep the sum.
    """
    from scipy.ndimage import gaussian_filter

    width = WIDTH * min((side for side in heatmap.shape if side > 1), default=1)
    known = np.isfinite(heatmap)
    if known.all():
        return np.asarray(gaussian_filter(heatmap, width, mode="reflect"))
    reached = gaussian_filter(known.astype(float), width, mode="reflect")
    shared = np.where(known, heatmap, 0) / np.where(known, reached, 1)
    return np.where(known, gaussian_filter(shared, width, mode="reflect"), np.nan)
