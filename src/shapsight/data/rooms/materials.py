"""What floors, walls and ceilings are made of: procedural pictures of any size.

A material is a function `(width, height, texel, rng, **options) -> picture`, in metres; MATERIALS names them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from PIL import Image

from shapsight.data.rooms.sketch import Colour

Picture = Float[ndarray, "rows columns 3"]


def stretched(values: Float[ndarray, "r c"], rows: int, columns: int) -> Float[ndarray, "rows columns"]:
    """A small array of numbers, smoothly enlarged."""
    small = Image.fromarray(np.asarray(values, dtype=np.float32))
    return np.asarray(small.resize((columns, rows), Image.Resampling.BILINEAR))


def clouds(
    rows: int, columns: int, cell: tuple[float, float], rng: np.random.Generator
) -> Float[ndarray, "rows columns"]:
    """Smooth noise around 0 whose spots are `cell` = (rows, columns) texels large."""
    few = (max(2, round(rows / cell[0])), max(2, round(columns / cell[1])))
    return stretched(rng.standard_normal(few, dtype=np.float32), rows, columns)


def _grid(width: float, height: float, texel: float) -> tuple[ndarray, ndarray]:
    """Metres from the left edge, as a row, and from the upper edge, as a column."""
    columns, rows = max(2, round(width / texel)), max(2, round(height / texel))
    across = (np.arange(columns, dtype=np.float32) + 0.5) * texel
    return across[None, :], (np.arange(rows, dtype=np.float32)[:, None] + 0.5) * texel


def _coloured(colour: Colour, tone: Float[ndarray, "rows columns"]) -> Picture:
    return np.asarray(np.asarray(colour) * tone[..., None], dtype=np.float32)


def paint(width: float, height: float, texel: float, rng: np.random.Generator, *, colour: Colour) -> Picture:
    """A wall painted with a roller, a little uneven."""
    x, y = _grid(width, height, texel)
    rows, columns = y.size, x.size
    tone = 1 + 0.018 * clouds(rows, columns, (0.5 / texel, 0.5 / texel), rng)
    tone = tone + 0.008 * clouds(rows, columns, (0.02 / texel, 0.03 / texel), rng)
    return _coloured(colour, tone)


def two_tone(
    width: float,
    height: float,
    texel: float,
    rng: np.random.Generator,
    *,
    colour: Colour,
    lower: Colour,
    stripe: Colour,
    up_to: float,
) -> Picture:
    """A painted wall with another colour up to a stripe, as in schools and garages."""
    wall = paint(width, height, texel, rng, colour=colour)
    above = height - _grid(width, height, texel)[1][:, 0]
    wall[above < up_to] *= np.asarray(lower) / np.asarray(colour, dtype=np.float32)
    wall[np.abs(above - up_to) < 0.03] = stripe
    return wall


def bricks(
    width: float, height: float, texel: float, rng: np.random.Generator, *, colour: Colour, mortar: Colour
) -> Picture:
    """Brickwork in running bond."""
    x, y = _grid(width, height, texel)
    row = (y / 0.08).astype(int)
    along = x + 0.125 * (row % 2)
    stone = (along / 0.25).astype(int)
    tones = 1 + 0.13 * rng.standard_normal((row.max() + 1, stone.max() + 2), dtype=np.float32)
    tone = tones[row, stone] + 0.05 * clouds(y.size, x.size, (3, 3), rng)
    is_joint = (along % 0.25 < 0.012) | (y % 0.08 < 0.012)
    joints = np.asarray(mortar, np.float32) * (1 + 0.04 * clouds(y.size, x.size, (4, 4), rng))[..., None]
    return np.where(is_joint[..., None], joints, _coloured(colour, tone))


def boards(
    width: float,
    height: float,
    texel: float,
    rng: np.random.Generator,
    *,
    colour: Colour,
    board: float = 0.14,
    length: float = 1.3,
    contrast: float = 0.09,
) -> Picture:
    """Wooden boards along the width, with grain and dark joints."""
    x, y = _grid(width, height, texel)
    row = (y / board).astype(int)
    along = x + rng.uniform(0, length, row.max() + 1).astype(np.float32)[row]
    piece = (along / length).astype(int)
    tones = 1 + contrast * rng.standard_normal((row.max() + 1, piece.max() + 1), dtype=np.float32)
    grain = 0.05 * clouds(y.size, x.size, (2, 90), rng) + 0.03 * clouds(y.size, x.size, (8, 260), rng)
    is_joint = (y % board < 0.004) | (along % length < 0.005)
    return _coloured(colour, np.where(is_joint, 0.62, tones[row, piece] + grain))


def tiles(
    width: float,
    height: float,
    texel: float,
    rng: np.random.Generator,
    *,
    colour: Colour,
    grout: Colour,
    side: float = 0.4,
    other: Colour | None = None,
) -> Picture:
    """Square tiles with grout; with `other`, a chessboard of two colours."""
    x, y = _grid(width, height, texel)
    column, row = (x / side).astype(int), (y / side).astype(int)
    tones = 1 + 0.035 * rng.standard_normal((row.max() + 1, column.max() + 1), dtype=np.float32)
    speckle = 0.03 * clouds(y.size, x.size, (3, 3), rng) + 0.03 * clouds(y.size, x.size, (40, 40), rng)
    face = _coloured(colour, tones[row, column] + speckle)
    if other is not None:
        second = _coloured(other, tones[row, column] + speckle)
        face = np.where(((row + column) % 2 == 1)[..., None], second, face)
    is_joint = (x % side < 0.006) | (y % side < 0.006)
    return np.where(is_joint[..., None], np.asarray(grout, np.float32), face)


def carpet(
    width: float,
    height: float,
    texel: float,
    rng: np.random.Generator,
    *,
    colour: Colour,
    fleck: Colour,
    side: float = 0.5,
) -> Picture:
    """Carpet tiles: flecked, their pile turned from tile to tile."""
    x, y = _grid(width, height, texel)
    turned = ((x / side).astype(int) + (y / side).astype(int)) % 2
    tone = 1 + 0.035 * (2 * turned - 1) + 0.07 * clouds(y.size, x.size, (2, 2), rng)
    pile = _coloured(colour, tone)
    return np.where((clouds(y.size, x.size, (3, 5), rng) > 1.1)[..., None], _coloured(fleck, tone), pile)


def concrete(
    width: float, height: float, texel: float, rng: np.random.Generator, *, colour: Colour
) -> Picture:
    """Poured concrete: stains of all sizes, and joints every two metres."""
    x, y = _grid(width, height, texel)
    tone = np.ones((y.size, x.size), np.float32)
    for metres, strength in ((1.1, 0.06), (0.3, 0.05), (0.08, 0.025), (0.01, 0.03)):
        tone += strength * clouds(y.size, x.size, (metres / texel, metres / texel), rng)
    is_joint = (x % 2.0 < 0.012) | (y % 2.0 < 0.012)
    return _coloured(colour, np.where(is_joint, 0.6, tone))


def panels(
    width: float,
    height: float,
    texel: float,
    rng: np.random.Generator,
    *,
    colour: Colour,
    side: float = 0.6,
    joint: float = 0.82,
) -> Picture:
    """Square panels with a thin shadow between them: a hung ceiling, or cladding."""
    x, y = _grid(width, height, texel)
    tone = 1 + 0.02 * clouds(y.size, x.size, (3, 3), rng)
    return _coloured(colour, np.where((x % side < 0.02) | (y % side < 0.02), joint, tone))


def stripes(
    width: float,
    height: float,
    texel: float,
    rng: np.random.Generator,
    *,
    colour: Colour,
    other: Colour,
    pitch: float = 0.16,
) -> Picture:
    """Wallpaper with upright stripes."""
    x, _ = _grid(width, height, texel)
    wall = paint(width, height, texel, rng, colour=colour)
    is_other = x[0] % pitch < pitch / 2
    wall[:, is_other] *= np.asarray(other) / np.asarray(colour, dtype=np.float32)
    return wall


MATERIALS: dict[str, Callable[..., Picture]] = {
    material.__name__: material
    for material in (paint, two_tone, bricks, boards, tiles, carpet, concrete, panels, stripes)
}
