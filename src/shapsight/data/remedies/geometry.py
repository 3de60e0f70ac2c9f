"""Geometry: the mirror image, with the places in it."""

from __future__ import annotations

from torchvision.transforms import v2

from shapsight.data.remedies.remedy import Remedy


def flip(share: float = 0.5) -> v2.Transform:
    """The mirror image, for a share of the samples: image, region and points move; for symmetric tasks only.

        flip(1.0)(sample)      # x of every point is width - 1 - x, as pixel centres count

    A target in [-1, 1] that is a place across the image changes its sign.
    """
    return v2.RandomHorizontalFlip(share)


REMEDIES = (
    Remedy(
        "flip",
        "shows the mirror image of half of the images, with mirrored targets; for symmetric tasks only",
        region="moved",
        make=lambda _: flip(),
        options=("mirrored",),
    ),
)
