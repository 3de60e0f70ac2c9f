"""Light that stands still: lamps, darker corners and soft shadows, worked out once for every surface."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from shapsight.data.rooms.materials import stretched
from shapsight.data.rooms.scene import Piece, Room

CELL = 0.08
"""Metres between the points at which light is worked out; it changes slowly."""
MINIMUM_CELLS = 4


def light_on(
    room: Room,
    corner: Float[ndarray, "3"],
    across: Float[ndarray, "3"],
    down: Float[ndarray, "3"],
    shape: tuple[int, int],
    shadows: Sequence[Piece] = (),
) -> Float[ndarray, "rows columns 3"]:
    """How much red, green and blue light falls on each texel of a rectangle; 1 shows its own colour.

    Direct light is Lambert's cosine with a gentle fall with distance. `shadows` are the pieces of furniture
    that darken the rectangle where they stand close.
    """
    lengths = np.linalg.norm(down), np.linalg.norm(across)
    rows, columns = (max(MINIMUM_CELLS, int(length / CELL)) for length in lengths)
    v, u = (np.arange(rows) + 0.5) / rows, (np.arange(columns) + 0.5) / columns
    points = corner + v[:, None, None] * down + u[None, :, None] * across
    # The picture is seen from the side that its normal points away from.
    normal = -np.cross(across, down)
    normal /= np.linalg.norm(normal)
    light = _direct(room, points, normal) + np.asarray(room.ambient) * (0.93 + 0.07 * normal[2])
    light *= (_corners(room, points) * _shadows(points, shadows))[..., None]
    return np.stack([stretched(light[..., part], *shape) for part in range(3)], axis=-1)


def _direct(
    room: Room, points: Float[ndarray, "r c 3"], normal: Float[ndarray, "3"]
) -> Float[ndarray, "r c 3"]:
    total = np.zeros(points.shape)
    for lamp in room.lamps:
        towards = np.asarray(lamp.at) - points
        distance = np.linalg.norm(towards, axis=-1)
        facing = np.clip(towards @ normal / distance, 0, 1)
        strength = lamp.power * facing / (0.35 + 0.65 * distance) ** 1.6
        total += strength[..., None] * np.asarray(lamp.colour)
    return total


def _corners(room: Room, points: Float[ndarray, "r c 3"]) -> Float[ndarray, "r c"]:
    """Ambient occlusion: darker towards the planes of the room that the rectangle does not lie in."""
    half_width, half_depth, height = room.size[0] / 2, room.size[1] / 2, room.size[2]
    x, y, z = np.moveaxis(points, -1, 0)
    factor = np.ones(x.shape)
    for distance in (half_width - x, half_width + x, half_depth - y, half_depth + y, z, height - z):
        if distance.max() > 0.01:
            factor *= 1 - 0.34 * np.exp(-np.maximum(distance, 0) / 0.2)
    return factor


def _shadows(points: Float[ndarray, "r c 3"], pieces: Sequence[Piece]) -> Float[ndarray, "r c"]:
    """Soft shadows around the feet of furniture, and on the wall behind it."""
    factor = np.ones(points.shape[:2])
    for piece in pieces:
        turn = np.deg2rad(piece.turn)
        front = np.array([np.cos(turn), np.sin(turn)])
        from_middle = points[..., :2] - piece.at
        deep = np.abs(from_middle @ front) - piece.size[1] / 2
        wide = np.abs(from_middle @ [front[1], -front[0]]) - piece.size[0] / 2
        outside = np.hypot(np.maximum(deep, 0), np.maximum(wide, 0))
        above = np.maximum(points[..., 2] - piece.size[2], 0)
        factor *= 1 - 0.62 * np.exp(-np.hypot(outside, above) / 0.11)
    return factor
