"""Images as they are stored: any number of bands, 16 bits, fractions, volumes. Nothing is made into 8-bit colours."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import psutil
from jaxtyping import Shaped
from numpy import ndarray
from PIL import Image

from shapsight.data.given_files import refuse_endless
from shapsight.errors import DataError, MissingDependency, ShapsightError

COLOURS = (1, 3, 4)  # channels of pictures: grey, RGB, RGB with opacity
LARGEST_SHARE = 0.8  # of the free memory: beyond this the system ends the process, without a word
TIFFS = (".tif", ".tiff")
ARRAYS = (".npy", ".npz", ".dcm", ".nii", ".nii.gz")  # what is never a photograph
OF_BANDS = "CS"  # the axes of a TIFF that are bands, as tifffile names them
OF_SLICES = "ZT"

Stored = Shaped[ndarray, "*sides bands"]


def read_stored(path: str | os.PathLike[str], sides: int | None = None) -> Stored:
    """An image file as it is stored, `(height, width, bands)` or `(depth, height, width, bands)`, in its own numbers.

        read_stored("scene.tif")         # (64, 64, 11), uint16
        read_stored("scan.nii.gz")       # (40, 128, 128, 1)

    TIFF by tifffile (and rasterio, where tifffile cannot decode it), `.npy` and `.npz` (with one array; never
    unpickled), PNG of 16 bits, DICOM (`.dcm`, in the unit that it names, no window laid over it), NIfTI (slices, rows
    and columns as stored, not turned), and any photograph as it is. Where a file does not say which axis is the bands,
    it is the shorter one of the first and the last; `sides`: 2 or 3, where it is known that these are images or
    volumes.

    Raises `DataError` with the path for a damaged file and one too large for the memory, with the bytes needed, and
    `MissingDependency` with the name of the extra for DICOM and NIfTI without it.
    """
    path = Path(path)
    try:
        refuse_endless(path)
        array = np.asarray(_reader(path)(path, sides))
    except (DataError, MissingDependency):
        raise
    except FileNotFoundError as error:
        raise DataError(f"{path} cannot be used: there is no such file") from error
    except Exception as error:  # readers raise nearly anything on damaged bytes
        raise DataError(f"{path} cannot be used: it is damaged: {_first_line(error)}") from error
    if array.dtype.kind not in "uifb" or array.ndim not in (3, 4) or not array.size:
        raise DataError(
            f"{path} cannot be used: it holds {array.dtype} of shape {array.shape}, not the numbers of an image"
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise DataError(f"{path} cannot be used: it holds NaN or infinite values; fill them in first")
    return array


def bare(path: str) -> PurePosixPath:
    """A path without its suffix, of which `.nii.gz` is one."""
    return PurePosixPath(path.removesuffix(".gz")).with_suffix("")


def suffix_of(path: Path) -> str:
    """`.nii.gz` is one."""
    return ".nii.gz" if path.name.lower().endswith(".nii.gz") else path.suffix.lower()


def holds_bands(path: Path) -> bool:
    """Whether a file is no picture in colours: an array, a volume, or a TIFF of other than 1, 3 or 4 bands."""
    suffix = suffix_of(path)
    if suffix in ARRAYS:
        return True
    if suffix not in TIFFS:
        return False
    try:
        import tifffile

        with tifffile.TiffFile(path) as file:
            shape, axes = file.series[0].shape, file.series[0].axes
            pages = {axis for axis in axes if axis not in "YXSC"}
            bands = [size for size, axis in zip(shape, axes, strict=True) if axis in OF_BANDS]
            # Pages of their own are pictures of which the first is taken, unless the file calls them one array.
            is_array = bool(pages) and file.is_shaped
    except Exception:  # whatever it is, the decoder of pictures says so
        return False
    return is_array or (bool(bands) and max(bands) not in COLOURS)


def refuse_too_large(needed: int, what: str, instead: str, error: type[ShapsightError] = DataError) -> None:
    """Raise an error before so many bytes are asked for that the system would end the process."""
    free = psutil.virtual_memory().available
    if needed > LARGEST_SHARE * free:
        raise error(
            f"{what} takes {needed / 1e9:.1f} GB of memory ({needed} bytes), and {free / 1e9:.1f} GB are free: "
            f"{instead}"
        )


def bands_last(array: ndarray, sides: int | None = None) -> Stored:
    """An array that does not say what its axes are: bands are the shorter one of the first and the last."""
    if array.ndim in (2, sides):
        return array[..., None]
    if array.ndim in (3, 4) and array.shape[0] < array.shape[-1]:
        return np.moveaxis(array, 0, -1)
    return array


def _reader(path: Path) -> Callable[[Path, int | None], ndarray]:
    suffix = suffix_of(path)
    if suffix in TIFFS:
        return _tiff
    own = {".npy": _npy, ".npz": _npz, ".dcm": _dicom, ".nii": _nifti, ".nii.gz": _nifti, ".png": _png}
    return own.get(suffix, _photograph)


def _room_for(path: Path, size: int) -> None:
    refuse_too_large(size, str(path), "cut it into pieces, or store it with fewer slices, bands or bits")


def _tiff(path: Path, sides: int | None) -> ndarray:
    import tifffile

    with tifffile.TiffFile(path) as file:
        series = file.series[0]
        _room_for(path, series.nbytes)
        axes = series.axes
        try:
            array = series.asarray()
        except Exception as error:
            return _by_rasterio(path, error)
    return _by_axes(array, axes, sides)


def _by_axes(array: ndarray, axes: str, sides: int | None) -> ndarray:
    """Bands last, by the axes that a TIFF names: Y, X, S or C bands, Z or T slices; others do not say."""
    at = next(
        (number for number, axis in enumerate(axes) if axis in OF_BANDS and array.shape[number] > 1), None
    )
    if at is not None:
        return np.moveaxis(array, at, -1)
    array = array.reshape(
        [size for size, axis in zip(array.shape, axes, strict=True) if axis not in OF_BANDS]
    )
    if any(axis in OF_SLICES for axis in axes) and array.ndim == 3:
        return array[..., None]
    return bands_last(array, sides)


def _by_rasterio(path: Path, reason: Exception) -> ndarray:
    try:
        import rasterio
    except ImportError:
        raise DataError(
            f"{path} cannot be used: {_first_line(reason)}; with pip install 'shapsight[geo]' rasterio reads more kinds"
        ) from reason
    with rasterio.open(path, driver="GTiff") as file:
        return np.moveaxis(file.read(), 0, -1)


def _npy(path: Path, sides: int | None) -> ndarray:
    mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    _room_for(path, mapped.nbytes)
    return bands_last(np.array(mapped), sides)


def _npz(path: Path, sides: int | None) -> ndarray:
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        if len(file.files) != 1:
            raise DataError(
                f"{path} cannot be used: it holds {len(file.files)} arrays, where one is an image"
            )
        with file.zip.open(f"{file.files[0]}.npy") as head:
            version = np.lib.format.read_magic(head)
            of = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, _, dtype = of(head)
        _room_for(path, int(np.prod(shape, dtype=object)) * dtype.itemsize)
        return bands_last(file[file.files[0]], sides)


def _png(path: Path, sides: int | None) -> ndarray:
    import cv2

    pixels = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype == np.uint8:
        return _photograph(path, sides)
    return pixels[..., None] if pixels.ndim == 2 else pixels[..., [2, 1, 0, *range(3, pixels.shape[2])]]


def _photograph(path: Path, _sides: int | None) -> ndarray:
    with Image.open(path) as image:
        plain = image if image.mode in ("L", "RGB", "RGBA", "I", "I;16", "F") else image.convert("RGB")
        pixels = np.array(plain)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _dicom(path: Path, _sides: int | None) -> ndarray:
    try:
        import pydicom
        from pydicom.pixels.processing import apply_modality_lut
    except ImportError as error:
        raise MissingDependency(f"{path} is DICOM: pip install 'shapsight[medical]' reads it") from error
    file = pydicom.dcmread(path)
    frames = int(getattr(file, "NumberOfFrames", 1) or 1)
    samples = int(getattr(file, "SamplesPerPixel", 1))
    _room_for(path, file.Rows * file.Columns * frames * samples * max(int(file.BitsAllocated) // 8, 1))
    pixels: Any = apply_modality_lut(file.pixel_array, file)
    array = np.asarray(pixels, np.float32) if pixels.dtype == np.float64 else np.asarray(pixels)
    return array if samples > 1 else array[..., None]


def _nifti(path: Path, _sides: int | None) -> ndarray:
    try:
        import nibabel
    except ImportError as error:
        raise MissingDependency(f"{path} is NIfTI: pip install 'shapsight[medical]' reads it") from error
    file: Any = nibabel.load(path)
    if len(file.shape) not in (3, 4):
        raise DataError(
            f"{path} cannot be used: it has {len(file.shape)} axes, where a volume has 3, or 4 with bands"
        )
    _room_for(path, 4 * int(np.prod(file.shape, dtype=object)))
    volume = file.get_fdata(dtype=np.float32)  # (x, y, z) or (x, y, z, bands)
    return np.asarray(volume.transpose(2, 1, 0, *range(3, volume.ndim))).reshape(
        *volume.shape[2::-1], -1 if volume.ndim > 3 else 1
    )


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
