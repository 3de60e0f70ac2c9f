"""The track's picture from above: a road between two tapes and two verges, a dashed middle line if it has one."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray

from shapsight.data.rooms.materials import clouds
from shapsight.data.rooms.scene import Look
from shapsight.data.rooms.sketch import Colour, Sketch
from shapsight.data.rooms.track import HALF_WIDTH, ROAD_HALF_WIDTH, track

TEXEL = 0.0025
DASH_HALF_WIDTH = 0.009
DASH = 0.6
"""Of the way to the next dash."""


class Ribbon(NamedTuple):
    """The track's picture; `corner` is the x and y of its upper left corner, metres."""

    corner: tuple[float, float]
    colours: UInt8[ndarray, "rows columns 3"]
    solid: Bool[ndarray, "rows columns"]


@functools.cache
def ribbon(look: Look) -> Ribbon:
    """The track seen from above, y upwards; everything beside it is a hole."""
    line = track()
    low, high = line.points.min(axis=0) - HALF_WIDTH - 0.02, line.points.max(axis=0) + HALF_WIDTH + 0.02
    sketch = Sketch(*(high - low), texel=TEXEL)
    tape = ROAD_HALF_WIDTH + look.tape_width
    for half_width, colour in ((HALF_WIDTH, look.verge), (tape, look.tape), (ROAD_HALF_WIDTH, look.road)):
        _strip(sketch, low, half_width, colour, 0.0, 1.0)
    for dash in range(look.dashes):
        _strip(sketch, low, DASH_HALF_WIDTH, look.tape, dash / look.dashes, (dash + DASH) / look.dashes)
    rows, columns = sketch.solid.shape
    rng = np.random.default_rng(0)
    worn = 1 + 0.045 * clouds(rows, columns, (60, 60), rng) + 0.03 * clouds(rows, columns, (3, 3), rng)
    colours = (sketch.colours * worn[..., None]).astype(np.uint8)
    return Ribbon((float(low[0]), float(high[1])), colours, sketch.solid)


def _strip(
    sketch: Sketch, low: Float[ndarray, "2"], half_width: float, colour: Colour, start: float, end: float
) -> None:
    """Paint a stretch of the lap, in pieces so short that none meets itself."""
    pieces = max(1, round((end - start) * 40))
    for piece in range(pieces):
        along = start + (end - start) * (piece + np.linspace(0, 1, 24)) / pieces
        left, right = (track().beside(along, side) - low for side in (half_width, -half_width))
        sketch.shape([(x, y) for x, y in np.concatenate([left, right[::-1]]).tolist()], colour)
