"""Images as people have them, one or many: paths, PIL images, arrays, tensors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from shapsight.data.decoding import Decoder, decode_image
from shapsight.data.framing import Pixels
from shapsight.data.pictures import CHANNELS, Pictures, numbered
from shapsight.data.stored import Stored, read_stored
from shapsight.errors import DataError


def as_pictures(images: Any) -> list[Pixels]:
    """Each image as RGB of 8 bits, in its own size.

        as_pictures(["a.jpg", Image.open("b.png"), np.zeros((48, 64, 3), np.uint8)])

    Grey becomes RGB, transparency is laid on white, fractions are scaled, and nothing is rotated. Raises `DataError`
    for anything else.
    """
    objects = list(_one_by_one(images))
    pictures = Pictures(objects.__getitem__, numbered(len(objects)))
    decoder = Decoder(Path(), pictures)
    return [
        decode_image(thing) if isinstance(thing, str | os.PathLike) else np.array(decoder.decode(name).image)
        for thing, name in zip(objects, pictures.names, strict=True)
    ]


def as_stored(images: Any, sides: int) -> list[Stored]:
    """Each image as it is stored, `(*sides, bands)`; `sides` is 2, of volumes 3.

        as_stored(["scene.tif", np.zeros((64, 64, 11), np.uint16), torch.rand(11, 64, 64)], 2)

    Arrays have their bands last, tensors first. Raises `DataError` for anything else.
    """
    if isinstance(images, str | os.PathLike | Image.Image):
        images = [images]
    elif isinstance(images, Tensor | np.ndarray):
        images = list(images) if images.ndim == sides + 2 else [images]
    elif isinstance(images, dict) or not hasattr(images, "__iter__"):
        raise DataError(
            f"a {type(images).__name__} is no image: give a path, an array (height, width, bands), a tensor (bands, "
            "height, width), or several in a list"
        )
    objects = list(images)
    pictures = Pictures(objects.__getitem__, numbered(len(objects)))
    decoder = Decoder(Path(), pictures)
    return [
        read_stored(thing, sides) if isinstance(thing, str | os.PathLike) else decoder.stored(name, sides)
        for thing, name in zip(objects, pictures.names, strict=True)
    ]


def _one_by_one(images: Any) -> Iterator[Any]:
    if isinstance(images, str | os.PathLike | Image.Image):
        yield images
    elif isinstance(images, Tensor | np.ndarray):
        several = images.ndim == 4 or (images.ndim == 3 and not _has_channels(images))
        if several and images.ndim == 3 and _is_turned(images):
            first = "first, (channels, height, width)" if isinstance(images, np.ndarray) else "last"
            kind = "arrays have" if isinstance(images, np.ndarray) else "tensors have"
            other = "last" if isinstance(images, np.ndarray) else "first"
            raise DataError(
                f"the image {tuple(images.shape)} looks as if its channels were {first}; {kind} them {other}. Several "
                "grey images come as a list"
            )
        yield from images if several else [images]
    elif isinstance(images, dict) or not hasattr(images, "__iter__"):
        raise DataError(
            f"a {type(images).__name__} is no image: give a path, a PIL image, an array (height, width, channels), a "
            "tensor (channels, height, width), or several in a list"
        )
    else:
        yield from images


def _is_turned(image: Tensor | np.ndarray) -> bool:
    """Whether it looks like one image with its channels at the other end."""
    return image.shape[-1 if isinstance(image, Tensor) else 0] in CHANNELS


def _has_channels(image: Tensor | np.ndarray) -> bool:
    return image.shape[0 if isinstance(image, Tensor) else -1] in CHANNELS
