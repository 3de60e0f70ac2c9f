"""What a room is made of when it is drawn: flat rectangles with a picture on them, packed for quick look-ups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8, UInt32
from numpy import ndarray
from PIL import Image

LEVELS = 7
HOLE, SCENE, TRACK = 0, 1, 2
"""The last byte of a texel: what a ray meets there."""
ROUND = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
"""The corners of a rectangle, as shares of its two sides."""
FIRST_SOLID = np.uint32(SCENE << 24)


@dataclass(frozen=True, eq=False)
class Surface:
    """A rectangle in the world with a picture on it.

    Attributes
        corner: where the picture's upper left corner lies, metres.
        across, down: from there along the picture's upper and left edge to the next corners, at a right angle.
        picture: colours; `solid`: where the rectangle has no hole.
        is_track: whether these are the pixels that a driver should use.
        is_two_sided: seen from both sides; else only from where the picture is not mirrored.
    """

    corner: Float[ndarray, "3"]
    across: Float[ndarray, "3"]
    down: Float[ndarray, "3"]
    picture: UInt8[ndarray, "rows columns 3"]
    solid: Bool[ndarray, "rows columns"] | None = None
    is_track: bool = False
    is_two_sided: bool = False


@dataclass(frozen=True, eq=False)
class Atlas:
    """All surfaces of a room, their pictures packed at several resolutions into one array of texels.

    A texel is red, green, blue and HOLE, SCENE or TRACK in one 32-bit number. The picture of surface s starts at
    `start[s]`, upside down and under its ever smaller copies, so that with `w = last_row[s] - row` the texel of
    level l is number `(w >> l) * stride[s] + (column >> l)`: no table of levels is needed.

    `shape` is columns and rows. `outline` goes round from the upper left corner. `normal` has length 1 and points
    away from who sees the picture. `scale @ (point - outline[:, 0])` is the column and row of a point.
    """

    texels: UInt32[ndarray, "texels"]
    start: Int[ndarray, "surfaces"]
    stride: Int[ndarray, "surfaces"]
    last_row: Int[ndarray, "surfaces"]
    shape: Int[ndarray, "surfaces 2"]
    outline: Float[ndarray, "surfaces 4 3"]
    normal: Float[ndarray, "surfaces 3"]
    scale: Float[ndarray, "surfaces 2 3"]
    has_holes: Bool[ndarray, "surfaces"]
    is_two_sided: Bool[ndarray, "surfaces"]


def pack(surfaces: Sequence[Surface]) -> Atlas:
    """Put the pictures of all surfaces, and their smaller copies, into one atlas."""
    pyramids = [_pyramid(surface) for surface in surfaces]
    corner = np.array([surface.corner for surface in surfaces], dtype=float)
    sides = np.array([[surface.across, surface.down] for surface in surfaces], dtype=float)
    shape = np.array([surface.picture.shape[1::-1] for surface in surfaces])
    normal = np.cross(sides[:, 0], sides[:, 1])
    return Atlas(
        texels=np.concatenate([pyramid.ravel() for pyramid in pyramids]),
        start=np.cumsum([0] + [pyramid.size for pyramid in pyramids[:-1]]),
        stride=np.array([pyramid.shape[1] for pyramid in pyramids]),
        last_row=np.array([len(pyramid) - 1 for pyramid in pyramids]),
        shape=shape,
        outline=corner[:, None] + ROUND @ sides,
        normal=normal / np.linalg.norm(normal, axis=-1, keepdims=True),
        scale=shape[..., None] * sides / np.sum(sides**2, axis=-1, keepdims=True),
        has_holes=np.array([surface.solid is not None for surface in surfaces]),
        is_two_sided=np.array([surface.is_two_sided for surface in surfaces]),
    )


def _pyramid(surface: Surface) -> UInt32[ndarray, "rows columns"]:
    """The picture over its copies of half, a quarter, ... the size, all upside down; see `Atlas`."""
    rows, columns = surface.picture.shape[:2]
    step = 2 ** (LEVELS - 1)
    height = -(-rows // step) * step
    packed = np.zeros((2 * height, columns), np.uint32)
    image = Image.fromarray(surface.picture).convert("RGBA")
    if surface.solid is not None:
        image.putalpha(Image.fromarray(surface.solid))
    # Colours weighted by solidity: a hole's colour never bleeds into what stands beside it.
    weighted = image.convert("RGBa")
    for level in range(LEVELS):
        texels = np.array((weighted.reduce(2**level) if level else weighted).convert("RGBA"))
        texels[..., 3] = np.where(texels[..., 3] >= 128, TRACK if surface.is_track else SCENE, HOLE)
        last = 2 * height >> level
        packed[last - len(texels) : last, : texels.shape[1]] = texels.view("<u4")[::-1, :, 0]
    return packed
