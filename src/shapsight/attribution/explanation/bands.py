"""The channels of an image: which of them are drawn, and what each contributes, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Shaped, UInt8
from numpy import ndarray
from torch import Tensor

from shapsight.errors import ExplainerError

if TYPE_CHECKING:
    import pandas as pd

    from shapsight.attribution.explanation.explanation import Explanation

ENDS = (2, 98)  # percentiles of a band that become black and white, as maps of satellites are drawn


def bands_table(explanation: Explanation, names: Sequence[str] | None) -> pd.DataFrame:
    """See `Explanation.bands_table`."""
    import pandas as pd

    channels = explanation.values.shape[2]
    given = explanation.images.shape[1] if explanation.images.dim() > 1 else channels
    if channels == 1 != given:
        raise ExplainerError(
            f"{explanation.method or 'this explanation'} has one value for all {given} bands of a pixel, as it hides "
            "whole pixels: explain with DeepShap or GradientShap to tell bands apart"
        )
    called = [f"band {number}" for number in range(channels)] if names is None else list(map(str, names))
    if len(called) != channels:
        raise ExplainerError(f"{len(called)} names were given for {channels} bands")
    values = explanation.values.detach().double().flatten(3).cpu()
    sums, sizes = values.nansum(3), values.abs().nansum(3)
    shares = sizes / sizes.sum(2, keepdim=True).clamp_min(1e-300)
    rows = [
        (
            image,
            name,
            band,
            called[band],
            float(sums[image, output, band]),
            float(shares[image, output, band]),
        )
        for image, outputs in enumerate(explanation.names())
        for output, name in enumerate(outputs)
        for band in range(channels)
    ]
    return pd.DataFrame(rows, columns=["image", "output", "band", "name", "value", "share"])


def in_colour(
    images: Float[ndarray, "images channels *sides"], bands: int | Sequence[int] | None = None
) -> tuple[Float[ndarray, "..."], str]:
    """Images to draw, `(images, *sides, 3)` or grey `(images, *sides)`, in their own range; and what was done.

        in_colour(scenes, (3, 2, 1))     # bands 3, 2 and 1 as red, green and blue, each stretched
        in_colour(scenes)                # of more than four bands: their mean

    Raises `ExplainerError` for bands that are not there, or other than one or three.
    """
    channels = images.shape[1]
    if bands is not None:
        chosen = _checked(bands, channels)
        colours = np.moveaxis(_stretched(images[:, chosen]), 1, -1)
        if len(chosen) == 1:
            return colours[..., 0], f"image: band {chosen[0]}"
        return colours, f"image: bands {', '.join(map(str, chosen))} as red, green, blue"
    if channels in (3, 4):
        return np.moveaxis(images[:, :3], 1, -1), ""
    if channels == 1:
        return images[:, 0], ""
    return _stretched(images).mean(1), f"image: the mean of its {channels} bands (bands= chooses)"


def eight_bits(
    image: Shaped[Tensor, "channels *sides"], bands: int | Sequence[int] | None = None
) -> tuple[UInt8[ndarray, "*sides 3"], str]:
    """One image to draw, from 0 to 255, and which bands these are, if not all.

    An image of another range than 0 to 1 is stretched to it, NaN is black.
    """
    images = image.detach().cpu().double().nan_to_num(0, 1, 0).numpy()[None]
    colours, drawn = in_colour(images, bands)
    picture = colours[0] if colours.ndim == images.ndim else np.repeat(colours[0][..., None], 3, -1)
    low, high = float(picture.min()), float(picture.max())
    if low < -1e-3 or high > 1 + 1e-3:
        picture = (picture - low) / max(high - low, 1e-12)
    return np.ascontiguousarray((picture * 255).round().clip(0, 255).astype(np.uint8)), drawn


def _checked(bands: Any, channels: int) -> list[int]:
    try:
        chosen = [int(band) for band in ([bands] if np.ndim(bands) == 0 else bands)]
    except (TypeError, ValueError) as error:
        raise ExplainerError(f"bands={bands!r}: give one channel's number, or three") from error
    if len(chosen) not in (1, 3) or not all(0 <= band < channels for band in chosen):
        raise ExplainerError(
            f"bands={bands!r}: give one channel's number, or three for red, green and blue, from 0 to {channels - 1}"
        )
    return chosen


def _stretched(images: Float[ndarray, "images channels *sides"]) -> Float[ndarray, "images channels *sides"]:
    """Each band of each image from its 2nd to its 98th percentile to 0 to 1."""
    sides = tuple(range(2, images.ndim))
    low, high = np.percentile(images, ENDS, axis=sides, keepdims=True)
    return np.asarray(((images - low) / np.where(high > low, high - low, 1)).clip(0, 1))
