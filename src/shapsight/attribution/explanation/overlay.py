"""One heatmap over its image, as an array."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import UInt8
from matplotlib.colors import Colormap, to_rgb
from numpy import ndarray

from shapsight.attribution.explanation import Detail, Explanation
from shapsight.attribution.explanation.heatmaps import heats_of, is_per_area, kind_of, pictures_of
from shapsight.attribution.explanation.slices import chosen_slices
from shapsight.drawing import style
from shapsight.drawing.panels import Look, paled, scale_of


def overlay(
    explanation: Explanation,
    image: int = 0,
    output: int | str = 0,
    *,
    detail: Detail = "auto",
    cmap: str | Colormap | None = None,
    hide_noise: bool = True,
    scale_percentile: float = 99.5,
    limit: float | None = None,
    slices: int | None = None,
    bands: int | Sequence[int] | None = None,
) -> UInt8[ndarray, "height width 3"]:
    """Draw one image's heatmap over a pale copy of it, as `image_plot` does: red, green and blue from 0 to 255.

        overlay(explanation, 3, "x", detail="smooth")

    The array has the image's size; a coarser heatmap is enlarged. Of a volume one slice is drawn, by default that with
    the most absolute attribution. The options are those of `image_plot`.
    Raises `ExplainerError` for an image, output, detail or colour map that is not there.
    """
    one = explanation.select(image, output)
    picture = pictures_of(one, None, bands)[0][0]
    per_area = is_per_area(one, detail)
    values = heats_of(one, detail, per_area, hide_noise)[0, 0]
    about = one.outline_of(0, 0)
    look = Look(scale_percentile, None, None, "", limit, kind_of(cmap, per_area))
    if values.ndim == 3:
        (number,) = chosen_slices(values[None], slices, most=1)[:1]
        values, picture = values[number], picture[number]
        about = None if about is None else about[number]
    scale = scale_of([values], look)
    values = cv2.resize(values, picture.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    place = (values - scale.lowest) / (scale.limit - scale.lowest)
    colours = scale.kind.colours(np.ma.masked_invalid(place))
    opacity = colours[..., 3:]
    drawn = opacity * colours[..., :3] + (1 - opacity) * paled(picture)[..., None]
    pixels = np.asarray((255 * drawn).round(), dtype=np.uint8)
    return pixels if about is None else _edged(pixels, about.cpu().numpy())


def _edged(pixels: UInt8[ndarray, "height width 3"], region: ndarray) -> UInt8[ndarray, "height width 3"]:
    """With the edge of what the output is about."""
    mask = cv2.resize(region.astype(np.uint8), pixels.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    contours, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    drawn, thick = np.ascontiguousarray(pixels), max(1, round(min(mask.shape) / 200))
    for colour, width in ((0.0, 0.0, 0.0), 3 * thick), (to_rgb(style.TARGET), thick):
        cv2.drawContours(drawn, contours, -1, tuple(round(255 * part) for part in colour), width)
    return drawn
