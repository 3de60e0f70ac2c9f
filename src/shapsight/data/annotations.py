"""Annotation files: polygons and boxes of COCO, LabelMe, plain JSON and CSV, by the image they belong to."""

from __future__ import annotations

import base64
import io
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TypeGuard

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from PIL import Image

from shapsight.data.given_files import is_number, read_json, refuse_endless
from shapsight.errors import DataError, MissingDependency

Mask = Bool[np.ndarray, "height width"]
Polygon = Float[np.ndarray, "corners 2"]
WITHOUT_AREA = ("point", "points", "line", "linestrip")
BOX_COLUMNS = ("path", "left", "top", "right", "bottom")


@dataclass(frozen=True, eq=False)
class Shapes:
    """What is drawn on an image: polygons in stored pixels, masks, and the image's (width, height) if it is told."""

    polygons: Sequence[Polygon] = ()
    size: tuple[int, int] | None = None
    masks: Sequence[Mask] = field(default_factory=tuple)

    def draw(self, width: int, height: int) -> Mask:
        """The pixels inside any of them."""
        mask = np.zeros((height, width), bool)
        for polygon in self.polygons:
            mask |= is_inside(polygon, width, height)
        for each in self.masks:
            mask |= each
        return mask


def read_shapes(path: Path, grammar: str) -> Shapes | dict[str, Shapes]:
    """The shapes of a JSON or CSV file: for every image, or by the image's path (COCO, boxes).

    Raises `DataError`, with the grammar, for a file of something else.
    """
    if path.suffix.lower() == ".csv":
        return _boxes_of(_box_table(path))
    content = _json(path, grammar)
    with _damaged(path, content):
        return _coco(path, content) if _is_coco(content) else _shapes(path, content, grammar)


def read_categories(path: Path, grammar: str) -> dict[str, Shapes | dict[str, Shapes]]:
    """What `read_shapes` reads, for each kind of object by itself, in alphabetical order.

    COCO names categories, LabelMe labels, and a CSV of boxes has a column `category`; a file without is one kind,
    "object". Raises `DataError`, with the grammar, for a file of something else.
    """
    if path.suffix.lower() == ".csv":
        table = _box_table(path)
        if "category" not in table:
            table = table.assign(category="object")
        kinds = sorted(table["category"].astype(str).unique())
        every = dict.fromkeys(map(_posix, table["path"].unique()), Shapes())
        return {kind: every | _boxes_of(table[table["category"].astype(str) == kind]) for kind in kinds}
    content = _json(path, grammar)
    with _damaged(path, content):
        return _categories_of(path, content, grammar)


def _categories_of(path: Path, content: Any, grammar: str) -> dict[str, Shapes | dict[str, Shapes]]:
    if _is_coco(content):
        return _coco_categories(path, content)
    if isinstance(content, dict) and isinstance(content.get("shapes"), list):
        parts: dict[str, list[Any]] = {}
        for shape in content["shapes"]:
            if _has_area(shape):
                parts.setdefault(_label(shape), []).append(shape)
        if content["shapes"] and not parts:
            _shapes(path, content, grammar)  # which says what they are instead
        return {kind: _shapes(path, {**content, "shapes": parts[kind]}, grammar) for kind in sorted(parts)}
    return {"object": _shapes(path, content, grammar)}


def refuse_another_size(what_is: str, drawn: tuple[int, int], row: Mapping[Any, Any]) -> None:
    """Raise `DataError` where something was drawn on (width, height) other than a row's image has."""
    size = int(row["width"]), int(row["height"])
    if drawn == size:
        return
    turned = (
        ". The sides are swapped: the picture probably carries an EXIF orientation, which the tool that it was "
        "annotated with applied, while shapsight takes the pixels as stored. Save the pictures upright "
        "(PIL.ImageOps.exif_transpose)"
    )
    raise DataError(
        f"{what_is} {drawn[0]} × {drawn[1]} pixels, but {row['path']} is {size[0]} × {size[1]}"
        + (turned if drawn == size[::-1] else "")
    )


def shapes_of(shapes: Mapping[str, Shapes], path: str, source: Path) -> Shapes:
    """The shapes of an image, found by its path or, where that is clear, by its name alone."""
    if path in shapes:
        return shapes[path]
    name = PurePosixPath(path).name
    same = [key for key in shapes if PurePosixPath(key).name == name]
    if len(same) == 1:
        return shapes[same[0]]
    which = f"has {len(same)} images called {name}" if same else f"has no image called {path}"
    raise DataError(f"{source} {which}, so the region of interest of this image is not known")


def is_inside(polygon: Polygon, width: int, height: int) -> Mask:
    """Even-odd rule at pixel centres: each edge flips the pixels to the right of where it crosses their row."""
    mask = np.zeros((height, width), bool)
    x, y = np.arange(width) + 0.5, np.arange(height) + 0.5
    for (x1, y1), (x2, y2) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        crossed = (y1 <= y) != (y2 <= y)
        crossing = x1 + (y[crossed] - y1) * (x2 - x1) / (y2 - y1) if crossed.any() else np.empty(0)
        mask[crossed] ^= x > crossing[:, None]
    return mask


def box(left: float, top: float, right: float, bottom: float) -> Polygon:
    """A box as a polygon, in stored pixels."""
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], float)


def _has_area(shape: object) -> bool:
    """Points and lines of LabelMe mark places, no area; what says no kind is a polygon, as old versions wrote it."""
    return not isinstance(shape, dict) or shape.get("shape_type") not in WITHOUT_AREA


def _labelme(path: Path, shape: Any, size: tuple[int, int] | None) -> tuple[list[Polygon], list[Mask]]:
    """A shape as polygons and masks."""
    kind = shape.get("shape_type") if isinstance(shape, dict) else None
    points = shape.get("points") if isinstance(shape, dict) else None
    if kind == "rectangle" and _are_points(points) and len(points) == 2:
        (x1, y1), (x2, y2) = points
        return [box(x1, y1, x2, y2)], []
    if kind == "circle" and _are_points(points) and len(points) == 2:
        return [_circle(np.array(points[0], float), np.array(points[1], float))], []
    if kind == "mask" and _are_points(points) and points and isinstance(shape.get("mask"), str):
        return [], [_pasted(path, shape["mask"], points[0], size)]
    if not _is_polygon(points):
        raise DataError(f"{path} holds a {kind or 'shape'} labelled {_label(shape)!r} that cannot be drawn")
    return [np.array(points, float)], []


def _circle(centre: np.ndarray, edge: np.ndarray, corners: int = 256) -> Polygon:
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    return np.asarray(
        centre + np.hypot(*(edge - centre)) * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    )


def _pasted(path: Path, mask: str, corner: Sequence[float], size: tuple[int, int] | None) -> Mask:
    """A LabelMe mask, a picture of its own, at its place in the image."""
    if size is None:
        raise DataError(f"{path} holds a mask, but not imageWidth and imageHeight, so its place is not known")
    try:
        inside = np.asarray(Image.open(io.BytesIO(base64.b64decode(mask, validate=True)))).astype(bool)
        whole = np.zeros((size[1], size[0]), bool)
        left, top = (round(value) for value in corner)
        whole[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
    except Exception as error:  # Pillow's plugins raise nearly anything on damaged bytes
        raise DataError(f"{path} holds a damaged mask: {error}") from error
    return whole


def _are_points(content: object) -> TypeGuard[list[list[float]]]:
    return (
        isinstance(content, list)
        and all(isinstance(corner, list) and len(corner) == 2 for corner in content)
        and all(is_number(number) for corner in content for number in corner)
    )


def _is_polygon(content: object) -> bool:
    return _are_points(content) and len(content) >= 3


def _json(path: Path, grammar: str) -> Any:
    try:
        return read_json(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as JSON: {error}. {grammar}") from error


def _is_coco(content: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(content, dict) and "annotations" in content and "images" in content


@contextmanager
def _damaged(path: Path, content: object) -> Iterator[None]:
    """Values of a wrong type end in errors of many kinds, wherever they are used."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        kind = "as a COCO file" if _is_coco(content) else "or holds no annotations"
        raise DataError(f"{path} is damaged {kind}: {error!r:.200}") from error


def _shapes(path: Path, content: Any, grammar: str) -> Shapes:
    """LabelMe's shapes, or plain polygons."""
    if not (isinstance(content, dict) and isinstance(content.get("shapes"), list)):
        found = [content] if _is_polygon(content) else content
        if not isinstance(found, list) or not found or not all(map(_is_polygon, found)):
            raise DataError(f"{path} holds no polygons of three or more [x, y] corners. {grammar}")
        return Shapes([np.array(polygon, float) for polygon in found])
    size = None
    if content.get("imageWidth") and content.get("imageHeight"):
        size = int(content["imageWidth"]), int(content["imageHeight"])
    drawn = [_labelme(path, shape, size) for shape in content["shapes"] if _has_area(shape)]
    if not drawn:
        kinds = Counter(str(shape.get("shape_type")) for shape in content["shapes"])
        said = ", ".join(f"{number} × {kind}" for kind, number in kinds.items())
        only = f": it holds {said}, which have no area" if said else ""
        raise DataError(f"{path} holds no polygons of three or more [x, y] corners{only}. {grammar}")
    if len(drawn) < len(content["shapes"]):
        warnings.warn(
            "LabelMe's points and lines have no area: they are no part of any region or object.", stacklevel=2
        )
    return Shapes(
        [each for some, _ in drawn for each in some], size, [each for _, some in drawn for each in some]
    )


def _label(shape: object) -> str:
    """What LabelMe calls a shape."""
    return str((shape.get("label") if isinstance(shape, dict) else None) or "object")


def _posix(path: object) -> str:
    r"""A path as manifests write it: room_1/a.jpg of room_1\a.jpg."""
    return str(path).replace("\\", "/")


def _box_table(path: Path) -> pd.DataFrame:
    try:
        refuse_endless(path)
        table = pd.read_csv(path, skipinitialspace=True, encoding="utf-8-sig").rename(columns=str.strip)
    except (ValueError, OSError) as error:
        raise DataError(f"{path} cannot be read as boxes: {str(error).splitlines()[0]}") from error
    if missing := [name for name in BOX_COLUMNS if name not in table.columns]:
        raise DataError(f"{path} lacks the columns {', '.join(missing)} of boxes: {', '.join(BOX_COLUMNS)}")
    for name in table.select_dtypes(exclude="number"):
        table[name] = table[name].map(lambda value: value.strip() if isinstance(value, str) else value)
    for name in BOX_COLUMNS[1:]:
        if not pd.api.types.is_numeric_dtype(table[name]) or not np.isfinite(table[name].astype(float)).all():
            raise DataError(f"{path} holds a box whose {name} is no number")
    return table


def _boxes_of(table: pd.DataFrame) -> dict[str, Shapes]:
    return {
        _posix(name): Shapes([box(*row) for row in rows[list(BOX_COLUMNS[1:])].to_numpy(float)])
        for name, rows in table.groupby("path")
    }


def _coco_categories(path: Path, content: Mapping[str, Any]) -> dict[str, Shapes | dict[str, Shapes]]:
    """A COCO file read once for each of its categories; every image is in each, be it without shapes."""
    names = {entry["id"]: str(entry["name"]) for entry in content.get("categories", [])}
    of_kind: dict[str, list[Any]] = {}
    for annotation in content["annotations"]:
        number = annotation.get("category_id")
        of_kind.setdefault(names.get(number, f"category {number}"), []).append(annotation)
    return {kind: _coco(path, {**content, "annotations": of_kind[kind]}) for kind in sorted(of_kind)}


def _coco(path: Path, content: Mapping[str, Any]) -> dict[str, Shapes]:
    """Polygons, uncompressed run lengths and, where there is no segmentation, boxes, by file name."""
    found: dict[str, Shapes] = {}
    of_image: dict[Any, list[Mapping[str, Any]]] = {}
    for annotation in content["annotations"]:
        of_image.setdefault(annotation.get("image_id"), []).append(annotation)
    for image in content["images"]:
        size = int(image["width"]), int(image["height"])
        polygons: list[Polygon] = []
        masks: list[Mask] = []
        for annotation in of_image.get(image["id"], []):
            more, drawn = _coco_shapes(annotation, size, path)
            polygons += more
            masks += drawn
        found[_posix(image["file_name"])] = Shapes(polygons, size, masks)
    return found


def _coco_shapes(
    annotation: Mapping[str, Any], size: tuple[int, int], path: Path
) -> tuple[list[Polygon], list[Mask]]:
    segmentation = annotation.get("segmentation")
    if isinstance(segmentation, list) and segmentation:
        return [_finite(np.array(flat, float).reshape(-1, 2)) for flat in segmentation], []
    if isinstance(segmentation, dict):
        counts = segmentation.get("counts")
        if isinstance(counts, str):
            return [], [_decompressed(path, counts, size)]
        if not isinstance(counts, list) or sum(counts) != size[0] * size[1]:
            raise DataError(
                f"{path} holds damaged run lengths: they do not fill {size[0]} × {size[1]} pixels"
            )
        runs = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
        return [], [runs.reshape(size, order="C").T]
    x, y, width, height = annotation["bbox"]
    return [_finite(box(x, y, x + width, y + height))], []


def _finite(polygon: Polygon) -> Polygon:
    if not np.isfinite(polygon).all():
        raise ValueError("a corner is no finite number")
    return polygon


def _decompressed(path: Path, counts: str, size: tuple[int, int]) -> Mask:
    """Run lengths as COCO's own library compresses them."""
    try:
        from pycocotools import mask
    except ModuleNotFoundError as error:
        raise MissingDependency(
            f"{path} holds compressed run lengths, which pycocotools reads: pip install 'shapsight[coco]'"
        ) from error
    try:
        runs = {"size": [size[1], size[0]], "counts": counts.encode("ascii")}
        with warnings.catch_warnings():  # about numpy's side of pycocotools
            warnings.simplefilter("ignore", DeprecationWarning)
            found, area = mask.decode(runs), mask.area(runs)
    except (ValueError, UnicodeEncodeError) as error:
        raise DataError(f"{path} holds damaged run lengths: {error}") from error
    if (
        found.max(initial=0) > 1 or found.sum() != area
    ):  # behind runs that end too soon lies whatever was there
        raise DataError(f"{path} holds damaged run lengths: they do not fill {size[0]} × {size[1]} pixels")
    return np.asarray(found, bool)
