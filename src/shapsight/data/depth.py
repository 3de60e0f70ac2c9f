"""From deeper pixels to 8 bits: white is what the file says, otherwise what its values leave open."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image

WHITES = {"u": (255, 4095, 65535), "f": (1.0, 255.0)}  # of whole numbers and of fractions
TIFF_BEGINS = (b"II*\0", b"MM\0*")
TIFF_BITS, TIFF_MAXIMUM = 258, 281
SEVERAL_CHANNELS = (2, 4, 6)  # PNG's colour types with more than one


def to_eight_bits(
    values: np.ndarray, white: float | None = None
) -> tuple[UInt8[np.ndarray, "..."], float | None]:
    """Pixels from 0 to `white` as 0 to 255; and the white that was taken where none was given.

        to_eight_bits(np.array([0, 2048, 4095], np.uint16))       # ([0, 128, 255], 4095)
        to_eight_bits(np.array([0.0, 0.5, 1.0]))                  # ([0, 128, 255], 1.0)
        to_eight_bits(np.array([0, 300], np.uint16), 65535)       # ([0, 1], None)

    Taken is the least of 255, 4095 and 65535 that holds all values, of fractions 1 or 255; None where all is black.
    Raises `ValueError` for values below 0, above all of these, or not finite.
    """
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if white is None:
        whites = WHITES["f" if values.dtype.kind == "f" else "u"]
        taken = next((each for each in whites if low >= 0 and high <= each), None)
        if taken is None:
            allowed = " or ".join(f"{each:g}" for each in whites)
            raise ValueError(f"its pixels run from {low:g} to {high:g}, where 0 to {allowed} can be read")
    else:
        taken = white
    scaled = np.round(np.clip(values / taken, 0, 1) * 255).astype(np.uint8)
    return scaled, taken if white is None and high > 0 else None


def said_white(image: Image.Image, path: Path | None) -> float | None:
    """What the file says that white is: the maximum of a TIFF; of a PNG that tells its significant bits, all 16.

    A PNG scales its samples to their full depth (specification, 11.3.2.7), and who writes sBIT knows that.
    """
    if image.format == "PNG" and path is not None:
        return None if _png_chunk(path, b"sBIT") is None else 65535.0
    if image.format == "TIFF":
        maximum = image.tag_v2.get(TIFF_MAXIMUM)  # type: ignore[attr-defined]
        white = max(maximum) if isinstance(maximum, tuple) else maximum
        return float(white) if white else None
    return None


def deep_colours(image: Image.Image, path: Path) -> np.ndarray | None:
    """The pixels of a colour file with more than 8 bits, which Pillow would cut; None for any other.

    `(height, width, 3 or 4)`, RGB.
    """
    if image.format == "PNG":
        header = _png_chunk(path, b"IHDR")
        is_deep = header is not None and header[8] == 16 and header[9] in SEVERAL_CHANNELS
    else:
        bits = image.tag_v2.get(TIFF_BITS, (8,)) if image.format == "TIFF" else (8,)  # type: ignore[attr-defined]
        is_deep = len(image.getbands()) > 1 and max(bits if isinstance(bits, tuple) else (bits,)) > 8
    return _read(path) if is_deep else None


def unopened_tiff(path: Path) -> np.ndarray | None:
    """What OpenCV reads of a TIFF that Pillow does not open, grey or as `deep_colours`; None for anything else."""
    return _read(path) if path.read_bytes()[:4] in TIFF_BEGINS else None


def _read(path: Path) -> np.ndarray | None:
    """The pixels as they are stored; None where OpenCV cannot read them either."""
    try:
        pixels = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    if pixels is None or pixels.ndim == 2:
        return pixels
    return pixels[..., [2, 1, 0, *range(3, pixels.shape[2])]] if pixels.shape[2] in (3, 4) else None


def _png_chunk(path: Path, name: bytes) -> bytes | None:
    """The content of a chunk before the pixels."""
    with path.open("rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8 and head[4:] != b"IDAT":
            content = file.read(int.from_bytes(head[:4], "big"))
            if head[4:] == name:
                return content
            file.seek(4, 1)  # its checksum
    return None
