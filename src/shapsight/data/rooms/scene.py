"""The words in which a room is written down: a new room is data, not code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from shapsight.data.rooms.sketch import Colour

Wall = Literal["north", "east", "south", "west"]
WALLS: tuple[Wall, ...] = ("north", "east", "south", "west")


@dataclass(frozen=True)
class Material:
    """What a floor, wall or ceiling is made of: a name of `materials.MATERIALS` and its options."""

    kind: str
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Lamp:
    """A light. `power` is the brightness it gives to what faces it one metre away; 1 shows full colours.

    With a `panel` (width, depth) it is seen glowing on the ceiling above `at`.
    """

    at: tuple[float, float, float]
    power: float
    colour: tuple[float, float, float] = (1.0, 1.0, 1.0)
    panel: tuple[float, float] | None = None


@dataclass(frozen=True)
class Hanging:
    """Something flat on a wall: a name of `decor.DECOR`, its place seen from inside, and its options.

    `left` is the distance from the wall's left corner, `bottom` the height above the floor, metres.
    """

    kind: str
    wall: Wall
    left: float
    bottom: float
    width: float
    height: float
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Piece:
    """A piece of furniture: a name of `furniture.FURNITURE`, its middle on the floor, and its options.

    `turn` is the direction of its front in degrees, 0 along x, anticlockwise; `size` its width, depth, height.
    """

    kind: str
    at: tuple[float, float]
    turn: float
    size: tuple[float, float, float]
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Room:
    """A room around the track, whose middle is (0, 0).

    Attributes
        size: width along x, depth along y, and height, metres.
        walls: a material for each wall; `skirting`: colour of the board at their foot, or None.
        ambient: light that comes from everywhere, red, green, blue.
        tint: how the camera's white balance sees this room.
        seed: of everything random in it, such as which books stand on a shelf.
    """

    size: tuple[float, float, float]
    floor: Material
    walls: Mapping[Wall, Material]
    ceiling: Material
    lamps: tuple[Lamp, ...]
    hangings: tuple[Hanging, ...]
    pieces: tuple[Piece, ...]
    ambient: tuple[float, float, float]
    skirting: Colour | None = None
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    seed: int = 0
