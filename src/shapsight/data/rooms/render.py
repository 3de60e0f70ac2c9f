"""Casting several rays through every pixel against all surfaces of a room."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt32
from numpy import ndarray

from shapsight.data.rooms.camera import Camera
from shapsight.data.rooms.surfaces import FIRST_SOLID, LEVELS, SCENE, Atlas

NEAR = 0.02
"""Metres: what is closer to the camera than this is not seen."""
SAMPLES = 2
"""Rays a pixel, across and down."""


class View(NamedTuple):
    """What the camera sees: colours 0 to 255, and the share of each pixel's rays that hit the track."""

    colour: Float[ndarray, "size size 3"]
    track: Float[ndarray, "size size"]


class Sheet(NamedTuple):
    """A surface in the eyes of one camera: five numbers of a ray, each linear in its slopes (x, y).

    They are the inverse depth where the ray meets the surface's plane; with it as a factor, the column and the row of
    the texel there; and with it as a factor, how far that is from the last column and row. Where all but the first are
    positive the ray meets the surface. Each is the sum of a part for the ray's column and one for its row.
    """

    number: int
    by_column: Float[ndarray, "5 1 columns"]
    by_row: Float[ndarray, "5 rows 1"]
    coarseness: float
    window: tuple[slice, slice]


def render(atlas: Atlas, camera: Camera) -> View:
    """The room as the camera sees it."""
    rays = camera.size * SAMPLES
    seen = np.zeros((rays, rays), np.uint32)
    nearest = np.full((rays, rays), 1e-3, np.float32)
    for sheet in _sheets(atlas, camera):
        _cast(atlas, sheet, seen, nearest)
    return _averaged(seen)


def _averaged(seen: UInt32[ndarray, "rays rays"]) -> View:
    """The mean over each pixel's rays, summed two bytes at a time."""
    low, high = np.uint32(0x00FF00FF), np.uint32(0xFFFF)
    sums = []
    for pair in (seen & low, (seen >> np.uint32(8)) & low):
        across = pair[:, ::2] + pair[:, 1::2]
        sums.append(across[::2] + across[1::2])
    red, green = sums[0] & high, sums[1] & high
    blue, kinds = sums[0] >> np.uint32(16), sums[1] >> np.uint32(16)
    colour = np.stack([red, green, blue], axis=-1).astype(np.float32) / SAMPLES**2
    return View(colour=colour, track=kinds.astype(np.float32) / SAMPLES**2 - SCENE)


def _sheets(atlas: Atlas, camera: Camera) -> list[Sheet]:
    """The surfaces that turn towards the camera and reach into its view; what ends nearest comes first."""
    to_corner = atlas.outline[:, 0] - camera.position
    # Distance of the plane, positive where the picture is seen from its front.
    distance = np.einsum("sk,sk->s", atlas.normal, to_corner)
    facing = np.flatnonzero((distance > 1e-6) | (atlas.is_two_sided & (distance < -1e-6)))
    low, high, farthest = _windows(atlas.outline[facing], camera)
    kept = np.flatnonzero((low < high).all(axis=1))
    kept = kept[np.argsort(farthest[kept], kind="stable")]
    order, low, high = facing[kept], low[kept], high[kept]

    lines = _lines(atlas, camera, order, to_corner[order], distance[order]).astype(np.float32)
    slopes = camera.slopes(SAMPLES)
    by_column = lines[..., 1:2] * slopes
    by_row = lines[..., :1] + lines[..., 2:] * slopes
    scale = np.prod(np.sum(atlas.scale[order] ** 2, axis=-1), axis=-1) ** 0.25
    coarseness = np.log2(scale / (camera.focal * SAMPLES * np.sqrt(np.abs(distance[order]))))
    return [
        Sheet(
            number,
            by_column[place, :, None, left:right],
            by_row[place, :, top:bottom, None],
            level,
            (slice(top, bottom), slice(left, right)),
        )
        for place, (number, level, (left, top), (right, bottom)) in enumerate(
            zip(order.tolist(), coarseness.tolist(), low.tolist(), high.tolist(), strict=True)
        )
    ]


def _lines(
    atlas: Atlas,
    camera: Camera,
    order: Int[ndarray, "sheets"],
    to_corner: Float[ndarray, "sheets 3"],
    distance: Float[ndarray, "sheets"],
) -> Float[ndarray, "sheets 5 3"]:
    """Weights of (1, x, y) for the five numbers of `Sheet`."""
    # A ray is forward + x right + y down: its parts in the order (1, x, y).
    parts = camera.axes[[2, 0, 1]].T
    scale = atlas.scale[order]
    closeness = (atlas.normal[order] @ parts / distance[:, None])[:, None]
    origin = -np.einsum("sik,sk->si", scale, to_corner)[..., None]
    place = scale @ parts + origin * closeness
    # A little less than the size, so that rounding does not step over the edge.
    return np.concatenate(
        [closeness, place, (atlas.shape[order, :, None] - 1e-3) * closeness - place], axis=1
    )


def _windows(
    outline: Float[ndarray, "surfaces 4 3"], camera: Camera
) -> tuple[Int[ndarray, "surfaces 2"], Int[ndarray, "surfaces 2"], Float[ndarray, "surfaces"]]:
    """First and last column and row of the rays that may meet each surface, and its greatest depth.

    The part of the surface that is not in front of the camera is cut off first.
    """
    corners = (outline - camera.position) @ camera.axes.T
    after = np.roll(corners, -1, axis=1)
    above, above_after = corners[..., 2] - NEAR, after[..., 2] - NEAR
    crosses = (above >= 0) != (above_after >= 0)
    share = above / np.where(crosses, above - above_after, 1)
    points = np.concatenate([corners, corners + share[..., None] * (after - corners)], axis=1)
    is_seen = np.concatenate([above >= 0, crosses], axis=1)
    depth = np.where(is_seen, points[..., 2], NEAR)
    pixels = (camera.size / 2 + camera.focal * points[..., :2] / depth[..., None]) * SAMPLES
    # A ray passes through the middle of its cell.
    low = np.where(is_seen[..., None], np.floor(pixels - 0.5), np.inf).min(axis=1)
    high = np.where(is_seen[..., None], np.ceil(pixels + 0.5), -np.inf).max(axis=1)
    limits = (0, camera.size * SAMPLES)
    return np.clip(low, *limits).astype(int), np.clip(high, *limits).astype(int), depth.max(axis=1)


def _cast(
    atlas: Atlas, sheet: Sheet, seen: UInt32[ndarray, "rays rays"], nearest: Float[ndarray, "rays rays"]
) -> None:
    """Draw one surface where it is nearer than what was drawn before."""
    numbers = sheet.by_row + sheet.by_column
    hit = numbers[0] > nearest[sheet.window]
    hit &= (numbers[1:] >= 0).all(axis=0)
    where = np.flatnonzero(hit)
    if not len(where):
        return
    near, column, row = (number.ravel().take(where) for number in numbers[:3])
    found = atlas.texels.take(_texel(atlas, sheet, near, column, row))
    if atlas.has_holes[sheet.number]:
        solid = found >= FIRST_SOLID
        where, near, found = where[solid], near[solid], found[solid]
    # From the place in the window to the place among all rays.
    rows, columns = sheet.window
    width, rays = hit.shape[1], len(seen)
    ray = where + where // width * (rays - width) + (rows.start * rays + columns.start)
    seen.ravel()[ray] = found
    nearest.ravel()[ray] = near


def _texel(
    atlas: Atlas,
    sheet: Sheet,
    closeness: Float[ndarray, "n"],
    column: Float[ndarray, "n"],
    row: Float[ndarray, "n"],
) -> Int[ndarray, "n"]:
    """Where in the atlas to look: at the level whose texels are as large as the area that a ray stands for.

    That area is depth³ / (focal² · distance of the plane): depth² / focal² seen head-on, and more when slanted.
    """
    exact = np.log2(closeness)
    exact *= -1.5
    exact += sheet.coarseness + 0.5
    level = np.minimum(np.maximum(exact, 0), LEVELS - 1).astype(np.int32)
    texel = int(atlas.last_row[sheet.number]) - (row / closeness).astype(np.int32)
    texel >>= level
    texel *= int(atlas.stride[sheet.number])
    texel += (column / closeness).astype(np.int32) >> level
    texel += int(atlas.start[sheet.number])
    return np.asarray(texel)
