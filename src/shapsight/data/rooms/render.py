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
    """A surface in the eyes of one camera.

    A ray with the slopes (x, y) meets the surface's plane where the inverse depth is
    `closeness @ (1, x, y)`, at the texel `origin + slant @ (1, x, y) / closeness` of `shape`, column first.
    """

    number: int
    closeness: list[float]
    slant: list[list[float]]
    origin: list[float]
    shape: list[int]
    coarseness: float
    window: tuple[slice, slice]


def render(atlas: Atlas, camera: Camera) -> View:
    """The room as the camera sees it."""
    rays = camera.size * SAMPLES
    x = camera.slopes(SAMPLES)
    seen = np.zeros((rays, rays), np.uint32)
    nearest = np.full((rays, rays), 1e-3, np.float32)
    for sheet in _sheets(atlas, camera):
        _cast(atlas, sheet, x, seen, nearest)
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
    low, high, farthest = _windows(atlas, camera)
    to_corner = atlas.outline[:, 0] - camera.position
    # Distance of the plane, positive where the picture is seen from its front.
    distance = np.einsum("sk,sk->s", atlas.normal, to_corner)
    is_seen = (distance > 1e-6) | (atlas.is_two_sided & (distance < -1e-6))
    is_seen &= (low < high).all(axis=1)
    order = np.flatnonzero(is_seen)[np.argsort(farthest[is_seen], kind="stable")]

    distance, scale = distance[order], atlas.scale[order]
    # A ray is forward + x right + y down: its parts in the order (1, x, y).
    parts = camera.axes[[2, 0, 1]].T
    texel = np.prod(np.sum(scale**2, axis=-1), axis=-1) ** -0.25
    coarseness = -np.log2(camera.focal * SAMPLES * texel * np.sqrt(np.abs(distance)))
    return [
        Sheet(number, closeness, slant, origin, shape, level, (slice(top, bottom), slice(left, right)))
        for number, closeness, slant, origin, shape, level, (left, top), (right, bottom) in zip(
            order.tolist(),
            (atlas.normal[order] @ parts / distance[:, None]).tolist(),
            (scale @ parts).tolist(),
            (-np.einsum("sik,sk->si", scale, to_corner[order])).tolist(),
            atlas.shape[order].tolist(),
            coarseness.tolist(),
            low[order].tolist(),
            high[order].tolist(),
            strict=True,
        )
    ]


def _windows(
    atlas: Atlas, camera: Camera
) -> tuple[Int[ndarray, "surfaces 2"], Int[ndarray, "surfaces 2"], Float[ndarray, "surfaces"]]:
    """First and last column and row of the rays that may meet each surface, and its greatest depth.

    The part of the surface that is not in front of the camera is cut off first.
    """
    corners = (atlas.outline - camera.position) @ camera.axes.T
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
    atlas: Atlas,
    sheet: Sheet,
    slopes: Float[ndarray, "rays"],
    seen: UInt32[ndarray, "rays rays"],
    nearest: Float[ndarray, "rays rays"],
) -> None:
    """Draw one surface where it is nearer than what was drawn before."""
    rows, columns = sheet.window
    x, y = slopes[None, columns], slopes[rows, None]
    one, right, down = sheet.closeness
    closeness = (one + down * y) + right * x
    hit = closeness > nearest[sheet.window]
    if not hit.any():
        return
    depth = 1 / np.maximum(closeness, 1e-3)
    place = []
    for (one, right, down), origin, end in zip(sheet.slant, sheet.origin, sheet.shape, strict=True):
        at = (one + down * y) + right * x
        at *= depth
        at += origin
        hit &= at >= 0
        hit &= at < end
        place.append(at)
    where = np.flatnonzero(hit)
    near = closeness.ravel()[where]
    column, row = (at.ravel()[where].astype(np.int32) for at in place)
    found = atlas.texels[_texel(atlas, sheet, near, column, row)]
    if atlas.has_holes[sheet.number]:
        solid = found >= FIRST_SOLID
        where, near, found = where[solid], near[solid], found[solid]
    # From the place in the window to the place among all rays.
    width, rays = hit.shape[1], len(slopes)
    ray = where + where // width * (rays - width) + (rows.start * rays + columns.start)
    seen.ravel()[ray] = found
    nearest.ravel()[ray] = near


def _texel(
    atlas: Atlas,
    sheet: Sheet,
    closeness: Float[ndarray, "n"],
    column: Int[ndarray, "n"],
    row: Int[ndarray, "n"],
) -> Int[ndarray, "n"]:
    """Where in the atlas to look: at the level whose texels are as large as the area that a ray stands for.

    That area is depth³ / (focal² · distance of the plane): depth² / focal² seen head-on, and more when slanted.
    """
    level = np.log2(closeness)
    level *= -1.5
    level += sheet.coarseness + 0.5
    level = np.clip(level, 0, LEVELS - 1).astype(np.int32)
    texel = (int(atlas.last_row[sheet.number]) - row) >> level
    texel *= int(atlas.stride[sheet.number])
    texel += column >> level
    texel += int(atlas.start[sheet.number])
    return np.asarray(texel)
