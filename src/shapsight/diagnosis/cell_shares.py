"""Heatmaps on a coarse grid: the share of attribution in each cell."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor


def cell_shares(
    heatmaps: Float[Tensor, "images height width"] | Float[ndarray, "images height width"], cells: int
) -> Float[ndarray, "images cells cells"]:
    """The share of absolute attribution in each cell of a grid; an image without attribution is NaN.

        cell_shares(explanation.heatmap("abs")[:, 0], 8)      # (images, 8, 8), each sums to 1

    Images with fewer pixels than cells keep their pixels. Cells differ by a pixel where the side is no multiple.
    """
    sizes = np.abs(np.asarray(heatmaps, dtype=np.float64))
    rows, columns = (np.arange(min(cells, side)) * side // min(cells, side) for side in sizes.shape[1:])
    summed = np.add.reduceat(np.add.reduceat(sizes, rows, 1), columns, 2)
    total = summed.sum((1, 2), keepdims=True)
    shares = np.full_like(summed, np.nan)
    np.divide(summed, total, out=shares, where=total > 0)
    return shares
