"""Rectangles that make solids: boxes, round posts, and cut-outs that cross. In a piece of furniture's own axes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from shapsight.data.rooms.materials import boards, clouds
from shapsight.data.rooms.sketch import Colour, Sketch, shade

TEXEL = 0.005
SIDES = 14
"""Flat sides of a round thing."""


@dataclass(frozen=True, eq=False)
class Panel:
    """A painted rectangle in the piece's own axes: right, front and up, metres, from the middle of its foot."""

    corner: tuple[float, float, float]
    across: tuple[float, float, float]
    down: tuple[float, float, float]
    sketch: Sketch
    glows: bool = False
    is_cutout: bool = False


Faces = Mapping[str, Sketch]


def block(
    size: tuple[float, float, float],
    colour: Colour,
    rng: np.random.Generator,
    *,
    at: tuple[float, float, float] = (0.0, 0.0, 0.0),
    faces: Faces | None = None,
    glows: bool = False,
) -> list[Panel]:
    """A box whose foot has its middle at `at`; `faces` replaces the plain front, back, left, right or top."""
    (width, depth, height), (x, y, z) = size, at
    left, right, back, front, top = x - width / 2, x + width / 2, y - depth / 2, y + depth / 2, z + height
    # Seen from its front, the piece's own right is on the left.
    sides = {
        "front": ((right, front, top), (-width, 0.0, 0.0), (0.0, 0.0, -height)),
        "back": ((left, back, top), (width, 0.0, 0.0), (0.0, 0.0, -height)),
        "right": ((right, back, top), (0.0, depth, 0.0), (0.0, 0.0, -height)),
        "left": ((left, front, top), (0.0, -depth, 0.0), (0.0, 0.0, -height)),
        "top": ((left, front, top), (width, 0.0, 0.0), (0.0, -depth, 0.0)),
        "bottom": ((left, back, z), (width, 0.0, 0.0), (0.0, depth, 0.0)),
    }
    panels = []
    for side, (corner, across, down) in sides.items():
        painted = (faces or {}).get(side)
        if painted is None:
            painted = plain(float(np.linalg.norm(across)), float(np.linalg.norm(down)), colour, rng)
        panels.append(Panel(corner, across, down, painted, glows=glows and side in (faces or {})))
    return panels


def plain(width: float, height: float, colour: Colour, rng: np.random.Generator) -> Sketch:
    """A face of one colour, a little worn, with darker edges."""
    sketch = Sketch(width, height, texel=TEXEL, paper=shade(colour, 0.8))
    rim = min(0.008, width / 6, height / 6)
    sketch.box(rim, rim, width - 2 * rim, height - 2 * rim, colour)
    rows, columns = sketch.colours.shape[:2]
    sketch.paste(sketch.colours * (1 + 0.025 * clouds(rows, columns, (25, 25), rng))[..., None], 0, 0)
    return sketch


def wooden(width: float, height: float, colour: Colour, rng: np.random.Generator) -> Sketch:
    """A face of wood, its grain along the width."""
    sketch = Sketch(width, height, texel=TEXEL, paper=colour)
    sketch.paste(boards(width, height, TEXEL, rng, colour=colour, board=9.0, length=99.0, contrast=0.0), 0, 0)
    return sketch


def tube(
    radius: float,
    height: float,
    colour: Colour,
    *,
    at: tuple[float, float, float] = (0.0, 0.0, 0.0),
    bands: tuple[tuple[float, float, Colour], ...] = (),
    top: Colour | None = None,
    narrowing: float = 0.0,
) -> list[Panel]:
    """A round post, pot or barrel; `bands` are (from height, to height, colour); the foot may be narrower."""
    x, y, z = at
    panels = []
    angles = np.arange(SIDES + 1) * 2 * np.pi / SIDES
    for number in range(SIDES):
        before, after = angles[number], angles[number + 1]
        start = np.array([np.cos(before), np.sin(before)]) * radius
        end = np.array([np.cos(after), np.sin(after)]) * radius
        across = end - start
        inwards = -(start + end) / 2 * narrowing
        width = float(np.hypot(*across))
        sketch = Sketch(width, height, texel=TEXEL, paper=colour)
        for low, high, band in bands:
            sketch.box(0, low, width, high - low, band)
        corner = (x + start[0], y + start[1], z + height)
        panels.append(Panel(corner, (*across, 0.0), (*inwards, -height), sketch))
    if top is not None:
        lid = Sketch(2 * radius, 2 * radius, texel=TEXEL)
        lid.disc(radius, radius, radius, top)
        corner = (x - radius, y + radius, z + height)
        panels.append(Panel(corner, (2 * radius, 0.0, 0.0), (0.0, -2 * radius, 0.0), lid, is_cutout=True))
    return panels


def crossed(
    draw: Callable[[], Sketch], width: float, height: float, base: float, sheets: int = 2
) -> list[Panel]:
    """Upright cut-outs that cross in the middle: leaves, chairs and other things too fine for boxes."""
    panels = []
    for sheet in range(sheets):
        angle = np.pi * (sheet + 0.25) / sheets
        along = np.array([np.cos(angle), np.sin(angle), 0.0]) * width
        corner = -along / 2 + [0, 0, base + height]
        panels.append(
            Panel(
                (float(corner[0]), float(corner[1]), float(corner[2])),
                (float(along[0]), float(along[1]), 0.0),
                (0.0, 0.0, -height),
                draw(),
                is_cutout=True,
            )
        )
    return panels
