"""Pictures of where a model looks: the mean of many heatmaps over the mean image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from numpy import ndarray
from torch import Tensor

from shapsight.drawing import style
from shapsight.drawing.panels import Heat, Kind, Look, Row, draw_rows
from shapsight.errors import DataError

SIZES = Kind(style.MASS, False, "|SHAP value|", ("attribution, of either sign",))


@dataclass(frozen=True, eq=False)
class Place:
    """Mean picture of some images and heatmaps over it: what is drawn in one row.

    Attributes
        caption: what the images have in common.
        picture: `(3, height, width)` in [0, 1].
        heats: by title, `(height, width)`, 0 or more.
        region: the region of interest, `(height, width)`, whose edge is drawn.
    """

    caption: str
    picture: Float[ndarray, "3 height width"]
    heats: dict[str, Float[ndarray, "height width"]]
    region: Bool[ndarray, "height width"] | None = None


@style.in_an_installed_font
def places_plot(
    places: Sequence[Place], *, unit: str = "units of the output", cmap: str | Colormap | None = None
) -> Figure:
    """Draw mean heatmaps over mean images, a row a place, all of a row on one scale.

        places_plot([Place("room_2, 40 images", picture, {"mean": mean, "standard deviation": spread})])

    `cmap` is that of `image_plot`. Raises `DataError` for nothing to draw.
    """
    if not places or not all(place.heats for place in places):
        raise DataError("places_plot was given no heatmap")
    rows = [
        Row(
            place.picture.transpose(1, 2, 0).clip(0, 1),
            place.caption,
            {},
            tuple(Heat(values, title, np.nan) for title, values in place.heats.items()),
            place.region,
        )
        for place in places
    ]
    kind = replace(SIZES, colours=style.see_through(cmap, SIZES.colours))
    return draw_rows(rows, Look(99.5, None, None, unit, kind=kind), None)


def mean_and_spread(
    sizes: Float[Tensor, "images height width"],
) -> tuple[Float[ndarray, "height width"], Float[ndarray, "height width"]]:
    """The mean and the standard deviation over images of |SHAP values|, one image at a time to spare memory."""
    total = np.zeros(sizes.shape[1:])
    squares = np.zeros_like(total)
    for image in sizes:
        values = image.cpu().double().numpy()
        total += values
        squares += values**2
    mean = total / len(sizes)
    return mean, np.sqrt((squares / len(sizes) - mean**2).clip(min=0))
