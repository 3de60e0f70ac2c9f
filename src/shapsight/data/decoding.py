"""Decoding one image: always 8-bit RGB, whatever the file holds, and the pixels as stored, never rotated."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from shapsight.data.blobs import Blobs
from shapsight.data.depth import deep_colours, said_white, to_eight_bits, unopened_tiff
from shapsight.data.given_files import refuse_endless
from shapsight.data.pictures import Pictures
from shapsight.data.stored import ARRAYS, Stored, holds_bands, read_stored
from shapsight.errors import DataError

PHOTOGRAPHS = tuple(
    ".jpg .jpeg .jpe .jfif .png .bmp .webp .tif .tiff .gif .avif .heic .heif .jp2 .ppm .pgm .pnm".split()
)
ORIENTATION_TAG = 0x0112  # EXIF; 1 means "as stored"
DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N", "F")  # how Pillow opens grey files of more than 8 bits
HOLDS_SEVERAL = ("GIF", "TIFF")
Result = TypeVar("Result")
NO_PICTURE = (
    "it holds bands or a volume, and no picture in red, green and blue can be made of that: a model of such images is "
    "wrapped with their number, Bundle.wrap(model, transform, channels=11, size=(64, 64))"
)


@cache
def image_suffixes() -> tuple[str, ...]:
    """The suffixes of images that can be decoded here; .heic with the package pillow-heif."""
    with suppress(ModuleNotFoundError):
        import pillow_heif

        pillow_heif.register_heif_opener()
    known = Image.registered_extensions()
    return (*(suffix for suffix in PHOTOGRAPHS if known.get(suffix) in Image.OPEN), *ARRAYS)


def decode_image(
    path: str | os.PathLike[str], *, matte: str = "white"
) -> UInt8[np.ndarray, "height width 3"]:
    """Decode an image file to 8-bit RGB, as it is stored.

        pixels = decode_image("data/room_1/112_98_a.jpg")      # (height, width, 3), uint8

    Greyscale, palette and CMYK files become RGB; deeper pixels are scaled to 8 bits by what the file says is white,
    otherwise by the least of 255, 4095 and 65535 (fractions: 1 or 255) that holds them; transparency is laid on
    `matte` (a colour name); and an EXIF orientation is not applied: targets refer to the stored pixels.
    Raises `DataError` with the path and the reason if the file cannot be decoded.
    """
    with quiet_pillow():
        return np.array(_decode(Path(path), matte).image)


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded image, in RGB, and what a reader should know of it.

    Attributes
        white: of deeper pixels that do not say it, what was taken for white.
        has_orientation: its EXIF data ask for another orientation than the stored one.
        has_more: the file holds further pictures, of which this is the first.
    """

    image: Image.Image
    white: float | None = None
    has_orientation: bool = False
    has_more: bool = False


class UndecodableError(DataError):
    """One image that cannot be used, with the reason alone in `reason`."""

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(f"{path} cannot be used: {reason}")
        self.reason = reason


class Decoder:
    """Decodes the images of a dataset's paths: files, `FILE#NUMBER` inside a file that holds many, and `pictures`.

    decoder = Decoder(manifest.root, manifest.pictures)
    decoder.decode("room_1/112_98_a.jpg").image      # a PIL image in RGB
    decoder.decode("train-images-idx3-ubyte.gz#17").image
    decoder.decode("image_00007.png").image          # where pictures has an image of this name, and no file is asked
    """

    def __init__(self, root: Path, pictures: Pictures | None = None) -> None:
        self.root = root
        self.pictures = pictures
        self._opened: dict[str, Any] = {}
        self._lock = Lock()

    def holds_bands(self, path: str) -> bool:
        """Whether an image is no picture in colours, and can only be read as it is stored."""
        if self.pictures is None:
            return holds_bands(self.root / path)
        if isinstance(self.pictures, Blobs):
            with suppress(UndecodableError):
                return _in_file(self.pictures, path, holds_bands)
            return False
        with self._lock:  # as in `_given`
            try:
                return self.pictures.holds_bands(path)
            except Exception:  # what a dataset of the user's own raises may be anything
                return False

    def stored(self, path: str, sides: int | None = None) -> Stored:
        """The image as it is stored, `(*sides, bands)`; see `read_stored`. Raises `UndecodableError`."""
        try:
            if isinstance(self.pictures, Blobs):
                return _in_file(self.pictures, path, lambda file: read_stored(file, sides))
            if self.pictures is not None:
                with self._lock:
                    return self.pictures.stored(path, sides)
            if (self.root / path).is_file():
                return read_stored(self.root / path, sides)
            return np.asarray(self.decode(path).image)
        except UndecodableError:
            raise
        except (DataError, ValueError) as error:
            reason = str(error).removeprefix(f"{self.root / path} cannot be used: ")
            raise UndecodableError(path, reason) from error

    def decode(self, path: str) -> Picture:
        """The image in RGB. Raises `UndecodableError`."""
        if isinstance(self.pictures, Blobs):
            return _in_file(self.pictures, path, _decode)
        if self.pictures is not None:
            return self._given(path, self.pictures)
        name, hash_sign, number = path.rpartition("#")
        if not hash_sign or not number.isdigit() or (self.root / path).is_file():
            return _decode(self.root / path)
        try:
            return Picture(*_to_rgb(self._picture(name, int(number)), "white"))
        except IndexError as error:
            raise UndecodableError(path, "there is no image of this number") from error
        except ValueError as error:
            raise UndecodableError(path, str(error)) from error

    def _given(self, name: str, pictures: Pictures) -> Picture:
        try:
            with self._lock:  # datasets of users are not made for several threads either
                image, white = pictures[name]
            rgb, taken = _to_rgb(image, "white")
        except DataError as error:
            raise DataError(f"{name}: {error}") from error
        except Exception as error:  # what a dataset of the user's own raises may be anything
            raise UndecodableError(name, str(error) or type(error).__name__) from error
        return Picture(rgb, white or taken)

    def _picture(self, name: str, number: int) -> Image.Image:
        with self._lock:
            if name not in self._opened:
                self._opened[name] = self._open(name)
            opened = self._opened[name]
        if isinstance(opened, np.ndarray):
            return Image.fromarray(opened[number])
        dataset, column = opened
        with self._lock:  # Arrow readers are not made for several threads
            picture = self._row(name, dataset, number)[column]
        if not isinstance(picture, Image.Image):
            raise UndecodableError(f"{name}#{number}", "the dataset holds no image here")
        return picture

    def _row(self, name: str, dataset: Any, number: int) -> Any:
        try:
            return dataset[number]
        except IndexError:
            raise
        except Exception as error:  # as in _decode
            raise UndecodableError(self.root / f"{name}#{number}", f"it is damaged: {error}") from error

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


def _in_file(blobs: Blobs, name: str, function: Callable[[Path], Result]) -> Result:
    """What a function makes of the file of an image that lies elsewhere. Raises `UndecodableError` by its name."""
    try:
        with blobs.file(name) as file:
            return function(file)
    except UndecodableError as error:
        raise UndecodableError(name, error.reason) from error
    except FileNotFoundError as error:
        raise UndecodableError(name, "there is no such file") from error
    except ValueError as error:
        raise UndecodableError(name, str(error)) from error
    except Exception as error:  # each object store raises its own
        raise UndecodableError(name, f"it cannot be read: {str(error) or type(error).__name__}") from error


def _decode(path: Path, matte: str = "white") -> Picture:
    image_suffixes()  # registers what decodes .heic
    try:
        refuse_endless(path)
        if path.is_file() and holds_bands(path):
            raise UndecodableError(path, NO_PICTURE)
        with Image.open(path) as image:
            image.load()
            has_orientation = image.getexif().get(ORIENTATION_TAG, 1) != 1
            rgb, white = _to_rgb(image, matte, path)
            has_more = image.format in HOLDS_SEVERAL and getattr(image, "n_frames", 1) > 1
            return Picture(rgb, white, has_orientation, has_more)
    except UndecodableError:
        raise
    except Exception as error:  # Pillow's plugins raise nearly anything on damaged bytes
        if isinstance(error, UnidentifiedImageError) and (colours := unopened_tiff(path)) is not None:
            return _picture_of(path, colours)
        raise UndecodableError(path, _reason(path, error)) from error


def _picture_of(path: Path, colours: np.ndarray) -> Picture:
    """What OpenCV read of a TIFF that Pillow does not know, such as one of fractions in colour."""
    try:
        return Picture(*_eight_bits_in_colour(colours, None))
    except ValueError as error:
        raise UndecodableError(path, str(error)) from error


def _to_rgb(image: Image.Image, matte: str, path: Path | None = None) -> tuple[Image.Image, float | None]:
    """The image in 8 bits, and what was taken for white of deeper pixels that do not say it."""
    white = None
    colours = None if path is None else deep_colours(image, path)
    if colours is not None:
        given = said_white(image, path)
        image, white = _eight_bits_in_colour(colours, given)
    elif image.mode in DEEP_MODES:
        levels, white = to_eight_bits(np.asarray(image), said_white(image, path))
        image = Image.fromarray(levels)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, matte), rgba).convert("RGB"), white
    return image.convert("RGB"), white


def _eight_bits_in_colour(colours: np.ndarray, given: float | None) -> tuple[Image.Image, float | None]:
    """A deep colour picture; its opacity runs over the whole range of its numbers."""
    levels, white = to_eight_bits(colours[..., :3] if colours.ndim == 3 else colours, given)
    if levels.shape == colours.shape:
        return Image.fromarray(levels).convert("RGB"), white
    opacity, _ = to_eight_bits(colours[..., 3:], 1.0 if colours.dtype.kind == "f" else 65535)
    return Image.fromarray(np.concatenate([levels, opacity], axis=2)), white


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
