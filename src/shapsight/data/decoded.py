"""Pixels that were decoded once and wait to be used, as far as memory allows."""

from __future__ import annotations

from threading import Lock

import numpy as np
from jaxtyping import UInt8
from PIL import Image


class Decoded:
    """Decoded images by path, up to so many bytes; each can be taken once.

    decoded = Decoded(1 << 30)
    decoded.put("a.jpg", image)      # dropped where there is no room left
    decoded.take("a.jpg")            # (height, width, 3) uint8, or None
    """

    def __init__(self, room: int) -> None:
        self.room = room
        self._pixels: dict[str, UInt8[np.ndarray, "height width 3"]] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._pixels)

    def __reduce__(self) -> tuple[type[Decoded], tuple[int]]:
        """A copy, or what another process gets, starts empty: its pixels are decoded again."""
        with self._lock:
            return Decoded, (self.room + sum(pixels.nbytes for pixels in self._pixels.values()),)

    def put(self, path: str, image: Image.Image) -> None:
        """Keep an RGB image, if it fits."""
        pixels = np.asarray(image)
        with self._lock:
            if pixels.nbytes <= self.room:
                self.room -= pixels.nbytes
                self._pixels[path] = pixels

    def take(self, path: str) -> UInt8[np.ndarray, "height width 3"] | None:
        """The pixels of an image, which makes room for another one."""
        with self._lock:
            pixels = self._pixels.pop(path, None)
            self.room += 0 if pixels is None else pixels.nbytes
        return pixels
