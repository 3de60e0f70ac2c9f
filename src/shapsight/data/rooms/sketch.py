"""Drawing a picture in metres instead of pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray
from PIL import Image, ImageDraw

Colour: TypeAlias = tuple[int, int, int]


def shade(colour: Colour, factor: float) -> Colour:
    """The same colour, darker (below 1) or brighter."""
    red, green, blue = (max(0, min(255, round(part * factor))) for part in colour)
    return red, green, blue


class Sketch:
    """A picture of a flat thing: x from its left edge, y from its *lower* edge, in metres.

        sketch = Sketch(0.8, 1.8, texel=0.004, paper=(120, 120, 125))
        sketch.box(0.1, 0.1, 0.6, 0.7, (90, 90, 95))

    Without `paper` everything that is not drawn on is a hole.
    """

    def __init__(self, width: float, height: float, *, texel: float, paper: Colour | None = None) -> None:
        """Start with an empty sheet of `width` × `height` metres, one texel every `texel` metres."""
        self.width, self.height = width, height
        self._scale = 1 / texel
        size = (max(2, round(width / texel)), max(2, round(height / texel)))
        self._image = Image.new("RGBA", size, (*paper, 255) if paper else (0, 0, 0, 0))
        self._draw = ImageDraw.Draw(self._image)

    def _at(self, x: float, y: float) -> tuple[float, float]:
        return x * self._scale, self._image.height - y * self._scale

    def box(self, x: float, y: float, width: float, height: float, colour: Colour) -> None:
        """A filled rectangle with its lower left corner at (x, y)."""
        (left, top), (right, bottom) = self._at(x, y + height), self._at(x + width, y)
        corners = (
            round(left),
            round(top),
            max(round(left), round(right) - 1),
            max(round(top), round(bottom) - 1),
        )
        self._draw.rectangle(corners, fill=colour)

    def disc(self, x: float, y: float, radius: float, colour: Colour, *, flat: float = 1.0) -> None:
        """A filled circle around (x, y), or an ellipse `flat` times as high as wide."""
        left, top = self._at(x - radius, y + radius * flat)
        right, bottom = self._at(x + radius, y - radius * flat)
        self._draw.ellipse((left, top, right, bottom), fill=colour)

    def line(self, points: Sequence[tuple[float, float]], colour: Colour, thickness: float) -> None:
        """A bent line, `thickness` metres thick."""
        width = max(1, round(thickness * self._scale))
        self._draw.line([self._at(*point) for point in points], fill=colour, width=width, joint="curve")

    def shape(self, points: Sequence[tuple[float, float]], colour: Colour) -> None:
        """A filled polygon."""
        self._draw.polygon([self._at(*point) for point in points], fill=colour)

    def paste(self, picture: Float[ndarray, "rows columns 3"], x: float, y: float) -> None:
        """Put another picture's lower left corner at (x, y)."""
        left, bottom = self._at(x, y)
        part = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
        self._image.paste(part, (round(left), round(bottom) - part.height))

    @property
    def colours(self) -> Float[ndarray, "rows columns 3"]:
        """What was drawn, 0 to 255."""
        return np.asarray(self._image, dtype=np.float32)[..., :3]

    @property
    def solid(self) -> Bool[ndarray, "rows columns"]:
        """Where something was drawn."""
        return np.asarray(self._image)[..., 3] > 0
