"""The region of interest: the pixels that the model should use, given as a row, masks, polygons or boxes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from jaxtyping import Bool
from PIL import Image

from shapsight.data.annotations import Shapes, box, read_shapes, refuse_another_size, shapes_of
from shapsight.data.decoding import decode_image, image_suffixes
from shapsight.data.framing import Framing, framing_of
from shapsight.data.given_files import is_file, is_folder
from shapsight.data.image_files import is_image
from shapsight.data.imported import imported
from shapsight.data.sources.remote import Remote, as_url, fetched_file
from shapsight.errors import DataError, naming

WHITE = 127  # a mask's pixel above this grey level is inside
GRAMMAR = (
    "A region of interest is one of: below:ROW (such as below:112, every pixel from that row of the stored "
    "image downwards); a folder of masks (for room_1/112_98_a.jpg the file room_1/112_98_a.png, white inside, or "
    "room_1/112_98_a.json of LabelMe); a JSON file with a polygon in stored pixels ([[x, y], ...], a list of those, "
    "LabelMe's or COCO's); a CSV of boxes (path, left, top, right, bottom); such a folder or file on an object store "
    "(s3://bucket/masks); column:NAME of the dataset's table; or module:function, which gives the mask of a row."
)
Row = Mapping[Any, Any]
Mask = Bool[np.ndarray, "height width"]


@dataclass(frozen=True)
class Roi:
    """A region of interest, drawn for one image at a time.

        roi = read_roi("below:112")
        roi.mask(manifest.table.iloc[0])            # (height, width) bool, in stored pixels
        roi.mask(manifest.table.iloc[0], 128)       # (128, 128) bool, in step with load_images(..., 128)

    Attributes
        spec: what it was read from.
        draw: makes the mask of a manifest's row in stored pixels.
        masks: by the path of their image, where they were given as arrays.
    """

    spec: str
    draw: Callable[[Row], Mask]
    masks: Mapping[str, Mask] | None = None

    def __str__(self) -> str:
        return self.spec

    def mask(self, row: Row, size: int | Framing | None = None) -> Mask:
        """The mask of one row of a manifest's table, or any mapping with `path`, `width` and `height`.

        With `size` it is resized as `load_images` resizes the image, or as a framing sees it: a pixel is inside
        if at least half of what it shows is. Raises `DataError` for a mask that is missing, of another size than the
        image, or (a row or a polygon) not in the image at all.
        """
        mask = self.draw(row)
        return mask if size is None else framing_of(size).mask(mask)


def read_roi(spec: str | os.PathLike[str] | Callable[[Row], Any] | Roi) -> Roi:
    """Read a region of interest: a row, masks, polygons, boxes, a column of the table, or a function.

        read_roi("below:112")           # row 112 of the stored image and all rows under it
        read_roi("masks")               # for room_1/112_98_a.jpg: masks/room_1/112_98_a.png, white is inside
        read_roi("track.json")          # [[x, y], ...], a list of such polygons, or LabelMe's shapes
        read_roi("coco.json")           # COCO: polygons, run lengths or boxes of each image
        read_roi("boxes.csv")           # columns path, left, top, right, bottom
        read_roi("s3://bucket/masks")   # any of these on an object store; masks are fetched as they are drawn
        read_roi("column:roi")          # each row's own: below:ROW, box:L,T,R,B, a mask or a polygon file
        read_roi("my_masks:track")      # a function of the row, (height, width) bool; or the function itself

    Polygon corners are in stored pixels, where the top left pixel covers 0 to 1; a pixel is inside if its
    centre lies in one of the polygons (even-odd rule where a polygon crosses itself).
    A `Roi` stays what it is. Raises `DataError`, with the grammar, for anything else.
    """
    if isinstance(spec, Roi):
        return spec
    if callable(spec):
        name = getattr(spec, "__name__", "a function")
        return Roi(name, partial(_from_function, name, spec))
    text = os.fspath(spec)
    if text.startswith("column:"):
        return Roi(text, partial(_from_column, text.removeprefix("column:")))
    if text.startswith("below:"):
        row = text.removeprefix("below:")
        if not (row.isascii() and row.isdigit()):
            raise DataError(
                f"{text!r} does not name a row: below: takes a whole number of 0 or more. {GRAMMAR}"
            )
        return Roi(text, partial(_below, int(row)))
    if (url := as_url(text)) is not None:
        return Roi(url, _elsewhere(Remote.at(url)))
    path = Path(text)
    if is_folder(path):
        return Roi(text, partial(_mask_from_folder, path))
    if not is_file(path):
        function = _imported(text)
        if function is not None:
            return Roi(text, partial(_from_function, text, function))
        raise DataError(
            f"{text!r} is no region of interest, and no file or folder of that name exists. {GRAMMAR}"
        )
    return Roi(text, partial(_from_shapes, path, read_shapes(path, GRAMMAR)))


def given_masks(masks: Mapping[str, Mask], spec: str) -> Roi:
    """A region of interest of masks by the path of their image, `(height, width)` bool in stored pixels."""
    return Roi(spec, partial(_from_function, spec, partial(_given, spec, masks)), masks)


def mask_files(paths: Sequence[str]) -> list[str] | None:
    """Where a folder of masks holds those of some images; None where it cannot hold one for each."""
    files = [PurePosixPath(path).with_suffix(".png") for path in paths]
    is_clear = len(set(files)) == len(files) and not any(file.is_absolute() for file in files)
    return [str(file) for file in files] if is_clear else None


def as_mask(thing: Any) -> Mask:
    """An array, tensor or PIL image as a mask: True, 1 or white is inside.

        as_mask(torch.ones(1, 224, 224))        # (224, 224) bool

    Raises `DataError` for another shape, and for numbers that leave open what is inside, such as those of classes.
    """
    values = np.asarray(thing.convert("L") if isinstance(thing, Image.Image) and thing.mode != "1" else thing)
    values = values[0] if values.ndim == 3 and len(values) == 1 else values
    values = values[..., 0] if values.ndim == 3 and values.shape[-1] == 1 else values
    if values.ndim != 2 or values.dtype.kind not in "buif":
        raise DataError(
            f"a mask of shape {values.shape} and type {values.dtype} is not (height, width) of numbers"
        )
    highest = values.max(initial=0)
    if values.dtype == bool or highest <= 1:
        return np.asarray(values > 0.5)
    if highest <= WHITE:
        raise DataError(
            f"the highest number of a mask is {highest:g}: the inside must be True, 1 or white (255)"
        )
    return np.asarray(values > WHITE)


def _given(spec: str, masks: Mapping[str, Mask], row: Row) -> Mask:
    if row["path"] not in masks:
        raise DataError(f"{spec}: there is none for {row['path']}")
    return masks[row["path"]]


def _below(first: int, row: Row) -> Mask:
    if first >= row["height"]:
        raise DataError(
            f"below:{first} leaves nothing of {row['path']}: its {row['height']} rows are numbered from 0"
        )
    return np.repeat((np.arange(row["height"]) >= first)[:, None], row["width"], axis=1)


def _mask_from_folder(folder: Path, row: Row) -> Mask:
    stem = folder / Path(row["path"]).with_suffix("")
    annotations = stem.with_name(f"{stem.name}.json")
    if annotations.is_file():
        return _from_shapes(annotations, read_shapes(annotations, GRAMMAR), row)
    suffixes = sorted(image_suffixes(), key=lambda suffix: suffix != ".png")
    candidates = [stem.with_name(stem.name + suffix) for suffix in suffixes]
    path = next((candidate for candidate in candidates if candidate.is_file()), None)
    if path is None:
        raise DataError(
            f"there is no mask for {row['path']}: looked for {candidates[0]} (or another image suffix)"
        )
    return _read_mask(path, row)


def _elsewhere(remote: Remote) -> Callable[[Row], Mask]:
    """What draws the masks of a folder, or of a file, on an object store."""
    found = remote.found()
    if list(found) != [""]:
        return partial(_mask_from_remote, remote, frozenset(found))
    if is_image(Path(remote.name)):
        return partial(_mask_of_remote, remote, remote.path)
    with fetched_file(remote, remote.path) as file:
        return partial(_from_shapes, Path(remote.url), read_shapes(file, GRAMMAR))


def _mask_from_remote(remote: Remote, names: frozenset[str], row: Row) -> Mask:
    stem = PurePosixPath(row["path"]).with_suffix("")
    suffixes = (".json", ".png", *image_suffixes())
    name = next((f"{stem}{suffix}" for suffix in suffixes if f"{stem}{suffix}" in names), None)
    if name is None:
        raise DataError(
            f"there is no mask for {row['path']}: looked for {remote.url}/{stem}.png (or another image suffix)"
        )
    return _mask_of_remote(remote, f"{remote.path}/{name}", row)


def _mask_of_remote(remote: Remote, path: str, row: Row) -> Mask:
    with fetched_file(remote, path) as file:
        if file.suffix == ".json":
            return _from_shapes(file, read_shapes(file, GRAMMAR), row)
        return _read_mask(file, row)


def _read_mask(path: Path, row: Row) -> Mask:
    grey = np.asarray(Image.fromarray(decode_image(path, matte="black")).convert("L"))
    refuse_another_size(f"the mask {path} is", (grey.shape[1], grey.shape[0]), row)
    if 0 < grey.max() <= WHITE:
        raise DataError(
            f"the mask {path} is nearly black, its brightest pixel is {grey.max()} of 255: the inside must be white"
        )
    return grey > WHITE


def _from_shapes(path: Path, shapes: Shapes | dict[str, Shapes], row: Row) -> Mask:
    width, height = row["width"], row["height"]
    found = shapes if isinstance(shapes, Shapes) else shapes_of(shapes, row["path"], path)
    if found.size is not None:
        refuse_another_size(f"{path} was drawn on an image of", found.size, row)
    mask = found.draw(width, height)
    if not mask.any():
        raise DataError(f"the polygons of {path} hold no pixel of {row['path']}, which is {width} × {height}")
    return mask


def _from_function(name: str, function: Callable[[Row], Any], row: Row) -> Mask:
    mask = np.asarray(function(row))
    if mask.shape != (row["height"], row["width"]):
        raise DataError(
            f"{name} gave a mask of shape {mask.shape} for {row['path']}: it needs (height, width), "
            f"({row['height']}, {row['width']})"
        )
    return mask.astype(bool)


def _from_column(column: str, row: Row) -> Mask:
    """Each row's own region: below:ROW, box:LEFT,TOP,RIGHT,BOTTOM, a mask or a polygon file."""
    text = row.get(column)
    if not isinstance(text, str) or not text:
        raise DataError(f"the column {column!r} holds no region of interest for {row['path']}")
    if text.startswith("box:"):
        try:
            left, top, right, bottom = map(float, text.removeprefix("box:").split(","))
            if not np.isfinite([left, top, right, bottom]).all():
                raise ValueError("a side is no finite number")
        except ValueError as error:
            raise DataError(f"{text!r} of {row['path']} is no box:LEFT,TOP,RIGHT,BOTTOM") from error
        return _from_shapes(Path(text), Shapes([box(left, top, right, bottom)]), row)
    path = Path(text)
    with naming(row["path"]):
        if is_file(path) and is_image(path):
            return _read_mask(path, row)
        return read_roi(text).draw(row)


def _imported(text: str) -> Callable[[Row], Any] | None:
    """The function of `module:name`, where there is such a module."""
    module_name, _, name = text.partition(":")
    if not (name.isidentifier() and all(part.isidentifier() for part in module_name.split("."))):
        return None
    try:
        function = getattr(imported(module_name), name, None)
    except ModuleNotFoundError:
        return None
    return function if callable(function) else None
