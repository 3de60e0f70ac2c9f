"""Decoding one image: always 8-bit RGB, whatever the file holds, and the pixels as stored, never rotated."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from shapsight.errors import DataError

PHOTOGRAPHS = tuple(
    ".jpg .jpeg .jpe .jfif .png .bmp .webp .tif .tiff .gif .avif .heic .heif .jp2 .ppm .pgm .pnm".split()
)
ORIENTATION_TAG = 0x0112  # EXIF; 1 means "as stored"
SIXTEEN_BIT_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")  # how Pillow opens 16-bit grey files


@cache
def image_suffixes() -> tuple[str, ...]:
    """The suffixes of images that can be decoded here; .heic with the package pillow-heif."""
    with suppress(ModuleNotFoundError):
        import pillow_heif

        pillow_heif.register_heif_opener()
    known = Image.registered_extensions()
    return tuple(suffix for suffix in PHOTOGRAPHS if known.get(suffix) in Image.OPEN)


def decode_image(
    path: str | os.PathLike[str], *, matte: str = "white"
) -> UInt8[np.ndarray, "height width 3"]:
    """Decode an image file to 8-bit RGB, as it is stored.

        pixels = decode_image("data/room_1/112_98_a.jpg")      # (height, width, 3), uint8

    Greyscale, palette and CMYK files become RGB, 16 bits are scaled down to 8, transparency is laid on
    `matte` (a colour name), and an EXIF orientation is not applied: targets refer to the stored pixels.
    Raises `DataError` with the path and the reason if the file cannot be decoded.
    """
    with quiet_pillow():
        return np.array(_decode(Path(path), matte)[0])


class UndecodableError(DataError):
    """One image that cannot be used, with the reason alone in `reason`."""

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(f"{path} cannot be used: {reason}")
        self.reason = reason


class Decoder:
    """Decodes the images of a dataset's paths: files, and `FILE#NUMBER` inside a file that holds many.

    decoder = Decoder(manifest.root)
    image, has_orientation = decoder.decode("room_1/112_98_a.jpg")      # a PIL image in RGB
    image, _ = decoder.decode("train-images-idx3-ubyte.gz#17")
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._opened: dict[str, Any] = {}
        self._lock = Lock()

    def decode(self, path: str) -> tuple[Image.Image, bool]:
        """The image in RGB, and whether its EXIF data ask for another orientation than the stored one."""
        name, hash_sign, number = path.rpartition("#")
        if not hash_sign or not number.isdigit() or (self.root / path).is_file():
            return _decode(self.root / path)
        try:
            return _to_rgb(self._picture(name, int(number)), "white"), False
        except IndexError as error:
            raise UndecodableError(path, "there is no image of this number") from error

    def _picture(self, name: str, number: int) -> Image.Image:
        with self._lock:
            if name not in self._opened:
                self._opened[name] = self._open(name)
            opened = self._opened[name]
        if isinstance(opened, np.ndarray):
            return Image.fromarray(opened[number])
        dataset, column = opened
        with self._lock:  # Arrow readers are not made for several threads
            picture = dataset[number][column]
        if not isinstance(picture, Image.Image):
            raise UndecodableError(f"{name}#{number}", "the dataset holds no image here")
        return picture

    def _open(self, name: str) -> Any:
        from shapsight.data.sources.huggingface import image_column, is_saved_dataset, open_saved
        from shapsight.data.sources.idx import is_idx_file, read_idx

        if is_idx_file(self.root / name):
            return read_idx(self.root / name)
        if is_saved_dataset(self.root):
            dataset = open_saved(self.root).get(name)
            if dataset is not None:
                return dataset, image_column(dataset, self.root)
        raise UndecodableError(self.root / name, "there is no such file of images")


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Pillow's warnings (odd EXIF, large images) are no concern of somebody who reads ten thousand files.

    Entered in the calling thread only: filters are shared by all threads, so workers must not touch them.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _decode(path: Path, matte: str = "white") -> tuple[Image.Image, bool]:
    try:
        with Image.open(path) as image:
            image.load()
            has_orientation = image.getexif().get(ORIENTATION_TAG, 1) != 1
            return _to_rgb(image, matte), has_orientation
    except Exception as error:  # Pillow's plugins raise nearly anything on damaged bytes
        raise UndecodableError(path, _reason(path, error)) from error


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
