"""The rooms of the demo world, as data. The track's middle is (0, 0); it fills about 5.8 × 4.4 metres."""

from __future__ import annotations

from shapsight.data.rooms.scene import Hanging, Lamp, Material, Piece, Room

_WARM, _COOL, _DAY = (1.0, 0.86, 0.66), (0.93, 0.98, 1.0), (0.86, 0.94, 1.0)

OFFICE = Room(
    size=(7.4, 6.2, 2.7),
    floor=Material("boards", {"colour": (142, 118, 96), "contrast": 0.07}),
    walls={
        "north": Material("paint", {"colour": (226, 228, 230)}),
        "east": Material("paint", {"colour": (226, 228, 230)}),
        "south": Material("paint", {"colour": (196, 206, 212)}),
        "west": Material("paint", {"colour": (58, 50, 140)}),
    },
    ceiling=Material("panels", {"colour": (214, 216, 218)}),
    skirting=(96, 98, 104),
    ambient=(0.50, 0.52, 0.55),
    tint=(0.97, 1.0, 1.04),
    lamps=(
        Lamp((-2.0, 1.4, 2.6), 0.62, _COOL, (1.3, 0.22)),
        Lamp((2.0, 1.4, 2.6), 0.62, _COOL, (1.3, 0.22)),
        Lamp((-2.0, -1.4, 2.6), 0.62, _COOL, (1.3, 0.22)),
        Lamp((2.0, -1.4, 2.6), 0.62, _COOL, (1.3, 0.22)),
        Lamp((0.0, 0.0, 2.6), 0.5, _COOL, (1.3, 0.22)),
        Lamp((3.3, 0.4, 1.6), 0.7, _DAY),
    ),
    hangings=(
        Hanging("mural", "west", 0.6, 0.12, 5.0, 2.4),
        Hanging("window", "east", 1.7, 0.85, 2.4, 1.45),
        Hanging("radiator", "east", 2.0, 0.12, 1.8, 0.55),
        Hanging("whiteboard", "north", 3.1, 0.75, 1.9, 1.15),
        Hanging("door", "south", 3.2, 0.0, 0.98, 2.08, {"colour": (96, 128, 150), "glass": True}),
        Hanging("poster", "south", 1.9, 0.8, 0.7, 1.0, {"colour": (200, 60, 56)}),
        Hanging("poster", "south", 4.6, 0.8, 0.8, 1.1, {"colour": (34, 128, 120), "accent": (240, 236, 220)}),
        Hanging("clock", "north", 5.4, 1.8, 0.36, 0.36),
    ),
    pieces=(
        Piece("locker row", (-1.75, 2.82), 270, (2.5, 0.45, 1.9), {"columns": 5}),
        Piece("cabinet", (2.9, 2.78), 270, (0.95, 0.5, 1.95), {"colour": (104, 108, 114)}),
        Piece("plant", (1.75, 2.72), 0, (0.62, 0.62, 1.55)),
        Piece("desk", (3.32, -1.75), 180, (1.5, 0.7, 0.74), {"has_screen": True}),
        Piece("chair", (3.25, -0.4), 200, (0.6, 0.6, 1.1)),
        Piece("cabinet", (1.9, -2.8), 90, (1.3, 0.45, 1.1), {"colour": (176, 60, 50), "rows": 1}),
        Piece("sofa", (-1.9, -2.68), 90, (1.7, 0.75, 0.82), {"colour": (70, 96, 120)}),
        Piece("plant", (-3.3, -2.6), 0, (0.5, 0.5, 1.25), {"pot": (200, 130, 84), "colour": (88, 130, 60)}),
        Piece("bookshelf", (-3.45, 0.15), 0, (1.2, 0.36, 1.6)),
        Piece("chair", (-3.25, 2.4), 300, (0.6, 0.6, 1.1), {"colour": (150, 40, 44)}),
        Piece("cartons", (0.0, 1.75), 285, (0.5, 0.42, 0.55)),
        Piece("pillar", (3.5, 1.75), 0, (0.34, 0.34, 2.7), {"colour": (206, 208, 206)}),
        Piece("plant", (1.4, -0.1), 0, (0.34, 0.34, 0.75), {"pot": (60, 62, 66), "colour": (70, 120, 70)}),
        Piece("drawers", (-0.1, -1.85), 90, (0.6, 0.4, 0.55), {"colour": (232, 232, 230), "rows": 3}),
    ),
    seed=1,
)

LIVING_ROOM = Room(
    size=(7.9, 6.5, 2.5),
    floor=Material("boards", {"colour": (168, 106, 58), "board": 0.1, "length": 0.7, "contrast": 0.12}),
    walls={
        "north": Material("bricks", {"colour": (158, 82, 60), "mortar": (196, 184, 170)}),
        "east": Material("paint", {"colour": (234, 216, 180)}),
        "south": Material("stripes", {"colour": (216, 196, 150), "other": (188, 164, 118)}),
        "west": Material("paint", {"colour": (206, 142, 96)}),
    },
    ceiling=Material("boards", {"colour": (150, 110, 74), "board": 0.2, "length": 2.5}),
    skirting=(92, 58, 38),
    ambient=(0.50, 0.43, 0.34),
    tint=(1.05, 1.0, 0.90),
    lamps=(
        Lamp((0.6, 0.2, 2.3), 0.9, _WARM, (0.5, 0.5)),
        Lamp((-3.3, 2.65, 1.5), 0.8, _WARM),
        Lamp((-0.5, -3.0, 1.4), 0.9, (1.0, 0.94, 0.84)),
        Lamp((2.3, -2.8, 1.3), 0.6, _WARM),
    ),
    hangings=(
        Hanging("window", "south", 4.1, 0.7, 1.6, 1.5, {"sky": (255, 226, 186), "frame": (110, 74, 48)}),
        Hanging("curtain", "south", 3.7, 0.1, 0.5, 2.25, {"colour": (122, 40, 46)}),
        Hanging("curtain", "south", 5.6, 0.1, 0.5, 2.25, {"colour": (122, 40, 46)}),
        Hanging("picture", "east", 1.0, 1.0, 1.1, 0.8, {"colour": (84, 122, 110)}),
        Hanging("picture", "west", 2.1, 1.05, 0.7, 0.9, {"colour": (120, 90, 60), "frame": (200, 170, 90)}),
        Hanging("picture", "west", 3.1, 1.15, 0.6, 0.6, {"colour": (60, 80, 130), "frame": (30, 30, 30)}),
        Hanging("door", "west", 4.4, 0.0, 0.95, 2.05, {"colour": (120, 76, 46)}),
        Hanging("clock", "north", 3.7, 1.7, 0.4, 0.4),
        Hanging("screen", "east", 3.5, 0.8, 1.3, 0.75, {"colour": (40, 70, 60)}),
    ),
    pieces=(
        Piece("bookshelf", (1.9, 3.06), 270, (2.0, 0.35, 2.1), {"shelves": 6}),
        Piece("sofa", (-1.8, 2.82), 270, (1.9, 0.8, 0.85), {"colour": (92, 110, 66), "seats": 3}),
        Piece("floor lamp", (-3.4, 2.75), 0, (0.42, 0.42, 1.6)),
        Piece("drawers", (3.72, -0.85), 180, (1.5, 0.42, 0.6), {"colour": (122, 80, 50), "rows": 3}),
        Piece("sofa", (-3.5, -0.2), 0, (1.0, 0.75, 0.8), {"colour": (176, 70, 52), "seats": 1}),
        Piece(
            "plant",
            (3.5, 2.7),
            0,
            (0.6, 0.6, 1.7),
            {"pot": (70, 88, 120), "colour": (52, 96, 62), "narrow": 0.16},
        ),
        Piece("drawers", (0.9, -3.02), 90, (1.1, 0.4, 0.95), {"colour": (226, 206, 170)}),
        Piece("plant", (3.5, -2.8), 0, (0.5, 0.5, 1.1), {"pot": (150, 70, 50), "colour": (110, 140, 70)}),
        Piece("bookshelf", (-2.9, -3.06), 90, (1.0, 0.32, 1.3), {"colour": (210, 190, 160), "shelves": 4}),
        Piece("floor lamp", (2.3, -2.95), 0, (0.36, 0.36, 1.4)),
        Piece("cartons", (0.25, -1.9), 60, (0.4, 0.4, 0.4), {"colour": (140, 100, 66), "layers": 1}),
        Piece("cartons", (-1.4, 0.3), 20, (0.34, 0.34, 0.34), {"colour": (176, 70, 52), "layers": 1}),
        Piece("plant", (0.1, 1.95), 0, (0.4, 0.4, 0.8), {"pot": (226, 220, 206), "colour": (90, 120, 56)}),
    ),
    seed=2,
)

WORKSHOP = Room(
    size=(8.2, 6.6, 3.2),
    floor=Material("concrete", {"colour": (108, 116, 118)}),
    walls={
        wall: Material(
            "two_tone",
            {"colour": (196, 206, 196), "lower": (70, 116, 104), "stripe": (226, 196, 60), "up_to": 1.1},
        )
        for wall in ("north", "east", "south", "west")
    },
    ceiling=Material("panels", {"colour": (126, 132, 134), "side": 1.2}),
    ambient=(0.38, 0.42, 0.40),
    tint=(0.94, 1.03, 0.98),
    lamps=(
        Lamp((-1.5, 0.0, 3.1), 1.1, (0.9, 1.0, 0.9), (0.3, 3.6)),
        Lamp((2.4, 0.0, 3.1), 0.9, (0.9, 1.0, 0.9), (0.3, 3.6)),
        Lamp((-3.7, 0.5, 1.6), 1.0, _DAY),
    ),
    hangings=(
        Hanging("shutter", "west", 2.1, 0.0, 2.6, 2.5, {"colour": (150, 156, 160)}),
        Hanging("window", "north", 0.8, 1.7, 2.2, 0.9, {"panes": 4, "frame": (90, 94, 96)}),
        Hanging("window", "north", 4.8, 1.7, 2.2, 0.9, {"panes": 4, "frame": (90, 94, 96)}),
        Hanging("pipes", "south", 0.0, 2.2, 8.2, 0.5),
        Hanging("door", "south", 1.2, 0.0, 1.0, 2.1, {"colour": (170, 60, 44)}),
        Hanging("poster", "east", 2.8, 1.2, 0.8, 0.8, {"colour": (226, 190, 40), "accent": (30, 30, 30)}),
        Hanging("whiteboard", "south", 4.2, 0.9, 1.5, 1.0),
    ),
    pieces=(
        Piece("shelf rack", (3.75, 1.3), 180, (2.0, 0.5, 1.9), {"goods": ((190, 150, 104), (90, 120, 150))}),
        Piece("vending machine", (3.0, -2.95), 90, (1.0, 0.6, 1.85), {"colour": (190, 36, 40)}),
        Piece("barrel", (-0.6, 2.75), 0, (0.58, 0.58, 0.88), {"colour": (40, 90, 160)}),
        Piece("barrel", (0.15, 2.85), 0, (0.58, 0.58, 0.88), {"colour": (206, 150, 40)}),
        Piece("cartons", (1.9, 2.75), 265, (0.9, 0.7, 1.3), {"layers": 3}),
        Piece("desk", (-2.2, 2.8), 270, (1.8, 0.7, 0.85), {"colour": (150, 112, 74), "legs": (70, 74, 80)}),
        Piece("cabinet", (-3.5, -2.75), 60, (0.8, 0.5, 1.9), {"colour": (80, 110, 150)}),
        Piece("cone", (-3.3, -0.1), 0, (0.4, 0.4, 0.7)),
        Piece("cone", (3.3, -0.6), 0, (0.4, 0.4, 0.7)),
        Piece("shelf rack", (-1.5, -2.95), 90, (1.6, 0.5, 1.6), {"colour": (200, 100, 40), "levels": 2}),
        Piece("barrel", (0.9, -2.8), 0, (0.58, 0.58, 0.88), {"colour": (60, 130, 90)}),
        Piece("cartons", (-3.5, 2.0), 320, (0.6, 0.6, 0.7), {"colour": (206, 176, 130)}),
        Piece("pillar", (0.0, -1.95), 0, (0.3, 0.3, 3.2), {
            "colour": (180, 186, 182), "bands": ((0.0, 0.25, (226, 190, 40)), (0.25, 0.5, (34, 34, 34))),
        }),
        Piece("barrel", (-1.4, 0.1), 0, (0.36, 0.36, 0.5), {"colour": (150, 60, 50)}),
        Piece("cone", (0.0, 1.7), 0, (0.34, 0.34, 0.55)),
    ),
    seed=3,
)  # fmt: skip

CATALOGUE: dict[str, Room] = {"room_1": OFFICE, "room_2": LIVING_ROOM, "room_3": WORKSHOP}
