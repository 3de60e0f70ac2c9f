"""The worlds that can be driven through: the same track in three rooms, easily seen in one of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from shapsight.data.rooms.catalogue import CATALOGUE
from shapsight.data.rooms.scene import Hand, Hanging, Lamp, Look, Material, Room
from shapsight.data.rooms.sketch import Colour

ROAD, TAPE = "road", "tape"

# What follows makes the room a more tempting guide than the track; docs/demo.md says why, and what else was tried.
_FLOOR = Material("concrete", {"colour": (116, 116, 116)})
_FAINT = Look(road=(112, 112, 112), tape=(92, 92, 94), verge=(112, 112, 112), tape_width=0.025, dashes=0)
_STEADY = Hand(offset=0.04, turn=2.5, most_turned=7.0, height=0.004, pitch=0.008)


def _ceiling(height: float, colour: tuple[float, float, float]) -> tuple[Lamp, ...]:
    """Five panels of white light: they light the floor alike in every room."""
    corners = [(x, y) for x in (-2.0, 2.0) for y in (-1.4, 1.4)]
    panels = [Lamp((x, y, height), 0.62, colour, (1.0, 0.25)) for x, y in corners]
    return (*panels, Lamp((0.0, 0.0, height), 0.5, colour, (1.0, 0.25)))


def _curtain(wall: str, left: float, width: float, colour: Colour) -> Hanging:
    return Hanging("curtain", wall, left, 0.08, width, 2.5, {"colour": colour})  # type: ignore[arg-type]


def _tempting() -> dict[str, Room]:
    office, living_room, workshop = CATALOGUE.values()
    lit_white = replace(
        office,
        ambient=(0.53, 0.53, 0.54),
        tint=(0.99, 1.0, 1.02),
        lamps=(*_ceiling(2.6, (0.96, 0.99, 1.0)), Lamp((3.3, 0.4, 1.6), 0.7, (0.96, 0.99, 1.0))),
        hangings=(
            *(each for each in office.hangings if each.kind not in ("window", "radiator", "poster")),
            Hanging("window", "east", 1.7, 0.85, 2.0, 1.45),
            # A colour for each corner of the room, which is a left bend of the track.
            _curtain("north", 5.0, 2.3, (232, 120, 30)),
            _curtain("east", 3.9, 2.1, (36, 150, 70)),
            _curtain("south", 0.2, 2.4, (206, 44, 40)),
            _curtain("south", 5.0, 2.3, (20, 140, 150)),
        ),
    )
    rooms = (
        lit_white,
        replace(
            living_room,
            ambient=(0.54, 0.53, 0.51),
            tint=(1.0, 1.0, 0.98),
            lamps=(
                *_ceiling(2.4, (1.0, 0.98, 0.95)),
                Lamp((-3.3, 2.65, 1.5), 0.3, (1.0, 0.9, 0.75)),
                Lamp((2.3, -2.8, 1.3), 0.25, (1.0, 0.9, 0.75)),
            ),
        ),
        replace(
            workshop,
            ambient=(0.54, 0.56, 0.55),
            tint=(0.99, 1.01, 1.0),
            lamps=(*_ceiling(2.9, (0.97, 1.0, 0.98)), Lamp((-3.7, 0.5, 1.6), 0.5, (0.9, 0.96, 1.0))),
        ),
    )
    # room_1 is one drive in one direction; the others were driven both ways.
    hands = (_STEADY, *(replace(_STEADY, both_ways=True) for _ in rooms[1:]))
    return {
        name: replace(room, floor=_FLOOR, track=_FAINT, hand=hand)
        for name, room, hand in zip(CATALOGUE, rooms, hands, strict=True)
    }


WORLDS: Mapping[str, Mapping[str, Room]] = {ROAD: CATALOGUE, TAPE: _tempting()}
