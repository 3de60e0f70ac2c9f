"""What hangs on walls: windows, doors, pictures. DECOR names the painters."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from shapsight.data.rooms.materials import clouds
from shapsight.data.rooms.sketch import Colour, Sketch, shade

WHITE: Colour = (238, 238, 234)
METAL: Colour = (150, 152, 155)


class Painting(NamedTuple):
    """A picture to hang on a wall, and whether it shines by itself instead of being lit."""

    sketch: Sketch
    glows: bool = False


def window(
    width: float,
    height: float,
    texel: float,
    rng: np.random.Generator,
    *,
    sky: Colour = (214, 232, 255),
    ground: Colour = (120, 140, 118),
    frame: Colour = WHITE,
    panes: int = 2,
) -> Painting:
    """A bright window over roofs and trees."""
    sketch = Sketch(width, height, texel=texel, paper=sky)
    for step in range(24):
        part = height * (0.3 + 0.7 * step / 24)
        sketch.box(0, part, width, height - part, shade(sky, 1.0 - 0.008 * step))
    for x in np.arange(-0.1, width, 0.22):
        top = height * rng.uniform(0.12, 0.36)
        sketch.box(x, 0, 0.28, top, shade(ground, rng.uniform(0.75, 1.25)))
        if rng.random() < 0.5:
            sketch.disc(x + 0.1, top, 0.13, shade((96, 128, 90), rng.uniform(0.8, 1.2)))
    for pane in range(panes + 1):
        sketch.box(pane * width / panes - 0.03, 0, 0.06, height, frame)
    for y in (0.0, height * 0.68, height - 0.05):
        sketch.box(0, y, width, 0.05, frame)
    sketch.box(0, 0, width, 0.03, shade(frame, 0.75))
    return Painting(sketch, glows=True)


def door(
    width: float,
    height: float,
    texel: float,
    rng: np.random.Generator,
    *,
    colour: Colour = (178, 140, 98),
    glass: bool = False,
) -> Painting:
    """A door in its frame."""
    sketch = Sketch(width, height, texel=texel, paper=shade(colour, 0.55))
    sketch.box(0.06, 0, width - 0.12, height - 0.06, colour)
    for y in (0.15, height * 0.52):
        sketch.box(0.18, y, width - 0.36, height * 0.4, shade(colour, 0.84))
        sketch.box(0.21, y + 0.03, width - 0.42, height * 0.4 - 0.06, shade(colour, 1.05))
    if glass:
        sketch.box(0.24, height * 0.56, width - 0.48, height * 0.32, (190, 208, 214))
        sketch.line([(0.28, height * 0.6), (width - 0.3, height * 0.85)], (220, 232, 236), 0.05)
    sketch.box(width - 0.2, height * 0.46, 0.1, 0.035, METAL)
    return Painting(sketch)


def poster(
    width: float,
    height: float,
    texel: float,
    rng: np.random.Generator,
    *,
    colour: Colour,
    accent: Colour = (250, 200, 60),
) -> Painting:
    """A printed poster: a figure over lines of text."""
    sketch = Sketch(width, height, texel=texel, paper=WHITE)
    rim = 0.03 * width
    sketch.box(rim, rim, width - 2 * rim, height - 2 * rim, colour)
    middle = (width * rng.uniform(0.4, 0.6), height * 0.62)
    sketch.disc(*middle, 0.3 * min(width, height), accent)
    sketch.disc(*middle, 0.2 * min(width, height), shade(colour, 0.6))
    corner = (width * 0.1, height * 0.36)
    sketch.shape([corner, (width * 0.52, height * 0.66), (width * 0.9, height * 0.36)], shade(accent, 0.75))
    for row in range(4):
        length = width * rng.uniform(0.4, 0.78)
        sketch.box(width * 0.11, height * (0.26 - 0.055 * row), length, height * 0.03, WHITE)
    return Painting(sketch)


def picture(
    width: float,
    height: float,
    texel: float,
    rng: np.random.Generator,
    *,
    colour: Colour,
    frame: Colour = (60, 44, 32),
) -> Painting:
    """A framed landscape: hills under a sky."""
    sketch = Sketch(width, height, texel=texel, paper=frame)
    rim = 0.05
    sketch.box(rim, rim, width - 2 * rim, height - 2 * rim, (206, 216, 214))
    sketch.disc(width * 0.7, height * 0.7, 0.12 * height, (245, 214, 140))
    for layer in range(4):
        base = height * (0.55 - 0.13 * layer)
        xs = np.linspace(rim, width - rim, 24)
        waves = base + 0.07 * height * np.sin(xs / width * rng.uniform(4, 9) + rng.uniform(0, 6))
        hill = [
            (rim, rim),
            *zip(xs.tolist(), np.maximum(waves, rim).tolist(), strict=True),
            (width - rim, rim),
        ]
        sketch.shape(hill, shade(colour, 1.25 - 0.22 * layer))
    return Painting(sketch)


def whiteboard(width: float, height: float, texel: float, rng: np.random.Generator) -> Painting:
    """A whiteboard with handwriting and a graph."""
    sketch = Sketch(width, height, texel=texel, paper=METAL)
    sketch.box(0.03, 0.03, width - 0.06, height - 0.06, (244, 246, 246))
    for row in range(5):
        xs = np.arange(0.12, width * rng.uniform(0.3, 0.5), 0.03)
        ys = height - 0.16 - 0.13 * row + 0.02 * rng.standard_normal(xs.size)
        sketch.line(list(zip(xs.tolist(), ys.tolist(), strict=True)), (40, 60, 140), 0.012)
    left, low = width * 0.58, height * 0.2
    sketch.line([(left, height * 0.85), (left, low), (width * 0.92, low)], (30, 30, 34), 0.014)
    xs = np.linspace(left, width * 0.9, 30)
    ys = low + height * 0.5 * (1 - np.exp(-4 * (xs - left) / width))
    sketch.line(list(zip(xs.tolist(), ys.tolist(), strict=True)), (190, 40, 40), 0.02)
    return Painting(sketch)


def mural(
    width: float,
    height: float,
    texel: float,
    rng: np.random.Generator,
    *,
    colour: Colour = (40, 34, 128),
    accent: Colour = (70, 200, 214),
) -> Painting:
    """A printed wall: glowing traces of a circuit on a dark ground."""
    sketch = Sketch(width, height, texel=texel, paper=colour)
    rows, columns = sketch.colours.shape[:2]
    haze = np.asarray(colour) * (1 + 0.35 * clouds(rows, columns, (rows / 3, columns / 7), rng))[..., None]
    sketch.paste(
        haze + np.array([26, 4, 30]) * clouds(rows, columns, (rows / 4, columns / 9), rng)[..., None], 0, 0
    )
    for _ in range(int(26 * width)):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        trace, tone = [(x, y)], shade(accent, rng.uniform(0.5, 1.1))
        for _ in range(rng.integers(2, 5)):
            step, slope = rng.uniform(0.05, 0.32), rng.choice([-1.0, 0.0, 0.0, 1.0])
            trace.append((trace[-1][0] + step, trace[-1][1] + slope * step))
        sketch.line(trace, tone, 0.012)
        sketch.disc(*trace[-1], 0.018, tone)
    for _ in range(int(9 * width)):
        sketch.disc(rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0.006, 0.02), (226, 222, 255))
    return Painting(sketch)


def radiator(width: float, height: float, texel: float, rng: np.random.Generator) -> Painting:
    """A white radiator with ribs."""
    sketch = Sketch(width, height, texel=texel, paper=(222, 222, 216))
    for x in np.arange(0.02, width, 0.06):
        sketch.box(x, 0.04, 0.022, height - 0.08, (176, 177, 174))
    sketch.box(0, 0, width, 0.03, (150, 150, 148))
    return Painting(sketch)


def curtain(
    width: float, height: float, texel: float, rng: np.random.Generator, *, colour: Colour
) -> Painting:
    """A hanging curtain, in folds."""
    sketch = Sketch(width, height, texel=texel, paper=colour)
    rows, columns = sketch.colours.shape[:2]
    x = np.arange(columns) * texel
    folds = 0.88 + 0.16 * np.sin(x * 52 + 1.4 * np.sin(x * 9)) + 0.02 * clouds(rows, columns, (30, 4), rng)
    sketch.paste(np.asarray(colour) * folds[..., None], 0, 0)
    return Painting(sketch)


def clock(width: float, height: float, texel: float, rng: np.random.Generator) -> Painting:
    """A round wall clock."""
    sketch = Sketch(width, height, texel=texel)
    middle, radius = (width / 2, height / 2), width / 2
    sketch.disc(*middle, radius, (34, 34, 38))
    sketch.disc(*middle, radius * 0.86, (246, 244, 236))
    for angle, length in ((0.7, 0.5), (2.4, 0.72)):
        tip = (middle[0] + radius * length * np.sin(angle), middle[1] + radius * length * np.cos(angle))
        sketch.line([middle, tip], (20, 20, 24), 0.016)
    return Painting(sketch)


def screen(
    width: float,
    height: float,
    texel: float,
    rng: np.random.Generator,
    *,
    colour: Colour = (36, 92, 150),
) -> Painting:
    """A screen that is switched on."""
    sketch = Sketch(width, height, texel=texel, paper=(18, 18, 20))
    sketch.box(0.03, 0.03, width - 0.06, height - 0.06, colour)
    for column in range(6):
        bar = height * rng.uniform(0.15, 0.6)
        sketch.box(width * (0.12 + 0.13 * column), height * 0.14, width * 0.08, bar, shade(colour, 1.7))
    return Painting(sketch, glows=True)


def shutter(
    width: float, height: float, texel: float, rng: np.random.Generator, *, colour: Colour
) -> Painting:
    """A roller door of slats, with warning stripes at its sides."""
    sketch = Sketch(width, height, texel=texel, paper=colour)
    for y in np.arange(0, height, 0.1):
        sketch.box(0, y, width, 0.02, shade(colour, 0.7))
        sketch.box(0, y + 0.055, width, 0.03, shade(colour, 1.1))
    for side in (0.0, width - 0.1):
        sketch.box(side, 0, 0.1, height, (226, 190, 40))
        for y in np.arange(-0.1, height, 0.2):
            corners = [(side, y), (side + 0.1, y + 0.1), (side + 0.1, y + 0.2), (side, y + 0.1)]
            sketch.shape(corners, (30, 30, 30))
    return Painting(sketch)


def pipes(
    width: float,
    height: float,
    texel: float,
    rng: np.random.Generator,
    *,
    colours: tuple[Colour, ...] = ((170, 60, 50), (80, 110, 150), (150, 150, 150)),
) -> Painting:
    """Pipes along the wall, one above the other."""
    sketch = Sketch(width, height, texel=texel)
    pitch = height / len(colours)
    for number, colour in enumerate(colours):
        y = (number + 0.2) * pitch
        for part, tone in enumerate((0.7, 1.0, 1.2, 0.95, 0.75)):
            sketch.box(0, y + part * pitch * 0.12, width, pitch * 0.12, shade(colour, tone))
        for x in np.arange(0.3, width, 0.9):
            sketch.box(x, y - 0.01, 0.04, pitch * 0.66, (70, 70, 72))
    return Painting(sketch)


DECOR: dict[str, Callable[..., Painting]] = {
    painter.__name__: painter
    for painter in (
        window, door, poster, picture, whiteboard, mural, radiator, curtain, clock, screen, shutter, pipes,
    )
}  # fmt: skip
