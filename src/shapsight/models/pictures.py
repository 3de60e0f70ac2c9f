"""Images as people have them, one or many: paths, PIL images, arrays, tensors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from shapsight.data.decoding import decode_image
from shapsight.errors import DataError

KINDS = (
    "Images are paths, PIL images, arrays (height, width) or (height, width, channels), or uint8 tensors (channels, "
    "height, width), of 8 bits; one, or several in a list"
)
Pixels = UInt8[np.ndarray, "height width 3"]


def as_pictures(images: Any) -> list[Pixels]:
    """Each image as RGB of 8 bits, in its own size.

        as_pictures(["a.jpg", Image.open("b.png"), np.zeros((48, 64, 3), np.uint8)])

    Grey becomes RGB, transparency is laid on white, and nothing is rotated. Raises `DataError` for anything else.
    """
    return [_pixels(image, number) for number, image in enumerate(_one_by_one(images))]


def _one_by_one(images: Any) -> Iterator[Any]:
    if isinstance(images, str | os.PathLike | Image.Image):
        yield images
    elif isinstance(images, Tensor | np.ndarray):
        several = images.ndim == 4 or (images.ndim == 3 and not _has_channels(images))
        yield from images if several else [images]
    elif isinstance(images, dict) or not hasattr(images, "__iter__"):
        raise DataError(f"{type(images).__name__} is no image. {KINDS}")
    else:
        yield from images


def _has_channels(image: Tensor | np.ndarray) -> bool:
    return image.shape[0 if isinstance(image, Tensor) else -1] in (1, 3, 4)


def _pixels(image: Any, number: int) -> Pixels:
    if isinstance(image, str | os.PathLike):
        return decode_image(image)
    if isinstance(image, Image.Image):
        return _rgb(image)
    if not isinstance(image, Tensor | np.ndarray):
        raise DataError(f"image {number} is a {type(image).__name__}. {KINDS}")
    if isinstance(image, Tensor):
        image = image.detach().cpu()
        image = np.asarray(image.permute(1, 2, 0) if image.ndim == 3 else image)
    if image.dtype != np.uint8:
        raise DataError(
            f"image {number} holds {image.dtype}, not 8-bit integers from 0 to 255: give the image as it is stored, "
            "before anything is normalised; the bundle does that"
        )
    if image.ndim not in (2, 3) or (image.ndim == 3 and not _has_channels(image)):
        raise DataError(f"image {number} has shape {image.shape}. {KINDS}")
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[..., 0]
    return np.ascontiguousarray(image) if image.shape[2:] == (3,) else _rgb(Image.fromarray(image))


def _rgb(image: Image.Image) -> Pixels:
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return np.array(image.convert("RGB"))
