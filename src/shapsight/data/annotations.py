"""Annotation files: polygons and boxes of COCO, LabelMe, plain JSON and CSV, by the image they belong to."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from shapsight.errors import DataError

Mask = Bool[np.ndarray, "height width"]
Polygon = Float[np.ndarray, "corners 2"]
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
    if isinstance(content, dict) and "annotations" in content and "images" in content:
        return _coco(path, content)
    return _shapes(path, content, grammar)


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
        every = dict.fromkeys(map(str, table["path"].unique()), Shapes())
        return {kind: every | _boxes_of(table[table["category"].astype(str) == kind]) for kind in kinds}
    content = _json(path, grammar)
    if isinstance(content, dict) and "annotations" in content and "images" in content:
        return _coco_categories(path, content)
    if isinstance(content, dict) and isinstance(content.get("shapes"), list):
        labels = sorted({_label(shape) for shape in content["shapes"]})
        parts = {label: [s for s in content["shapes"] if _label(s) == label] for label in labels}
        return {label: _shapes(path, {**content, "shapes": part}, grammar) for label, part in parts.items()}
    return {"object": _shapes(path, content, grammar)}


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


def _labelme(shape: object) -> object:
    """A shape's corners; two of them make a rectangle."""
    points = shape.get("points") if isinstance(shape, dict) else None
    if isinstance(shape, dict) and shape.get("shape_type") == "rectangle" and points and len(points) == 2:
        (x1, y1), (x2, y2) = points
        return box(x1, y1, x2, y2).tolist()
    return points


def _is_polygon(content: object) -> bool:
    return (
        isinstance(content, list)
        and len(content) >= 3
        and all(isinstance(corner, list) and len(corner) == 2 for corner in content)
        and all(isinstance(number, int | float) for corner in content for number in corner)
    )


def _json(path: Path, grammar: str) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} cannot be read as JSON: {error}. {grammar}") from error


def _shapes(path: Path, content: Any, grammar: str) -> Shapes:
    """LabelMe's shapes, or plain polygons."""
    size = None
    if isinstance(content, dict) and isinstance(content.get("shapes"), list):
        if content.get("imageWidth") and content.get("imageHeight"):
            size = content["imageWidth"], content["imageHeight"]
        content = [_labelme(shape) for shape in content["shapes"]]
    elif _is_polygon(content):
        content = [content]
    if not isinstance(content, list) or not content or not all(map(_is_polygon, content)):
        raise DataError(f"{path} holds no polygons of three or more [x, y] corners. {grammar}")
    return Shapes([np.array(polygon, float) for polygon in content], size)


def _label(shape: object) -> str:
    """What LabelMe calls a shape."""
    return str((shape.get("label") if isinstance(shape, dict) else None) or "object")


def _box_table(path: Path) -> pd.DataFrame:
    table = pd.read_csv(path)
    if missing := [name for name in BOX_COLUMNS if name not in table.columns]:
        raise DataError(f"{path} lacks the columns {', '.join(missing)} of boxes: {', '.join(BOX_COLUMNS)}")
    return table


def _boxes_of(table: pd.DataFrame) -> dict[str, Shapes]:
    return {
        str(name): Shapes([box(*row) for row in rows[list(BOX_COLUMNS[1:])].to_numpy(float)])
        for name, rows in table.groupby("path")
    }


def _coco_categories(path: Path, content: Mapping[str, Any]) -> dict[str, Shapes | dict[str, Shapes]]:
    """A COCO file read once for each of its categories; every image is in each, be it without shapes."""
    try:
        names = {entry["id"]: str(entry["name"]) for entry in content.get("categories", [])}
        of_kind: dict[str, list[Any]] = {}
        for annotation in content["annotations"]:
            number = annotation.get("category_id")
            of_kind.setdefault(names.get(number, f"category {number}"), []).append(annotation)
    except (AttributeError, KeyError, TypeError) as error:
        raise DataError(f"{path} is damaged as a COCO file: {error!r}") from error
    return {kind: _coco(path, {**content, "annotations": of_kind[kind]}) for kind in sorted(of_kind)}


def _coco(path: Path, content: Mapping[str, Any]) -> dict[str, Shapes]:
    """Polygons, uncompressed run lengths and, where there is no segmentation, boxes, by file name."""
    found: dict[str, Shapes] = {}
    of_image: dict[Any, list[Mapping[str, Any]]] = {}
    for annotation in content["annotations"]:
        of_image.setdefault(annotation.get("image_id"), []).append(annotation)
    try:
        for image in content["images"]:
            size = int(image["width"]), int(image["height"])
            polygons: list[Polygon] = []
            masks: list[Mask] = []
            for annotation in of_image.get(image["id"], []):
                more, drawn = _coco_shapes(annotation, size, path)
                polygons += more
                masks += drawn
            found[str(image["file_name"])] = Shapes(polygons, size, masks)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is damaged as a COCO file: {error!r}") from error
    return found


def _coco_shapes(
    annotation: Mapping[str, Any], size: tuple[int, int], path: Path
) -> tuple[list[Polygon], list[Mask]]:
    segmentation = annotation.get("segmentation")
    if isinstance(segmentation, list) and segmentation:
        return [np.array(flat, float).reshape(-1, 2) for flat in segmentation], []
    if isinstance(segmentation, dict):
        counts = segmentation.get("counts")
        if not isinstance(counts, list) or sum(counts) != size[0] * size[1]:
            raise DataError(f"{path} holds compressed or damaged run lengths: export its shapes as polygons")
        runs = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
        return [], [runs.reshape(size, order="C").T]
    x, y, width, height = annotation["bbox"]
    return [box(x, y, x + width, y + height)], []
