"""Driving a car with a camera around the track of a room: photographs with the pixel to drive to."""

from __future__ import annotations

import difflib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8
from numpy import ndarray

from shapsight.data.rooms.build import atlas_of
from shapsight.data.rooms.camera import Camera
from shapsight.data.rooms.render import View, render
from shapsight.data.rooms.scene import Hand
from shapsight.data.rooms.track import track
from shapsight.data.rooms.worlds import ROAD, WORLDS
from shapsight.errors import DataError

ROOMS: tuple[str, ...] = tuple(WORLDS[ROAD])
LOOK_AHEAD = 0.5
"""Metres along the centre line from the car to the point it should drive to."""
MARGIN = 2.0
"""Pixels that this point keeps from the edges of the image."""
HEIGHT, PITCH = 0.21, 0.09
SMALLEST = 32


class Pose(NamedTuple):
    """Where the car is: share of the lap in [0, 1), metres to its left of the centre line, radians to the left.

    `way` is 1 where it is driven as the track's `heading` says, and -1 the other way round.
    """

    position: float
    offset: float
    heading_error: float
    way: int = 1


@dataclass(frozen=True, eq=False)
class Frame:
    """A photograph from the car, with what a driver should make of it.

    Attributes
        image: red, green, blue.
        target: the pixel (x, y) of the point on the centre line 0.5 m ahead, x to the right and y down, from 0
            at the left and upper edge to `size`; the mirrored image has the target `(size - x, y)`.
        roi: the pixels that show the track, tape and verge included.
        pose: where the car was.
    """

    image: UInt8[ndarray, "size size 3"]
    target: tuple[float, float]
    roi: Bool[ndarray, "size size"]
    pose: Pose


def drive(room: str, images: int, *, size: int = 128, seed: int = 0, world: str = ROAD) -> Iterator[Frame]:
    """Photographs from all around the track of a room, in random order.

        for frame in drive("room_1", images=200, world="tape"):
            frame.image, frame.target, frame.roi

    The lap is cut into as many stretches as there are images, and every stretch gives one: the car is a little
    beside the centre line, a little turned, shaken, and the light changes. The same arguments give the same bytes.

    Args:
        room: one of `ROOMS`.
        images: how many; at least 1.
        size: pixels of a side, at least 32.
        seed: of the car's deviations and the camera's noise; the room itself is always the same.
        world: "road", where the track is easily seen, or "tape", where the room is (`WORLDS` in worlds.py).

    Raises:
        DataError: for an unknown room or world, no images, a size below 32, or a negative seed.
    """
    check(room, images, size, seed, world)
    return _frames(room, images, size, seed, world)


def check(room: str, images: int, size: int, seed: int, world: str) -> None:
    """Refuse what cannot be driven."""
    if world not in WORLDS:
        raise DataError(f"there is no world {world!r}: there are {' and '.join(map(repr, WORLDS))}")
    if room not in ROOMS:
        near = difflib.get_close_matches(str(room), ROOMS, n=3, cutoff=0.4) or list(ROOMS)
        raise DataError(f"there is no room {room!r}; did you mean {' or '.join(map(repr, near))}?")
    if images < 1:
        raise DataError(f"images={images}: a drive takes at least 1 photograph")
    if size < SMALLEST:
        raise DataError(f"size={size}: photographs need at least {SMALLEST} pixels a side")
    if seed < 0:
        raise DataError(f"seed={seed}: give 0 or a positive number")


def _frames(room: str, images: int, size: int, seed: int, world: str) -> Iterator[Frame]:
    atlas, hand, tint = atlas_of(room, world), WORLDS[world][room].hand, WORLDS[world][room].tint
    rng = np.random.default_rng([seed, zlib.crc32(room.encode())])
    for number, stretch in enumerate(rng.permutation(images)):
        way = -1 if hand.both_ways and number % 2 else 1
        pose, camera = _place((stretch + rng.random()) / images % 1, way, hand, size, rng)
        view = render(atlas, camera)
        x, y = target(camera, pose)
        yield Frame(photograph(view, tint, rng), (x, y), view.track >= 0.5, pose)


def _place(position: float, way: int, hand: Hand, size: int, rng: np.random.Generator) -> tuple[Pose, Camera]:
    """The car near a point of the lap, shaken again until the point to drive to is well inside the image."""
    while True:
        offset = rng.uniform(-hand.offset, hand.offset)
        turned = np.deg2rad(np.clip(rng.normal(0, hand.turn), -hand.most_turned, hand.most_turned))
        pose = Pose(float(position), offset, float(turned), way)
        camera = camera_at(pose, size, HEIGHT + rng.normal(0, hand.height), PITCH + rng.normal(0, hand.pitch))
        if all(MARGIN <= part <= size - MARGIN for part in target(camera, pose)):
            return pose, camera


def camera_at(pose: Pose, size: int, height: float = HEIGHT, pitch: float = PITCH) -> Camera:
    """The camera of a car in this pose."""
    heading = float(track().heading(pose.position)) + (0.0 if pose.way > 0 else np.pi)
    x, y = track().beside(pose.position, pose.way * pose.offset)
    return Camera((float(x), float(y), float(height)), heading + pose.heading_error, float(pitch), size)


def target(camera: Camera, pose: Pose) -> tuple[float, float]:
    """The pixel of the point on the centre line that lies ahead of a pose."""
    ahead = track().at(pose.position + pose.way * LOOK_AHEAD / track().length)
    x, y = camera.project(np.array([*ahead, 0.0]))
    return float(x), float(y)


def photograph(
    view: View, tint: tuple[float, float, float], rng: np.random.Generator
) -> UInt8[ndarray, "size size 3"]:
    """What the sensor makes of a view: exposure and white balance of the moment, darker corners, noise."""
    size = len(view.track)
    exposure = np.exp(rng.normal(0, 0.08))
    balance = np.asarray(tint) * np.exp(rng.normal(0, 0.02, 3)) * exposure
    across = (np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1
    falloff = 1 - 0.13 * (across[:, None] ** 2 + across[None, :] ** 2)
    noise = rng.normal(0.5, 5) + rng.standard_normal((size, size), dtype=np.float32) * 2
    image = np.empty(view.colour.shape, np.uint8)
    for channel in range(3):
        bright = view.colour[..., channel] * (falloff * np.float32(balance[channel]))
        bright += noise
        image[..., channel] = np.clip(bright, 0, 255, out=bright)
    return image
