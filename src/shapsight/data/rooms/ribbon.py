"""What the track looks like from above: a dark road between red tapes and pale verges, a dashed middle line."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray

from shapsight.data.rooms.materials import clouds
from shapsight.data.rooms.sketch import Colour, Sketch
from shapsight.data.rooms.track import HALF_WIDTH, ROAD_HALF_WIDTH, TAPE_HALF_WIDTH, track

TEXEL = 0.0025
ROAD: Colour = (62, 72, 70)
TAPE: Colour = (206, 62, 40)
VERGE: Colour = (206, 208, 210)
DASH_HALF_WIDTH = 0.009
DASHES = 104
"""Dashes in a lap; each is 0.6 of the way to the next."""


class Ribbon(NamedTuple):
    """The track's picture; `corner` is the x and y of its upper left corner, metres."""

    corner: tuple[float, float]
    colours: UInt8[ndarray, "rows columns 3"]
    solid: Bool[ndarray, "rows columns"]


@functools.cache
def ribbon() -> Ribbon:
    """The track seen from above, y upwards; everything beside it is a hole."""
    line = track()
    low, high = line.points.min(axis=0) - HALF_WIDTH - 0.02, line.points.max(axis=0) + HALF_WIDTH + 0.02
    sketch = Sketch(*(high - low), texel=TEXEL)
    for half_width, colour in ((HALF_WIDTH, VERGE), (TAPE_HALF_WIDTH, TAPE), (ROAD_HALF_WIDTH, ROAD)):
        _strip(sketch, low, half_width, colour, 0.0, 1.0)
    for dash in range(DASHES):
        _strip(sketch, low, DASH_HALF_WIDTH, TAPE, dash / DASHES, (dash + 0.6) / DASHES)
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
