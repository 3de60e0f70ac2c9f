"""Pieces of furniture: from a kind and a size to the rectangles that make it. FURNITURE names the builders.

A builder is a function `(size, rng, **options) -> panels`; sizes are width, depth and height in metres.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from shapsight.data.rooms import fronts
from shapsight.data.rooms.sketch import Colour, Sketch, shade
from shapsight.data.rooms.solids import Panel, block, crossed, tube, wooden

Build = Callable[..., list[Panel]]
Size = tuple[float, float, float]


def _locker_row(
    size: Size,
    rng: np.random.Generator,
    *,
    colour: Colour = (214, 182, 138),
    columns: int = 4,
    rows: int = 2,
) -> list[Panel]:
    width, depth, height = size
    door = fronts.lockers(width, height, colour, rng, columns=columns, rows=rows)
    side = wooden(depth, height, colour, rng)
    return block(size, colour, rng, faces={"front": door, "left": side, "right": side})


def _cabinet(size: Size, rng: np.random.Generator, *, colour: Colour, rows: int = 2) -> list[Panel]:
    front = fronts.cabinet(size[0], size[2], colour, rng, rows=rows)
    return block(size, shade(colour, 0.92), rng, faces={"front": front})


def _bookshelf(
    size: Size,
    rng: np.random.Generator,
    *,
    colour: Colour = (116, 78, 50),
    shelves: int = 5,
) -> list[Panel]:
    front = fronts.books(size[0], size[2], colour, rng, shelves=shelves)
    return block(size, colour, rng, faces={"front": front})


def _drawers(size: Size, rng: np.random.Generator, *, colour: Colour, rows: int = 4) -> list[Panel]:
    front = fronts.drawers(size[0], size[2], colour, rng, rows=rows)
    return block(size, colour, rng, faces={"front": front})


def _vending(size: Size, rng: np.random.Generator, *, colour: Colour) -> list[Panel]:
    front = fronts.vending(size[0], size[2], colour, rng)
    return block(size, shade(colour, 0.9), rng, faces={"front": front}, glows=True)


def _desk(
    size: Size,
    rng: np.random.Generator,
    *,
    colour: Colour = (222, 200, 168),
    legs: Colour = (236, 236, 236),
    has_screen: bool = False,
) -> list[Panel]:
    width, depth, height = size
    panels = block((width, depth, 0.035), colour, rng, at=(0, 0, height - 0.035))
    for x in (-width / 2 + 0.04, width / 2 - 0.04):
        for y in (-depth / 2 + 0.04, depth / 2 - 0.04):
            panels += block((0.05, 0.05, height - 0.035), legs, rng, at=(x, y, 0))
    panels += block((width - 0.1, 0.02, 0.3), shade(legs, 0.8), rng, at=(0, -depth / 2 + 0.05, height - 0.34))
    if has_screen:
        panels += block((0.16, 0.12, 0.12), (30, 30, 32), rng, at=(0, 0, height))
        panels += block((0.56, 0.03, 0.34), (30, 30, 32), rng, at=(0, 0, height + 0.1))
    return panels


def _shelf_rack(
    size: Size,
    rng: np.random.Generator,
    *,
    colour: Colour = (40, 84, 150),
    goods: tuple[Colour, ...] = ((190, 150, 104),),
    levels: int = 3,
) -> list[Panel]:
    width, depth, height = size
    panels: list[Panel] = []
    for x in (-width / 2 + 0.03, width / 2 - 0.03):
        for y in (-depth / 2 + 0.03, depth / 2 - 0.03):
            panels += block((0.06, 0.06, height), colour, rng, at=(x, y, 0))
    pitch = (height - 0.1) / levels
    for level in range(levels):
        floor, x = 0.1 + level * pitch, -width / 2 + 0.08
        panels += block((width, depth, 0.05), shade(colour, 1.2), rng, at=(0, 0, floor - 0.05))
        while x < width / 2 - 0.3:
            wide, high = rng.uniform(0.26, 0.48), pitch * rng.uniform(0.4, 0.8)
            wide = min(wide, width / 2 - 0.08 - x)
            tone = goods[rng.integers(len(goods))]
            side = fronts.carton(wide, high, tone, rng)
            panels += block(
                (wide, depth * 0.8, high), tone, rng, at=(x + wide / 2, 0, floor), faces={"front": side}
            )
            x += wide + rng.uniform(0.02, 0.12)
    return panels


def _cartons(
    size: Size, rng: np.random.Generator, *, colour: Colour = (190, 148, 100), layers: int = 2
) -> list[Panel]:
    width, depth, height = size
    panels: list[Panel] = []
    for layer in range(layers):
        scale = 1 - 0.16 * layer
        w, d, h = width * scale, depth * scale, height / layers
        sides = {name: fronts.carton(w, h, colour, rng) for name in ("front", "back")}
        sides |= {name: fronts.carton(d, h, shade(colour, 0.92), rng) for name in ("left", "right")}
        shift = 0.06 * width * rng.uniform(-1, 1) if layer else 0.0
        panels += block((w, d, h), colour, rng, at=(shift, 0, layer * h), faces=sides)
    return panels


def _sofa(size: Size, rng: np.random.Generator, *, colour: Colour, seats: int = 2) -> list[Panel]:
    width, depth, height = size
    arm = 0.16
    inner = width - 2 * arm
    seat = fronts.cushions(inner, 0.3, colour, rng, seats=seats)
    back = fronts.cushions(inner, height - 0.38, colour, rng, seats=seats)
    panels = block((inner, depth - 0.2, 0.3), colour, rng, at=(0, 0.1, 0.08), faces={"front": seat})
    panels += block(
        (inner, 0.22, height - 0.38), colour, rng, at=(0, -depth / 2 + 0.11, 0.38), faces={"front": back}
    )
    panels += block((width, 0.12, height - 0.1), shade(colour, 0.9), rng, at=(0, -depth / 2 + 0.06, 0.05))
    for x in (-(width - arm) / 2, (width - arm) / 2):
        end = fronts.cushions(arm, height * 0.72, colour, rng, seats=1)
        panels += block((arm, depth, height * 0.72), colour, rng, at=(x, 0, 0.05), faces={"front": end})
    return panels


def _plant(
    size: Size,
    rng: np.random.Generator,
    *,
    pot: Colour = (232, 232, 230),
    colour: Colour = (64, 112, 48),
    pot_share: float = 0.4,
    narrow: float = 0.3,
) -> list[Panel]:
    width, _, height = size
    base = height * pot_share
    bands = ((0.0, 0.03, shade(pot, 0.6)), (base - 0.05, base - 0.03, shade(pot, 0.8)))
    panels = tube(width * 0.3, base, pot, bands=bands, narrowing=0.25)

    def draw() -> Sketch:
        return fronts.leaves(width * 1.5, height - base, colour, rng, narrow=narrow)

    return panels + crossed(draw, width * 1.5, height - base, base - 0.03, sheets=3)


def _chair(size: Size, rng: np.random.Generator, *, colour: Colour = (30, 30, 33)) -> list[Panel]:
    width, _, height = size
    return crossed(lambda: fronts.office_chair(width, height, colour, rng), width, height, 0.0)


def _cone(size: Size, rng: np.random.Generator, *, colour: Colour = (232, 96, 30)) -> list[Panel]:
    width, _, height = size
    return crossed(lambda: fronts.cone(width, height, colour, rng), width, height, 0.0)


def _barrel(size: Size, rng: np.random.Generator, *, colour: Colour) -> list[Panel]:
    width, _, height = size
    dark = shade(colour, 0.6)
    bands = tuple((height * share, height * share + 0.025, dark) for share in (0.0, 0.33, 0.64, 0.95))
    return tube(width / 2, height, colour, bands=bands, top=shade(colour, 0.8))


def _pillar(
    size: Size,
    rng: np.random.Generator,
    *,
    colour: Colour,
    bands: tuple[tuple[float, float, Colour], ...] = (),
) -> list[Panel]:
    return tube(size[0] / 2, size[2], colour, bands=bands)


def _floor_lamp(size: Size, rng: np.random.Generator, *, colour: Colour = (255, 226, 170)) -> list[Panel]:
    width, _, height = size
    shaded = height * 0.22
    panels = tube(0.02, height - shaded, (50, 44, 40)) + tube(0.14, 0.03, (50, 44, 40), top=(60, 54, 48))
    shade_panels = tube(width / 2, shaded, colour, at=(0, 0, height - shaded))
    return panels + [Panel(p.corner, p.across, p.down, p.sketch, glows=True) for p in shade_panels]


FURNITURE: dict[str, Build] = {
    "locker row": _locker_row,
    "cabinet": _cabinet,
    "bookshelf": _bookshelf,
    "drawers": _drawers,
    "vending machine": _vending,
    "desk": _desk,
    "shelf rack": _shelf_rack,
    "cartons": _cartons,
    "sofa": _sofa,
    "plant": _plant,
    "chair": _chair,
    "cone": _cone,
    "barrel": _barrel,
    "pillar": _pillar,
    "floor lamp": _floor_lamp,
}
