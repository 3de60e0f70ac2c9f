"""Geometry: the mirror image, with the places in it."""

from __future__ import annotations

from torchvision.transforms import v2

from shapsight.data.remedies.picture import checked
from shapsight.data.remedies.remedy import Remedy


class Flip(v2.RandomHorizontalFlip):  # type: ignore[misc]  # torchvision has no types
    """The mirror image, for a share of the samples: image, masks and points move; for symmetric tasks only.

        Flip()(image, mask, points)         # half of the samples
        Flip(1.0)(points)                   # x of every point is width - 1 - x, as pixel centres count

    A target that is a place in the image moves where it is given as points: see `as_points`. Plain numbers stay as
    they are. Raises `DataError` for a share outside [0, 1].
    """

    def __init__(self, share: float = 0.5) -> None:
        super().__init__(checked(share))


REMEDIES = (
    Remedy(
        "flip",
        "shows the mirror image of half of the images, with mirrored targets; for symmetric tasks only",
        region="moved",
        make=lambda _: Flip(),
        options=("mirrored",),
    ),
)
