"""What of an image a model sees: the whole image stretched to a square, or its middle; and where that lies in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped, UInt8
from PIL import Image
from torch import Tensor

from shapsight.errors import DataError, ModelError

Pixels = UInt8[np.ndarray, "height width 3"]
Mask = Bool[np.ndarray, "height width"]


@dataclass(frozen=True)
class Frame:
    """The rectangle of an image that a model sees, in pixels of the image: the top left one covers 0 to 1.

    It may reach beyond the image, where a transform pads; `right < left` is a mirror image.
    """

    left: float
    top: float
    right: float
    bottom: float

    def on_image(
        self, values: Float[Tensor, "*any seen_height seen_width"], height: int, width: int
    ) -> Float[Tensor, "*any height width"]:
        """Values of what is seen, laid on the image's own pixels; the sum stays, but for what lies outside the image.

        Each value is spread evenly over the part of the image that its pixel shows.
        """
        rows = _overlaps(self.top, self.bottom, values.shape[-2], height).to(values)
        columns = _overlaps(self.left, self.right, values.shape[-1], width).to(values)
        return rows.T @ values @ columns

    def seen_at(
        self, points: Float[np.ndarray, "*any 2"], size: tuple[int, int]
    ) -> Float[np.ndarray, "*any 2"]:
        """Places (x, y) of the image, from its left and upper border, in the picture, whose pixel centres are whole.

        `size`: of the picture, (height, width).
        """
        begin, extent = (
            np.array([self.left, self.top]),
            np.array([self.right - self.left, self.bottom - self.top]),
        )
        return np.asarray((points - begin) / extent * np.array(size[::-1]) - 0.5)


class Framing(Protocol):
    """How an image becomes the picture that a model sees, before its pixels become other numbers.

    `size` is the picture's (height, width). `is_stored`: it sees images as they are stored, not as 8-bit RGB.
    """

    @property
    def size(self) -> tuple[int, ...]: ...

    @property
    def channels(self) -> int: ...

    @property
    def is_stored(self) -> bool: ...

    @property
    def is_own_code(self) -> bool:
        """Whether it runs a function of the user's, which may not be made for several threads."""

    def see(self, pixels: Any) -> Shaped[Tensor, "channels *seen"]:
        """The picture."""

    def mask(self, mask: Mask) -> Bool[np.ndarray, "seen_height seen_width"]:
        """A mask of the image's pixels, in step with the picture: inside is what shows more inside than outside."""

    def frame(self, height: int, width: int) -> Frame:
        """Where the picture lies in an image of this size. Raises `ModelError` where that cannot be known."""


@dataclass(frozen=True)
class Stretched:
    """The whole image, resized to a square of `side` pixels (bilinear, antialiased), whatever its shape."""

    side: int
    is_own_code = False
    is_stored = False
    channels = 3

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.side, self.side

    def see(self, pixels: Pixels) -> UInt8[Tensor, "3 side side"]:
        """The picture."""
        return torch.from_numpy(np.array(self._shown(Image.fromarray(pixels)))).permute(2, 0, 1)

    def mask(self, mask: Mask) -> Bool[np.ndarray, "side side"]:
        """A mask in step with the picture."""
        return np.asarray(self._shown(Image.fromarray(mask.astype(np.uint8) * 255))) >= 128

    def frame(self, height: int, width: int) -> Frame:
        """All of it."""
        return Frame(0, 0, width, height)

    def _shown(self, image: Image.Image) -> Image.Image:
        """What lies in the frame, at the picture's size."""
        frame = self.frame(image.height, image.width)
        edges = (int(frame.left), int(frame.top), int(frame.right), int(frame.bottom))
        image = image if edges == (0, 0, *image.size) else image.crop(edges)
        side = (self.side, self.side)
        return image if image.size == side else image.resize(side, Image.Resampling.BILINEAR)


class Cropped(Stretched):
    """The middle square, resized to `side` pixels (bilinear, antialiased), as classifiers of photographs see it."""

    def frame(self, height: int, width: int) -> Frame:
        """The middle square."""
        side = min(height, width)
        left, top = (width - side) // 2, (height - side) // 2
        return Frame(left, top, left + side, top + side)


@dataclass(frozen=True)
class AsStored:
    """Images as they are stored, of any number of bands, 16 bits or fractions, and volumes, as float32.

        AsStored(11, (64, 64)).see(array)            # (64, 64, 11) uint16 -> (11, 64, 64) float32
        AsStored(1, (16, 112, 112)).see(volume)      # (16, 112, 112, 1) -> (1, 16, 112, 112)

    Attributes
        channels, size: of what the model takes; size is (height, width) or (depth, height, width).
        transform: makes an array `(*sides, bands)` as it is stored into what the model takes: such an array, or a
            tensor with channels first.
    """

    channels: int
    size: tuple[int, ...]
    transform: Callable[[Any], Any] | None = None
    is_stored = True

    @property
    def is_own_code(self) -> bool:
        """A transform of the user's."""
        return self.transform is not None

    def see(self, pixels: Shaped[np.ndarray, "*sides bands"]) -> Float[Tensor, "channels *seen"]:
        """What the model takes. Raises `DataError` where that has another shape."""
        made: Any = pixels if self.transform is None else self.transform(pixels)
        is_first = isinstance(made, Tensor)
        array = np.asarray(made.detach().cpu() if is_first else made, np.float32)
        array = array if is_first or array.ndim < 2 else np.moveaxis(array, -1, 0)
        if array.shape != (self.channels, *self.size):
            raise DataError(
                f"{'the file holds' if self.transform is None else 'the transform makes'} {array.shape} (bands first), "
                f"and the model takes {(self.channels, *self.size)}: give Bundle.wrap a transform that makes this of "
                "the array (height, width, bands)"
            )
        if not np.isfinite(array).all():
            raise DataError("the transform makes NaN or infinite numbers of an image")
        return torch.from_numpy(np.array(array))

    def mask(self, mask: Mask) -> Mask:
        """The same mask: what is stored is neither resized nor cropped here."""
        return mask

    def frame(self, height: int, width: int) -> Frame:
        """All of it."""
        if self.transform is not None:
            raise ModelError("a transform of stored bands does not say where what it makes lies in an image")
        return Frame(0, 0, width, height)


def framing_of(size: int | Framing) -> Framing:
    """A number of pixels is the side of a square that images are stretched to."""
    return Stretched(size) if isinstance(size, int) else size


def seen_places(
    framing: Framing, points: Float[np.ndarray, "*any 2"], size: tuple[int, int]
) -> Float[np.ndarray, "*any 2"]:
    """Where places (x, y) of an image of `size` (height, width) are seen; NaN where that cannot be known.

    They count from the image's left and upper border; in the picture pixel centres are whole numbers.
    """
    try:
        return framing.frame(*size).seen_at(points, (framing.size[-2], framing.size[-1]))
    except ModelError:
        return np.full_like(points, np.nan)


def _overlaps(first: float, last: float, seen: int, pixels: int) -> Float[Tensor, "seen pixels"]:
    """Of each seen pixel along one side, the shares that lie in each pixel of the image; none where it lies outside."""
    edges = torch.linspace(first, last, seen + 1, dtype=torch.float64)
    low, high = torch.minimum(edges[:-1], edges[1:]), torch.maximum(edges[:-1], edges[1:])
    places = torch.arange(pixels, dtype=torch.float64)
    shared = torch.minimum(high[:, None], places + 1) - torch.maximum(low[:, None], places)
    shared = shared.clamp_min(0)
    total = shared.sum(1, keepdim=True)
    return torch.where(total > 0, shared / total.where(total > 0, torch.ones(())), torch.zeros(()))
