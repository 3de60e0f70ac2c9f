"""Images that are objects in memory: PIL images, arrays or tensors, by the names that stand for them in a manifest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, TypeGuard

import numpy as np
import torch
from PIL import Image

from shapsight.data.depth import to_eight_bits
from shapsight.data.stored import Stored
from shapsight.errors import DataError

CHANNELS = (1, 3, 4)  # grey, RGB, RGB with opacity
NEITHER = (
    8.0  # fractions up to here fill neither 0 to 1 nor 0 to 255: a picture divided by its standard deviation
)
KINDS = "a PIL image, an array (height, width, 3) or (height, width), or a tensor (3, height, width)"


class Pictures:
    """The images of a dataset that are no files; a manifest's `path` holds their names.

        pictures = Pictures(images.__getitem__, numbered(len(images)))
        pictures["image_00007.png"]         # a PIL image, and what was taken for white

    `item` gives the image of a number: PIL, array or tensor, or what `as_image` made of it before.
    """

    are_paths = False  # the names tell nothing of the images

    def __init__(self, item: Callable[[int], Any], names: Sequence[str]) -> None:
        self.item = item
        self.names = tuple(names)

    def __getitem__(self, name: str) -> tuple[Image.Image, float | None]:
        """Raises `ValueError` for an image that cannot be used, `KeyError` for a name that is not there."""
        found = self.item(self._numbers[name])
        return found if isinstance(found, tuple) else as_image(found)

    def stamp(self, name: str) -> str:
        """What tells that an image is the same as before; of objects in memory nothing does."""
        return ""

    def stored(self, name: str, sides: int | None = None) -> Stored:
        """An image as it was given, `(*sides, bands)`. Raises `ValueError` for what is no array of numbers."""
        thing = self.item(self._numbers[name])
        thing = np.asarray(thing[0] if isinstance(thing, tuple) else thing) if not is_array(thing) else thing
        array = np.asarray(thing.detach().cpu()) if isinstance(thing, torch.Tensor) else thing
        if array.dtype.kind not in "uifb" or array.ndim not in (2, 3, 4):
            raise ValueError(f"it is {array.dtype} of shape {array.shape}, not the numbers of an image")
        if array.ndim in (2, sides):
            return array[..., None]
        return np.moveaxis(array, 0, -1) if isinstance(thing, torch.Tensor) else array

    def holds_bands(self, name: str) -> bool:
        """Whether an image is no picture in colours: an array with other than 1, 3 or 4 channels, or a volume."""
        thing = self.item(self._numbers[name])
        if not is_array(thing) or thing.ndim not in (3, 4):
            return False
        first, last = thing.shape[0] in CHANNELS, thing.shape[-1] in CHANNELS
        return thing.ndim == 4 or not (first or last)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.names)}


def numbered(count: int, word: str = "image") -> tuple[str, ...]:
    """Names of so many images, which sort in their order: image_00000.png, image_00001.png."""
    return tuple(f"{word}_{number:05}.png" for number in range(count))


def is_array(thing: object) -> TypeGuard[np.ndarray | torch.Tensor]:
    """An array or a tensor."""
    return isinstance(thing, np.ndarray | torch.Tensor)


def is_image(thing: object) -> bool:
    """A PIL image, or an array or tensor with the two or three sides of an image."""
    return isinstance(thing, Image.Image) or (
        isinstance(thing, np.ndarray | torch.Tensor) and thing.ndim in (2, 3) and min(thing.shape) > 0
    )


def as_image(thing: Any) -> tuple[Image.Image, float | None]:
    """An object as a PIL image of 8 bits, and what was taken for white of deeper pixels or of fractions.

        as_image(torch.rand(3, 224, 224))       # (<PIL RGB 224 × 224>, 1.0)
        as_image(np.zeros((8, 8), np.uint8))    # (<PIL L 8 × 8>, None)

    Arrays have their channels last, tensors first. Raises `ValueError` with the reason for anything else, and
    `DataError` for a normalised image, of which the pixels cannot be known.
    """
    if isinstance(thing, Image.Image):
        return thing, None
    if not isinstance(thing, np.ndarray | torch.Tensor):
        raise ValueError(f"it is a {type(thing).__name__}, not {KINDS}")
    levels, white = _eight_bits(_channels_last(thing))
    return Image.fromarray(levels[..., 0] if levels.shape[-1] == 1 else levels), white


def _channels_last(thing: np.ndarray | torch.Tensor) -> np.ndarray:
    shape = tuple(thing.shape)
    is_tensor = isinstance(thing, torch.Tensor)
    if len(shape) not in (2, 3):
        raise ValueError(f"its shape is {shape}, not that of {KINDS}")
    first, last = shape[0] in CHANNELS, shape[-1] in CHANNELS
    if len(shape) == 3 and not (first if is_tensor else last):
        if first or last:
            turn = "permute(2, 0, 1)" if is_tensor else "transpose(1, 2, 0)"
            raise ValueError(f"its shape is {shape}, not that of {KINDS}: give {turn} of it")
        raise ValueError(f"its shape is {shape}: images of 1, 3 or 4 channels can be read")
    if isinstance(thing, torch.Tensor):
        pixels = thing.detach().cpu()
        array = (pixels.float() if pixels.dtype == torch.bfloat16 else pixels).numpy()
        return array[..., None] if array.ndim == 2 else array.transpose(1, 2, 0)
    return thing[..., None] if thing.ndim == 2 else thing


def _eight_bits(pixels: np.ndarray) -> tuple[np.ndarray, float | None]:
    if pixels.dtype == np.uint8:
        return np.ascontiguousarray(pixels), None
    if pixels.dtype == bool:
        return pixels.astype(np.uint8) * 255, None
    if pixels.dtype.kind not in "uif":
        raise ValueError(f"its pixels are of type {pixels.dtype}, not numbers")
    if pixels.dtype.kind == "f" and pixels.size:
        _refuse_normalised(float(pixels.min()), float(pixels.max()))
    return to_eight_bits(pixels.astype(np.float32) if pixels.dtype == np.float16 else pixels)


def _refuse_normalised(low: float, high: float) -> None:
    if low < 0 and np.isfinite([low, high]).all():
        raise DataError(
            f"its pixels run from {low:.3g} to {high:.3g}, so they were normalised, and what they were before is not "
            "known: give the dataset without its normalisation (Normalize); the model's bundle does that"
        )
    if 1 < high <= NEITHER:
        raise ValueError(
            f"its pixels run from {low:.3g} to {high:.3g}, neither from 0 to 1 nor from 0 to 255"
        )
