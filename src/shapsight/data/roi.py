"""The region of interest: the pixels that the model should use, given as a row, as masks or as a polygon."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image

from shapsight.data.images import SUFFIXES, decode_image
from shapsight.errors import DataError

MASK_SUFFIXES = (".png", *(suffix for suffix in SUFFIXES if suffix != ".png"))
WHITE = 127  # a mask's pixel above this grey level is inside
GRAMMAR = (
    "A region of interest is one of: below:ROW (such as below:112, every pixel from that row of the stored "
    "image downwards); a folder of masks (for room_1/112_98_a.jpg the file room_1/112_98_a.png, white inside); "
    "or a JSON file with a polygon in stored pixels ([[x, y], ...], a list of those, or LabelMe's)."
)
Row = Mapping[Any, Any]
Mask = Bool[np.ndarray, "height width"]
Polygon = Float[np.ndarray, "corners 2"]


@dataclass(frozen=True)
class Roi:
    """A region of interest, drawn for one image at a time.

        roi = read_roi("below:112")
        roi.mask(manifest.table.iloc[0])            # (height, width) bool, in stored pixels
        roi.mask(manifest.table.iloc[0], 128)       # (128, 128) bool, in step with load_images(..., 128)

    Attributes
        spec: what it was read from.
        draw: makes the mask of a manifest's row in stored pixels.
    """

    spec: str
    draw: Callable[[Row], Mask]

    def mask(self, row: Row, size: int | None = None) -> Mask:
        """The mask of one row of a manifest's table, or any mapping with `path`, `width` and `height`.

        With `size` it is resized as `load_images` resizes the image: a pixel is inside if at least half of
        what it shows is. Raises `DataError` for a mask that is missing, of another size than the image, or
        (a row or a polygon) not in the image at all.
        """
        mask = self.draw(row)
        if size is None:
            return mask
        image = Image.fromarray(mask.astype(np.uint8) * 255)
        return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR)) >= 128


def read_roi(spec: str | os.PathLike[str]) -> Roi:
    """Read a region of interest: `below:ROW`, a folder of masks, or a polygon file.

        read_roi("below:112")           # row 112 of the stored image and all rows under it
        read_roi("masks")               # for room_1/112_98_a.jpg: masks/room_1/112_98_a.png, white is inside
        read_roi("track.json")          # [[x, y], ...], a list of such polygons, or LabelMe's shapes

    Polygon corners are in stored pixels, where the top left pixel covers 0 to 1; a pixel is inside if its
    centre lies in one of the polygons (even-odd rule where a polygon crosses itself).
    Raises `DataError`, with the grammar, for anything else.
    """
    text = os.fspath(spec)
    if text.startswith("below:"):
        row = text.removeprefix("below:")
        if not (row.isascii() and row.isdigit()):
            raise DataError(
                f"{text!r} does not name a row: below: takes a whole number of 0 or more. {GRAMMAR}"
            )
        return Roi(text, partial(_below, int(row)))
    path = Path(text)
    if path.is_dir():
        return Roi(text, partial(_mask_from_folder, path))
    if not path.is_file():
        raise DataError(
            f"{text!r} is no region of interest, and no file or folder of that name exists. {GRAMMAR}"
        )
    polygons, size = _read_polygons(path)
    return Roi(text, partial(_inside_polygons, path, polygons, size))


def _below(first: int, row: Row) -> Mask:
    if first >= row["height"]:
        raise DataError(
            f"below:{first} leaves nothing of {row['path']}: its {row['height']} rows are numbered from 0"
        )
    return np.repeat((np.arange(row["height"]) >= first)[:, None], row["width"], axis=1)


def _mask_from_folder(folder: Path, row: Row) -> Mask:
    stem = folder / Path(row["path"]).with_suffix("")
    candidates = [stem.with_name(stem.name + suffix) for suffix in MASK_SUFFIXES]
    path = next((candidate for candidate in candidates if candidate.is_file()), None)
    if path is None:
        raise DataError(
            f"there is no mask for {row['path']}: looked for {candidates[0]} (or another image suffix)"
        )
    grey = np.asarray(Image.fromarray(decode_image(path, matte="black")).convert("L"))
    if grey.shape != (row["height"], row["width"]):
        raise DataError(
            f"the mask {path} is {grey.shape[1]} × {grey.shape[0]} pixels, but its image {row['path']} is "
            f"{row['width']} × {row['height']}: a mask needs the size of its image"
        )
    if 0 < grey.max() <= WHITE:
        raise DataError(
            f"the mask {path} is nearly black, its brightest pixel is {grey.max()} of 255: the inside must be white"
        )
    return grey > WHITE


def _read_polygons(path: Path) -> tuple[list[Polygon], tuple[int, int] | None]:
    """The polygons of a JSON file, and the image's (width, height) where the file tells it."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} cannot be read as JSON: {error}. {GRAMMAR}") from error
    size = None
    if isinstance(content, dict) and isinstance(content.get("shapes"), list):
        if content.get("imageWidth") and content.get("imageHeight"):
            size = content["imageWidth"], content["imageHeight"]
        content = [shape.get("points") if isinstance(shape, dict) else None for shape in content["shapes"]]
    elif _is_polygon(content):
        content = [content]
    if not isinstance(content, list) or not content or not all(map(_is_polygon, content)):
        raise DataError(f"{path} holds no polygons of three or more [x, y] corners. {GRAMMAR}")
    return [np.array(polygon, float) for polygon in content], size


def _is_polygon(content: object) -> bool:
    return (
        isinstance(content, list)
        and len(content) >= 3
        and all(isinstance(corner, list) and len(corner) == 2 for corner in content)
        and all(isinstance(number, int | float) for corner in content for number in corner)
    )


def _inside_polygons(path: Path, polygons: list[Polygon], size: tuple[int, int] | None, row: Row) -> Mask:
    width, height = row["width"], row["height"]
    if size is not None and size != (width, height):
        raise DataError(
            f"{path} was drawn on an image of {size[0]} × {size[1]} pixels, but {row['path']} is {width} × {height}"
        )
    mask = np.zeros((height, width), bool)
    for polygon in polygons:
        mask |= _is_inside(polygon, width, height)
    if not mask.any():
        raise DataError(f"the polygons of {path} hold no pixel of {row['path']}, which is {width} × {height}")
    return mask


def _is_inside(polygon: Polygon, width: int, height: int) -> Mask:
    """Even-odd rule at pixel centres: each edge flips the pixels to the right of where it crosses their row."""
    mask = np.zeros((height, width), bool)
    x, y = np.arange(width) + 0.5, np.arange(height) + 0.5
    for (x1, y1), (x2, y2) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        crossed = (y1 <= y) != (y2 <= y)
        crossing = x1 + (y[crossed] - y1) * (x2 - x1) / (y2 - y1) if crossed.any() else np.empty(0)
        mask[crossed] ^= x > crossing[:, None]
    return mask
