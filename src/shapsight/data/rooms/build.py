"""From the description of a room to the lit surfaces that are drawn."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from shapsight.data.rooms.decor import DECOR
from shapsight.data.rooms.furniture import FURNITURE
from shapsight.data.rooms.light import light_on
from shapsight.data.rooms.materials import MATERIALS
from shapsight.data.rooms.ribbon import TEXEL as RIBBON_TEXEL
from shapsight.data.rooms.ribbon import ribbon
from shapsight.data.rooms.scene import WALLS, Hanging, Material, Piece, Room, Wall
from shapsight.data.rooms.surfaces import Atlas, Surface, pack
from shapsight.data.rooms.worlds import ROAD, WORLDS

FLOOR_TEXEL, WALL_TEXEL, CEILING_TEXEL = 0.004, 0.005, 0.012
OVERLAP = 0.001
SKIRTING = 0.09
"""Metres from the floor to the upper edge of the board at the foot of a wall."""
BELOW_TRACK = 0.0005
"""Metres from the track down to the floor, so that the track is always the nearer one."""


@functools.lru_cache(maxsize=4)
def atlas_of(name: str, world: str = ROAD) -> Atlas:
    """The room of that name in a world, built once in a process."""
    return build(WORLDS[world][name])


def build(room: Room) -> Atlas:
    """The surfaces of a room, lit and packed for `render.render`."""
    rng = np.random.default_rng(room.seed)
    shell = [_floor(room, rng), _ceiling(room, rng), *(_wall(room, wall, rng) for wall in WALLS)]
    surfaces = [_track(room), *map(_overlapping, shell)]
    for piece in room.pieces:
        surfaces += _piece(room, piece, rng)
    return pack(surfaces)


def _picture(colours: Float[ndarray, "r c 3"], light: Float[ndarray, "r c 3"] | float = 1.0) -> ndarray:
    """Bytes of a lit picture; very bright places bend towards white instead of being cut off."""
    bright = np.asarray(colours * light, dtype=np.float32)
    over = bright > 200
    bright[over] = 255 - 55 * np.exp(-(bright[over] - 200) / 55)
    return np.clip(bright, 0, 255).astype(np.uint8)


def _material(
    material: Material, width: float, height: float, texel: float, rng: np.random.Generator
) -> ndarray:
    return MATERIALS[material.kind](width, height, texel, rng, **material.options)


def _track(room: Room) -> Surface:
    picture = ribbon(room.track)
    height, width = (side * RIBBON_TEXEL for side in picture.solid.shape)
    corner = np.array([*picture.corner, 0.0])
    across, down = np.array([width, 0.0, 0.0]), np.array([0.0, -height, 0.0])
    light = light_on(room, corner, across, down, picture.solid.shape, room.pieces)
    lit = _picture(picture.colours, light)
    return Surface(corner, across, down, lit, solid=picture.solid, is_track=True)


def _floor(room: Room, rng: np.random.Generator) -> Surface:
    width, depth, _ = room.size
    corner = np.array([-width / 2, depth / 2, -BELOW_TRACK])
    across, down = np.array([width, 0.0, 0.0]), np.array([0.0, -depth, 0.0])
    colours = _material(room.floor, width, depth, FLOOR_TEXEL, rng)
    light = light_on(room, corner, across, down, colours.shape[:2], room.pieces)
    return Surface(corner, across, down, _picture(colours, light))


def _ceiling(room: Room, rng: np.random.Generator) -> Surface:
    width, depth, height = room.size
    corner = np.array([-width / 2, -depth / 2, height])
    across, down = np.array([width, 0.0, 0.0]), np.array([0.0, depth, 0.0])
    colours = _material(room.ceiling, width, depth, CEILING_TEXEL, rng)
    lit = colours * light_on(room, corner, across, down, colours.shape[:2])
    for lamp in room.lamps:
        if lamp.panel is None:
            continue
        left, top = ((lamp.at[axis] - lamp.panel[axis] / 2 - corner[axis]) / CEILING_TEXEL for axis in (0, 1))
        right, bottom = left + lamp.panel[0] / CEILING_TEXEL, top + lamp.panel[1] / CEILING_TEXEL
        lit[round(top) : round(bottom), round(left) : round(right)] = 255 * np.asarray(lamp.colour)
    return Surface(corner, across, down, _picture(lit))


def _wall(room: Room, wall: Wall, rng: np.random.Generator) -> Surface:
    """A wall with everything that hangs on it."""
    half_width, half_depth, height = room.size[0] / 2, room.size[1] / 2, room.size[2]
    # Seen from inside: the upper left corner, and the direction to the right.
    corners = {
        "north": ((-half_width, half_depth), (1, 0)),
        "east": ((half_width, half_depth), (0, -1)),
        "south": ((half_width, -half_depth), (-1, 0)),
        "west": ((-half_width, -half_depth), (0, 1)),
    }
    (x, y), direction = corners[wall]
    width = room.size[0] if wall in ("north", "south") else room.size[1]
    corner, across = np.array([x, y, height]), np.array([*direction, 0.0]) * width
    down = np.array([0.0, 0.0, -height])
    colours = _material(room.walls[wall], width, height, WALL_TEXEL, rng)
    if room.skirting is not None:
        colours[-round(SKIRTING / WALL_TEXEL) :] = room.skirting
    light = light_on(room, corner, across, down, colours.shape[:2], room.pieces)
    for hanging in room.hangings:
        if hanging.wall == wall:
            _hang(hanging, colours, light, rng)
    return Surface(corner, across, down, _picture(colours, light))


def _overlapping(surface: Surface) -> Surface:
    """A little larger than the room, so that no ray slips out between a wall and the floor."""
    across, down = surface.across * OVERLAP, surface.down * OVERLAP
    return dataclasses.replace(
        surface,
        corner=surface.corner - across - down,
        across=surface.across + 2 * across,
        down=surface.down + 2 * down,
    )


def _hang(
    hanging: Hanging,
    colours: Float[ndarray, "r c 3"],
    light: Float[ndarray, "r c 3"],
    rng: np.random.Generator,
) -> None:
    """Put something on a wall's picture, and out of the light if it glows; what is too large is cut off."""
    painting = DECOR[hanging.kind](hanging.width, hanging.height, WALL_TEXEL, rng, **hanging.options)
    bottom, left = len(colours) - round(hanging.bottom / WALL_TEXEL), round(hanging.left / WALL_TEXEL)
    above = max(bottom - len(painting.sketch.solid), 0)
    solid = painting.sketch.solid[above - bottom :, : colours.shape[1] - left]
    place = (slice(above, bottom), slice(left, left + solid.shape[1]))
    colours[place][solid] = painting.sketch.colours[above - bottom :, : solid.shape[1]][solid]
    if painting.glows:
        light[place][solid] = 1


def _piece(room: Room, piece: Piece, rng: np.random.Generator) -> Iterator[Surface]:
    turn = np.deg2rad(piece.turn)
    # Rows: the piece's own right, front and up.
    axes = np.array([[np.sin(turn), -np.cos(turn), 0], [np.cos(turn), np.sin(turn), 0], [0, 0, 1]])
    for panel in FURNITURE[piece.kind](piece.size, rng, **piece.options):
        corner = np.array([*piece.at, 0.0]) + panel.corner @ axes
        across, down = np.asarray(panel.across) @ axes, np.asarray(panel.down) @ axes
        colours = panel.sketch.colours
        light = 1.0 if panel.glows else light_on(room, corner, across, down, colours.shape[:2])
        yield Surface(
            corner,
            across,
            down,
            _picture(colours, light),
            solid=panel.sketch.solid if panel.is_cutout else None,
            is_two_sided=panel.is_cutout,
        )
