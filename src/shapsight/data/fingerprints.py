"""Perceptual hashes: 64 bits that stay alike where pictures do, to find exact and near duplicates."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn import functional as F

SIDE = 32
CHUNK = 4096
NEAR_BITS = 6  # of 64 that may differ
NEAR_PIXELS = 4.0  # mean difference of the thumbnails, in grey levels of 255


def thumbnails(images: UInt8[Tensor, "images 3 height width"]) -> Float[Tensor, "images 32 32"]:
    """Grey pictures of 32 × 32 pixels, 0 to 255."""
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    parts = [
        F.interpolate(
            (images[start : start + CHUNK].float() * weights).sum(1, keepdim=True),
            (SIDE, SIDE),
            mode="bilinear",
            antialias=True,
        )
        for start in range(0, len(images), CHUNK)
    ]
    return torch.cat(parts)[:, 0] if parts else torch.empty(0, SIDE, SIDE)


def fingerprints(thumbs: Float[Tensor, "images 32 32"]) -> Float[Tensor, "images 64"]:
    """64 signs of each picture: which of its 8 × 8 lowest cosine frequencies lie above their median (pHash)."""
    steps = torch.arange(SIDE)
    cosines = torch.cos(torch.pi / SIDE * (steps + 0.5) * torch.arange(1, 9)[:, None])
    low = (cosines @ thumbs @ cosines.T).flatten(1)
    return torch.where(low > low.median(1, keepdim=True).values, 1.0, -1.0)


def near_pairs(
    thumbs: Float[Tensor, "images 32 32"], one: Int[np.ndarray, "n"], other: Int[np.ndarray, "m"]
) -> Float[np.ndarray, "pairs 3"]:
    """Pairs of rows of `one` and `other` that look the same, with their mean difference in grey levels.

    The fingerprints differ in 6 bits at most and the thumbnails by 4 grey levels; every pair is compared.
    """
    signs = fingerprints(thumbs)
    found = [np.empty((0, 3))]
    for start in range(0, len(one), CHUNK):
        rows = one[start : start + CHUNK]
        agreeing = signs[rows] @ signs[other].T  # 64 less twice the number of bits that differ
        for pairs in torch.split((agreeing >= 64 - 2 * NEAR_BITS).nonzero(), CHUNK):
            first, second = rows[pairs[:, 0].numpy()], other[pairs[:, 1].numpy()]
            difference = (thumbs[first] - thumbs[second]).abs().mean((1, 2)).numpy()
            found.append(np.stack([first, second, difference], axis=1)[difference <= NEAR_PIXELS])
    return np.concatenate(found)
