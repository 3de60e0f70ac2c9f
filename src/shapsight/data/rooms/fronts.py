"""What furniture looks like from its front: painted faces and cut-out outlines."""

from __future__ import annotations

import numpy as np

from shapsight.data.rooms.materials import boards, clouds
from shapsight.data.rooms.sketch import Colour, Sketch, shade

TEXEL = 0.005
METAL: Colour = (168, 170, 174)
BLACK: Colour = (26, 26, 29)
SPINES: tuple[Colour, ...] = (
    (150, 40, 38), (32, 66, 120), (40, 96, 70), (206, 170, 70), (90, 52, 100), (214, 208, 192), (40, 40, 44),
    (188, 104, 44), (70, 130, 150), (120, 84, 56),
)  # fmt: skip


def lockers(
    width: float, height: float, colour: Colour, rng: np.random.Generator, *, columns: int, rows: int
) -> Sketch:
    """Locker doors with a lock each, over a dark plinth."""
    sketch = Sketch(width, height, texel=TEXEL, paper=shade(colour, 0.5))
    plinth = 0.07
    wide, high = width / columns, (height - plinth) / rows
    for column in range(columns):
        for row in range(rows):
            tone = shade(colour, rng.uniform(0.95, 1.05))
            grain = boards(
                wide - 0.012, high - 0.012, TEXEL, rng, colour=tone, board=9.0, length=99.0, contrast=0.0
            )
            x, y = column * wide + 0.006, plinth + row * high + 0.006
            sketch.paste(grain, x, y)
            sketch.box(x + wide * 0.8, y + high * 0.5, 0.032, 0.07, METAL)
            sketch.box(x + wide * 0.8 + 0.008, y + high * 0.5 + 0.02, 0.016, 0.04, BLACK)
    sketch.box(0, 0, width, plinth, (44, 44, 47))
    return sketch


def cabinet(
    width: float, height: float, colour: Colour, rng: np.random.Generator, *, rows: int = 2
) -> Sketch:
    """A steel cupboard: double doors with rails, vents and handles."""
    sketch = Sketch(width, height, texel=TEXEL, paper=shade(colour, 0.62))
    wide, high = width / 2, (height - 0.06) / rows
    for row in range(rows):
        for column in range(2):
            x, y = column * wide + 0.012, 0.06 + row * high + 0.012
            sketch.box(x, y, wide - 0.024, high - 0.024, colour)
            sketch.box(x + 0.05, y + 0.06, wide - 0.124, high - 0.144, shade(colour, 0.86))
            sketch.box(x + 0.06, y + 0.06, wide - 0.134, high - 0.154, shade(colour, 1.08))
            for slot in range(4):
                sketch.box(x + 0.1, y + high - 0.16 - 0.03 * slot, wide - 0.22, 0.012, shade(colour, 0.6))
            handle = x + (wide - 0.07 if column == 0 else 0.03)
            sketch.box(handle, y + high * 0.45, 0.018, 0.12, METAL)
    return sketch


def books(
    width: float, height: float, colour: Colour, rng: np.random.Generator, *, shelves: int = 5
) -> Sketch:
    """Shelves full of books, with gaps and a few leaning ones."""
    sketch = Sketch(width, height, texel=TEXEL, paper=shade(colour, 0.4))
    pitch = (height - 0.08) / shelves
    for shelf in range(shelves):
        floor, x = 0.08 + shelf * pitch, 0.04
        while x < width - 0.08:
            if rng.random() < 0.08:
                x += rng.uniform(0.05, 0.18)
                continue
            thick, tall = rng.uniform(0.02, 0.055), pitch * rng.uniform(0.55, 0.86)
            spine = shade(SPINES[rng.integers(len(SPINES))], rng.uniform(0.8, 1.15))
            sketch.box(x, floor, min(thick, width - 0.04 - x), tall, spine)
            sketch.box(x, floor + tall * 0.72, min(thick, width - 0.04 - x), 0.014, shade(spine, 1.6))
            x += thick + 0.004
        sketch.box(0, floor - 0.025, width, 0.025, colour)
    for x in (0.0, width - 0.03):
        sketch.box(x, 0, 0.03, height, colour)
    sketch.box(0, height - 0.03, width, 0.03, shade(colour, 1.1))
    sketch.box(0, 0, width, 0.06, shade(colour, 0.7))
    return sketch


def drawers(width: float, height: float, colour: Colour, rng: np.random.Generator, *, rows: int) -> Sketch:
    """A chest of drawers with round knobs."""
    sketch = Sketch(width, height, texel=TEXEL, paper=shade(colour, 0.55))
    high = (height - 0.06) / rows
    for row in range(rows):
        y = 0.06 + row * high
        grain = boards(
            width - 0.04, high - 0.02, TEXEL, rng, colour=colour, board=9.0, length=99.0, contrast=0.0
        )
        sketch.paste(grain, 0.02, y + 0.01)
        for share in (0.25, 0.75):
            sketch.disc(width * share, y + high / 2, 0.022, shade(colour, 0.45))
    return sketch


def vending(width: float, height: float, colour: Colour, rng: np.random.Generator) -> Sketch:
    """A lit vending machine with rows of cans."""
    sketch = Sketch(width, height, texel=TEXEL, paper=colour)
    sketch.box(0.06, 0.5, width * 0.66, height - 0.6, (240, 244, 248))
    for row in range(5):
        y = 0.54 + row * (height - 0.66) / 5
        for x in np.arange(0.1, width * 0.66 - 0.03, 0.085):
            can = shade(SPINES[rng.integers(len(SPINES))], 1.35)
            sketch.box(x, y, 0.06, 0.14, can)
            sketch.box(x, y + 0.05, 0.06, 0.03, (235, 235, 235))
        sketch.box(0.06, y - 0.03, width * 0.66, 0.02, METAL)
    sketch.box(width * 0.8, height * 0.55, width * 0.14, 0.22, BLACK)
    sketch.box(0.12, 0.16, width * 0.56, 0.2, BLACK)
    sketch.box(0, 0, width, 0.05, BLACK)
    return sketch


def cushions(width: float, height: float, colour: Colour, rng: np.random.Generator, *, seats: int) -> Sketch:
    """Upholstery: cushions side by side, with seams."""
    sketch = Sketch(width, height, texel=TEXEL, paper=shade(colour, 0.7))
    for seat in range(seats):
        x = seat * width / seats + 0.012
        for step in range(6):
            inset = 0.008 * step
            part = (x + inset, inset, width / seats - 0.024 - 2 * inset, height - 2 * inset)
            if part[2] > 0 and part[3] > 0:
                sketch.box(*part, shade(colour, 0.82 + 0.04 * step))
    rows, columns = sketch.colours.shape[:2]
    sketch.paste(sketch.colours * (1 + 0.05 * clouds(rows, columns, (3, 3), rng))[..., None], 0, 0)
    return sketch


def carton(width: float, height: float, colour: Colour, rng: np.random.Generator) -> Sketch:
    """A side of a cardboard box: tape, a label and a printed mark."""
    sketch = Sketch(width, height, texel=TEXEL, paper=shade(colour, 0.75))
    sketch.box(0.006, 0.006, width - 0.012, height - 0.012, shade(colour, rng.uniform(0.92, 1.06)))
    sketch.box(width * 0.44, height * 0.7, width * 0.12, height * 0.3, shade(colour, 1.25))
    if rng.random() < 0.7:
        sketch.box(width * 0.1, height * 0.15, width * 0.3, height * 0.3, (236, 236, 230))
        for line in range(3):
            sketch.box(width * 0.13, height * (0.2 + 0.08 * line), width * 0.22, height * 0.03, (60, 60, 62))
    sketch.shape(
        [(width * 0.7, height * 0.2), (width * 0.78, height * 0.34), (width * 0.86, height * 0.2)],
        (70, 50, 36),
    )
    return sketch


def leaves(
    width: float, height: float, colour: Colour, rng: np.random.Generator, *, narrow: float = 0.3
) -> Sketch:
    """Stems with leaves, as a cut-out."""
    sketch = Sketch(width, height, texel=TEXEL)
    for _ in range(9):
        foot, top = (
            width * rng.uniform(0.42, 0.58),
            (width * rng.uniform(0.12, 0.88), height * rng.uniform(0.5, 0.95)),
        )
        sketch.line([(foot, 0), (0.7 * foot + 0.3 * top[0], 0.45 * height), top], (86, 74, 48), 0.012)
        for share in np.linspace(0.35, 1.0, 9):
            x, y = foot + share * (top[0] - foot), share * top[1]
            angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 1.0) * width * 0.19
            along = np.array([np.cos(angle), np.sin(angle)]) * length
            across = np.array([-along[1], along[0]]) * narrow
            tip, middle = np.array([x, y]) + along, np.array([x, y]) + along * 0.5
            outline = [(x, y), tuple(middle + across), tuple(tip), tuple(middle - across)]
            sketch.shape(outline, shade(colour, rng.uniform(0.55, 1.4)))
    return sketch


def office_chair(width: float, height: float, colour: Colour, rng: np.random.Generator) -> Sketch:
    """A swivel chair from the side, as a cut-out."""
    sketch = Sketch(width, height, texel=TEXEL)
    middle, seat = width / 2, height * 0.45
    sketch.line([(width * 0.1, 0.04), (middle, 0.1), (width * 0.9, 0.04)], shade(METAL, 0.9), 0.035)
    sketch.line([(middle, 0.05), (middle, seat)], METAL, 0.05)
    for x in (0.1, 0.5, 0.9):
        sketch.disc(width * x, 0.03, 0.03, BLACK)
    sketch.box(width * 0.14, seat, width * 0.72, 0.08, colour)
    back = [
        (width * 0.2, height * 0.58),
        (width * 0.8, height * 0.58),
        (width * 0.74, height),
        (width * 0.26, height),
    ]
    sketch.shape(back, shade(colour, 0.85))
    for row in range(7):
        y = height * (0.61 + 0.055 * row)
        sketch.line([(width * 0.25, y), (width * 0.75, y)], shade(colour, 1.5), 0.012)
    sketch.line([(middle, seat), (middle, height * 0.6)], BLACK, 0.05)
    for x in (0.08, 0.86):
        sketch.line(
            [(width * x, seat), (width * x, seat + 0.2), (width * (x + 0.06), seat + 0.2)], BLACK, 0.03
        )
    return sketch


def cone(width: float, height: float, colour: Colour, rng: np.random.Generator) -> Sketch:
    """A traffic cone, as a cut-out."""
    sketch = Sketch(width, height, texel=TEXEL)
    sketch.box(0, 0, width, 0.04, shade(colour, 0.6))
    for low, high, tone in ((0.0, 1.0, colour), (0.3, 0.5, (240, 240, 236)), (0.65, 0.8, (240, 240, 236))):
        foot, top = (width * (0.4 - 0.34 * share) for share in (low, high))
        y0, y1 = 0.04 + (height - 0.04) * low, 0.04 + (height - 0.04) * high
        middle = width / 2
        sketch.shape([(middle - foot, y0), (middle - top, y1), (middle + top, y1), (middle + foot, y0)], tone)
    return sketch
