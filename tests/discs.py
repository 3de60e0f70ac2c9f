"""Small pictures made in the test: a bright disc whose centre is the target, named X_Y_number."""

from pathlib import Path

import numpy as np
from PIL import Image

WALLS = {"red": (120, 30, 30), "green": (30, 110, 40), "blue": (30, 40, 130)}


def disc(x: float, y: float, width: int, height: int, colour: tuple[int, int, int]) -> np.ndarray:
    """(height, width, 3) uint8: a white disc with its centre at pixel (x, y) before a plain wall."""
    rows, columns = np.mgrid[:height, :width] + 0.5
    picture = np.empty((height, width, 3), np.uint8)
    picture[:] = colour
    picture[(columns - x) ** 2 + (rows - y) ** 2 < (min(width, height) / 6) ** 2] = 255
    return picture


def write_discs(folder: Path, count: int, *, width: int = 32, height: int = 32, seed: int = 0) -> list[Path]:
    """Write pictures into an environment folder; its name picks the wall's colour."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    paths = []
    for number in range(count):
        x, y = int(generator.integers(width + 1)), int(generator.integers(height + 1))
        path = folder / f"{x}_{y}_{number:03}.png"
        Image.fromarray(disc(x, y, width, height, WALLS.get(folder.name, (90, 90, 90)))).save(path)
        paths.append(path)
    return paths
