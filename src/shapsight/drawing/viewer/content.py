"""What the viewer is given: pictures, and heatmaps as small images of 8 bits beside the size of a step."""

from __future__ import annotations

import base64
import dataclasses
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image

LEVELS = 126  # steps to either side of 0; one more is left for what is carried over
MIDDLE = 128  # the level of 0
NOT_A_NUMBER = 255
ROOM = 14_000_000  # bytes of heatmaps in one page, before they become coarser
BYTES = 40_000  # of a heatmap of 224 × 224 as it is stored, at most

MarkKind = Literal["target", "prediction", "other"]


@dataclass(frozen=True, eq=False)
class Map:
    """One heatmap: the SHAP values of an output, summed over channels.

    Attributes
        values: in the output's unit; NaN where there is none.
        prediction, base_value: of the output; unit: in a word or two.
        method, model: what made it and of which model, where several are shown.
        parts: what parts of the image contribute, by name.
    """

    output: str
    values: Float[np.ndarray, "height width"]
    prediction: float = math.nan
    base_value: float = math.nan
    unit: str = ""
    method: str = ""
    model: str = ""
    parts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Mark:
    """A point on a picture, in its pixels from the upper left; one outside is drawn as an arrowhead at the border.

        Mark("target", 112, 140)
        Mark("other", 80, 140, "before the scene was changed")

    Attributes
        kind: "target" is drawn as a ring, "prediction" as a cross, "other" as a dot. label: what it is, in words.
    """

    kind: MarkKind
    x: float
    y: float
    label: str = ""


@dataclass(frozen=True, eq=False)
class Shown:
    """An image, its heatmaps, and the regions that they are summed over.

        Shown("a.jpg", picture)                                                   # the picture alone
        Shown("a.jpg", picture, [Map("x", values)], marks=[Mark("target", 112, 140)], group="room_2")

    Attributes
        picture: as it is drawn, RGB; maps: none, or some of one size.
        regions: a number for each pixel of the maps, 0 to 255, or None.
        details: what can be chosen, the first one is shown first.
        caption: a line of text; group: what it belongs to, such as its environment.
        key: what links name, by default the name.
        outline: the region of interest, whose edge is drawn.
        beside: the key of another image, such as the same track before another scene, to compare with.
    """

    name: str
    picture: UInt8[np.ndarray, "height width 3"]
    maps: Sequence[Map] = ()
    regions: Int[np.ndarray, "height width"] | None = None
    details: Sequence[str] = ("regions", "smooth", "pixels")
    marks: Sequence[Mark] = ()
    caption: str = ""
    group: str = ""
    key: str = ""
    outline: Bool[np.ndarray, "height width"] | None = None
    beside: str = ""


def content(
    images: Sequence[Shown | Mapping[str, Any]], *, title: str = "", largest: int | None = None
) -> dict[str, Any]:
    """What the viewer draws, as plain values for JSON; images may be `encoded` already.

        content([Shown("a.jpg", picture, [Map("x", values)])])

    Heatmaps are stored with 8 bits: a value is off by at most one step, 1/126 of the largest of its map, and any sum
    along rows by as much, since what rounding leaves is carried on to the next pixel. Where all maps would take more
    than 14 MB, or are larger than `largest` a side, they are summed over blocks, which `coarser` says.
    """
    new = [image for image in images if isinstance(image, Shown)]
    count = sum(len(shown.maps) for shown in new)
    side = max((max(m.values.shape) for shown in new for m in shown.maps), default=1)
    most = min(side, largest or side)
    while most > 16 and count * BYTES * (most / 224) ** 2 > ROOM:
        most = most // 2
    block = math.ceil(side / most)
    found = [encoded(image, block) if isinstance(image, Shown) else dict(image) for image in images]
    return {
        "title": title,
        "coarser": max((image["block"] for image in found), default=1),
        "images": found,
    }


def encoded(shown: Shown, block: int = 1) -> dict[str, Any]:
    """One image as plain values for JSON, its heatmaps summed over square blocks of so many pixels a side."""
    regions = None if shown.regions is None else shown.regions[::block, ::block]
    return {
        "name": shown.name,
        "key": shown.key or shown.name,
        "group": shown.group,
        "caption": shown.caption,
        "beside": shown.beside,
        "picture": _photograph(shown.picture),
        "width": shown.picture.shape[1],
        "height": shown.picture.shape[0],
        "outline": None if shown.outline is None else _grey(shown.outline.astype(np.uint8)),
        "marks": [dataclasses.asdict(mark) for mark in shown.marks if math.isfinite(mark.x + mark.y)],
        "regions": None if regions is None else _grey(regions.astype(np.uint8)),
        "details": [name for name in shown.details if name != "regions" or regions is not None],
        "block": block,
        "maps": [_map(each, block) for each in shown.maps],
    }


def _map(each: Map, block: int) -> dict[str, Any]:
    values = summed(np.asarray(each.values, np.float64), block)
    step, levels = quantised(values)
    return {
        "output": each.output,
        "method": each.method,
        "model": each.model,
        "unit": each.unit,
        "prediction": _number(each.prediction),
        "base": _number(each.base_value),
        "step": step,
        "width": values.shape[1],
        "height": values.shape[0],
        "columns": each.values.shape[1] / block,  # that the picture spans: the last may be narrower
        "rows": each.values.shape[0] / block,
        "levels": _grey(levels),
        "parts": [{"name": name, "value": _number(value)} for name, value in each.parts.items()],
    }


def quantised(
    values: Float[np.ndarray, "height width"],
) -> tuple[float, UInt8[np.ndarray, "height width"]]:
    """The size of a step, and the values in steps around 128; 255 is no number.

    What rounding leaves is carried on along the row, forth and back, so that sums stay.
    """
    known = np.isfinite(values)
    largest = float(np.abs(values[known]).max()) if known.any() else 0.0
    step = largest / LEVELS if largest > 0 else 1.0
    turned = np.where(known, values, 0) / step
    turned[1::2] = turned[1::2, ::-1]
    flat = turned.ravel()
    total = np.rint(np.cumsum(flat))
    levels = np.diff(total, prepend=0).reshape(values.shape)
    levels[1::2] = levels[1::2, ::-1]
    stored = np.clip(levels + MIDDLE, 1, NOT_A_NUMBER - 1)
    return step, np.where(known, stored, NOT_A_NUMBER).astype(np.uint8)


def summed(values: Float[np.ndarray, "height width"], block: int) -> Float[np.ndarray, "rows columns"]:
    """Sums over square blocks; those at the border may be smaller."""
    if block == 1:
        return values
    rows, columns = (-side % block for side in values.shape)
    padded = np.pad(values, ((0, rows), (0, columns)))
    height, width = (side // block for side in padded.shape)
    return np.asarray(padded.reshape(height, block, width, block).sum((1, 3)))


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _photograph(pixels: UInt8[np.ndarray, "height width 3"]) -> str:
    if max(pixels.shape[:2]) <= 64:  # every pixel counts
        return _data(Image.fromarray(pixels), "PNG")
    return _data(Image.fromarray(pixels), "WEBP", quality=80, method=4)


def _grey(levels: UInt8[np.ndarray, "height width"]) -> str:
    return _data(Image.fromarray(levels), "PNG", optimize=True)


def _data(image: Image.Image, kind: str, **options: Any) -> str:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"
