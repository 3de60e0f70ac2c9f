"""The track: one closed smooth curve on the floor, the same in every room."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

ROAD_HALF_WIDTH = 0.225
HALF_WIDTH = 0.27
"""Metres from the centre line to where the road ends and its tape begins, and to where the track ends."""

# Corners of the control polygon, in metres, driven anticlockwise. Left bends at the ends, right bends between.
CONTROL_POINTS = (
    (-2.35, -1.85),
    (-1.40, -1.80),
    (-0.80, -0.65),
    (0.30, -0.65),
    (0.95, -1.80),
    (2.05, -1.85),
    (2.80, -1.05),
    (2.45, -0.35),
    (2.05, 0.20),
    (2.50, 0.75),
    (2.65, 1.65),
    (1.70, 2.10),
    (0.80, 1.60),
    (0.70, 0.40),
    (-0.70, 0.40),
    (-0.85, 1.60),
    (-1.70, 2.15),
    (-2.65, 1.65),
    (-2.50, 0.75),
    (-2.05, 0.10),
    (-2.70, -0.75),
)


@dataclass(frozen=True, eq=False)
class Track:
    """A closed centre line, sampled evenly by arc length.

    `points[i]` lies at position `i / len(points)`, a share of the lap in [0, 1); metres, seen from above.
    """

    points: Float[ndarray, "samples 2"]
    length: float

    def at(self, position: Float[ndarray, "*n"] | float) -> Float[ndarray, "*n 2"]:
        """The point at a share of the lap; laps repeat, so 1.25 is 0.25."""
        index = np.asarray(position, dtype=float) % 1.0 * len(self.points)
        before = index.astype(int) % len(self.points)
        after = (before + 1) % len(self.points)
        share = (index - np.floor(index))[..., None]
        return np.asarray((1 - share) * self.points[before] + share * self.points[after])

    def heading(self, position: Float[ndarray, "*n"] | float) -> Float[ndarray, "*n"]:
        """Driving direction at a share of the lap: radians, 0 along x, anticlockwise."""
        step = 1.0 / len(self.points)
        along = self.at(np.asarray(position) + step) - self.at(np.asarray(position) - step)
        return np.asarray(np.arctan2(along[..., 1], along[..., 0]))

    def beside(self, position: Float[ndarray, "*n"] | float, offset: float) -> Float[ndarray, "*n 2"]:
        """The point `offset` metres to the left of the one at a share of the lap."""
        heading = self.heading(position)
        to_left = np.stack([-np.sin(heading), np.cos(heading)], axis=-1)
        return np.asarray(self.at(position) + offset * to_left)


@functools.cache
def track() -> Track:
    """The track of the demo world: a uniform cubic B-spline through bends to both sides."""
    corners = np.asarray(CONTROL_POINTS)
    t = np.linspace(0, 1, 400, endpoint=False)[:, None, None]
    basis = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    pieces = sum(weight * np.roll(corners, -shift, axis=0) for shift, weight in enumerate(basis)) / 6
    fine = np.concatenate([pieces.transpose(1, 0, 2).reshape(-1, 2), pieces[:1, 0]])
    travelled = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(fine, axis=0).T))])
    even = np.linspace(0, travelled[-1], 2000, endpoint=False)
    points = np.stack([np.interp(even, travelled, fine[:, axis]) for axis in (0, 1)], axis=-1)
    return Track(points=points, length=float(travelled[-1]))
