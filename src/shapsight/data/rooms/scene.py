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
class Look:
    """What the track looks like from above, by default a dark road between red tapes.

    Attributes
        road, tape, verge: their colours, from the middle outwards; the tape begins where the road ends.
        tape_width: metres; the verge takes what is left of the track's width.
        dashes: of the tape's colour along the middle of the road, so many in a lap.
    """

    road: Colour = (62, 72, 70)
    tape: Colour = (206, 62, 40)
    verge: Colour = (206, 208, 210)
    tape_width: float = 0.018
    dashes: int = 104


@dataclass(frozen=True)
class Hand:
    """How the car is driven, by default by somebody who strays.

    Attributes
        offset: metres beside the centre line, at most. turn: degrees beside its direction, standard deviation;
            most_turned: at most.
        height, pitch: how the camera shakes, metres and radians, standard deviations.
        both_ways: whether every second photograph is of a drive in the other direction.
    """

    offset: float = 0.13
    turn: float = 7.0
    most_turned: float = 18.0
    height: float = 0.007
    pitch: float = 0.018
    both_ways: bool = False


@dataclass(frozen=True)
class Room:
    """A room around the track, whose middle is (0, 0).

    Attributes
        size: width along x, depth along y, and height, metres.
        walls: a material for each wall; `skirting`: colour of the board at their foot, or None.
        ambient: light that comes from everywhere, red, green, blue.
        tint: how the camera's white balance sees this room.
        seed: of everything random in it, such as which books stand on a shelf.
        track: what the track looks like there; hand: how the car is driven.
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
    track: Look = Look()
    hand: Hand = Hand()
