"""Decoding images: always 8-bit RGB, whatever the file holds, and the pixels as stored, never rotated."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch.utils.data import Dataset

from shapsight.data.manifest import Manifest
from shapsight.errors import DataError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
Progress = Callable[[int, int], None]
Item = TypeVar("Item")
Result = TypeVar("Result")
ORIENTATION_TAG = 0x0112  # EXIF; 1 means "as stored"
SIXTEEN_BIT_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")  # how Pillow opens 16-bit grey files


@dataclass(frozen=True)
class Inspection:
    """What decoding an image once has shown: its stored size, or the reason why it cannot be used."""

    width: int = 0
    height: int = 0
    has_orientation: bool = False  # its EXIF data ask for a rotation or a mirror image
    reason: str | None = None


def decode_image(
    path: str | os.PathLike[str], *, matte: str = "white"
) -> UInt8[np.ndarray, "height width 3"]:
    """Decode an image file to 8-bit RGB, as it is stored.

        pixels = decode_image("data/room_1/112_98_a.jpg")      # (height, width, 3), uint8

    Greyscale, palette and CMYK files become RGB, 16 bits are scaled down to 8, transparency is laid on
    `matte` (a colour name), and an EXIF orientation is not applied: targets refer to the stored pixels.
    Raises `DataError` with the path and the reason if the file cannot be decoded.
    """
    with _quiet_pillow():
        return np.array(_decode(Path(path), matte)[0])


def load_images(
    source: Manifest | str | os.PathLike[str],
    paths: Sequence[str],
    size: int,
    *,
    progress: Progress | None = None,
) -> UInt8[Tensor, "images 3 size size"]:
    """Decode images once, in threads, and resize each to a square (bilinear, antialiased).

        images = load_images(manifest, manifest.table["path"], 224)      # one for each row of the table
        images = load_images("data", ["room_1/112_98_a.jpg"], 224)       # (1, 3, 224, 224), uint8, RGB

    `source` is a manifest or the folder that `paths` are relative to; image sizes may differ.
    `progress(done, total)` is called as images come in. Raises `DataError` for the first bad file.
    """
    root = source.root if isinstance(source, Manifest) else Path(source)
    if size < 1:
        raise DataError(f"images cannot be resized to {size} × {size} pixels: the size must be 1 or more")
    images = torch.empty(len(paths), 3, size, size, dtype=torch.uint8)

    def load(path: str) -> UInt8[np.ndarray, "size size 3"]:
        return np.array(_decode(root / path)[0].resize((size, size), Image.Resampling.BILINEAR))

    with _quiet_pillow():
        for row, pixels in enumerate(_in_threads(load, paths, progress)):
            images[row] = torch.from_numpy(pixels).permute(2, 0, 1)
    return images


def cropped_square(pixels: UInt8[np.ndarray, "height width 3"], size: int) -> UInt8[Tensor, "3 size size"]:
    """The middle square of a picture, resized (bilinear, antialiased): what classifiers of photographs are shown."""
    image = Image.fromarray(pixels)
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.crop((left, top, left + side, top + side)).resize((size, size), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(square)).permute(2, 0, 1)


def inspect_images(root: Path, paths: Sequence[str], *, progress: Progress | None = None) -> list[Inspection]:
    """Decode every image once, in threads, and tell its size or the reason why it cannot be used."""

    def inspect(path: str) -> Inspection:
        try:
            image, has_orientation = _decode(root / path)
        except _UndecodableError as error:
            return Inspection(reason=error.reason)
        return Inspection(image.width, image.height, has_orientation)

    with _quiet_pillow():
        return list(_in_threads(inspect, paths, progress))


class ImageTargets(Dataset[tuple[Tensor, Tensor]]):
    """Images held in memory beside their targets, for a `DataLoader`.

        dataset = ImageTargets(images, targets, training_transform())
        image, target = dataset[0]      # (3, size, size) uint8, (outputs,) float32

    `transform` is called on each image every time it is asked for. Raises `DataError` if the lengths differ.
    """

    def __init__(
        self,
        images: UInt8[Tensor, "images 3 size size"],
        targets: Float[Tensor, "images outputs"],
        transform: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        if len(images) != len(targets):
            raise DataError(f"{len(images)} images came with {len(targets)} rows of targets")
        self.images = images
        self.targets = targets.float()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image = self.images[index]
        return image if self.transform is None else self.transform(image), self.targets[index]


class _UndecodableError(DataError):
    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} cannot be used: {reason}")
        self.reason = reason


def _decode(path: Path, matte: str = "white") -> tuple[Image.Image, bool]:
    """The image in RGB, and whether its EXIF data ask for an orientation other than the stored one."""
    try:
        with Image.open(path) as image:
            image.load()
            has_orientation = image.getexif().get(ORIENTATION_TAG, 1) != 1
            return _to_rgb(image, matte), has_orientation
    except Exception as error:  # Pillow's plugins raise nearly anything on damaged bytes
        raise _UndecodableError(path, _reason(path, error)) from error


def _to_rgb(image: Image.Image, matte: str) -> Image.Image:
    if image.mode in SIXTEEN_BIT_MODES:
        values = np.asarray(image).clip(0, 65535)
        return Image.fromarray(np.round(values / 257).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, matte), rgba).convert("RGB")
    return image.convert("RGB")


def _reason(path: Path, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, OSError) and error.strerror:
        return f"it cannot be opened: {error.strerror.lower()}"
    if path.stat().st_size == 0:
        return "the file is empty (0 bytes)"
    if isinstance(error, UnidentifiedImageError):
        return "it is not an image, or not of a kind that can be read"
    if isinstance(error, Image.DecompressionBombError):
        return f"it is too large to be a photograph: {error}"
    if "truncated" in str(error).lower():
        return f"the file is cut off: {error}"
    return f"it is damaged: {error}"


def _in_threads(
    function: Callable[[Item], Result], items: Sequence[Item], progress: Progress | None
) -> Iterator[Result]:
    """Results in the order of the items; Pillow decodes outside the interpreter's lock, so threads pay."""
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for done, result in enumerate(pool.map(function, items), 1):
            yield result
            if progress is not None:
                progress(done, len(items))


@contextmanager
def _quiet_pillow() -> Iterator[None]:
    """Pillow's warnings (odd EXIF, large images) are no concern of somebody who reads ten thousand files.

    Entered in the calling thread only: filters are shared by all threads, so workers must not touch them.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
