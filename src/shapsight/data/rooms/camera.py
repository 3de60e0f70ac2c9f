"""The camera of the car: a pinhole close to the floor, looking slightly down."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

HALF_VIEW = np.deg2rad(49.0)


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole camera without roll; world axes in metres, z up from the floor.

        camera = Camera(position=(0.0, 0.0, 0.2), heading=0.0, pitch=0.1, size=128)
        camera.project([[1.0, 0.0, 0.0]])     # [[64.0, ...]]: straight ahead is the middle column

    Attributes
        position: x, y and z in metres.
        heading: radians, 0 along x, anticlockwise; `pitch`: radians, positive looks down.
        size: pixels of a side. Pixel coordinates run from 0 at the left and upper edge to `size`, so the
            middle of the first pixel is 0.5 and a mirrored x is `size - x`.
    """

    position: tuple[float, float, float]
    heading: float
    pitch: float
    size: int

    @property
    def focal(self) -> float:
        """Focal length in pixels."""
        return float(self.size / (2 * np.tan(HALF_VIEW)))

    @functools.cached_property
    def axes(self) -> Float[ndarray, "3 3"]:
        """Unit vectors of right, down and forward, as rows."""
        turn, dip = (np.cos(self.heading), np.sin(self.heading)), (np.cos(self.pitch), np.sin(self.pitch))
        right = (turn[1], -turn[0], 0.0)
        down = (-turn[0] * dip[1], -turn[1] * dip[1], -dip[0])
        forward = (turn[0] * dip[0], turn[1] * dip[0], -dip[1])
        return np.array([right, down, forward])

    def project(self, points: Float[ndarray, "*n 3"]) -> Float[ndarray, "*n 2"]:
        """Pixel coordinates (x, y) of points in the world; NaN for those that are not in front."""
        seen = (np.asarray(points, dtype=float) - self.position) @ self.axes.T
        depth = np.where(seen[..., 2:] > 1e-9, seen[..., 2:], np.nan)
        return np.asarray(self.size / 2 + self.focal * seen[..., :2] / depth)

    def slopes(self, samples: int = 1) -> Float[ndarray, "rays"]:
        """Tangents of the angles of a row of rays, `samples` a pixel; the same downwards as to the right.

        The ray of column i and row j is `slopes[i] * right + slopes[j] * down + forward`.
        """
        middles = (np.arange(self.size * samples) + 0.5) / samples
        return ((middles - self.size / 2) / self.focal).astype(np.float32)
