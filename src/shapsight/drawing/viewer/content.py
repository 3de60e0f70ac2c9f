"""What the viewer is given: pictures, and heatmaps as small images of 8 bits beside the size of a step."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image

MIDDLE = 128  # the level of 0
NOT_A_NUMBER = 255
ROOM = 22_000_000  # bytes of images in one page, before their maps become coarser
# Bytes for an image of 224 × 224: its picture with regions, and each heatmap; in base64, as all here.
FOR_PICTURE, FOR_MAP = 10_000, 40_000
MOST_PLAIN = 448**2  # pixels of a picture without heatmaps that count
SMALL = 64  # pixels a side: of such a picture every pixel counts


class Fineness(NamedTuple):
    """How finely an image is stored.

    levels: steps from 0 to the largest value; one more is left for what is carried over.
    quality: of the picture, whose longer side is `side` pixels at most.
    """

    levels: int
    quality: int
    side: int


# The first that fits its bytes. Heatmaps of networks fit with the first; only noise without large values needs others.
FINENESS = (
    Fineness(126, 80, 1024),
    Fineness(126, 60, 512),
    Fineness(63, 60, 256),
    Fineness(31, 50, 224),
    Fineness(15, 30, 128),
)

MarkKind = Literal["target", "prediction", "other"]


@dataclass(frozen=True, eq=False)
class Map:
    """One heatmap: the SHAP values of an output, summed over channels.

    Attributes
        values: in the output's unit; NaN where there is none. Of a volume `(depth, height, width)`.
        prediction, base_value: of the output; unit: in a word or two.
        method, model: what made it and of which model, where several are shown.
        parts: what parts of the image contribute, by name.
        about: the pixels that the output is about, such as a detection's box, whose edge is drawn.
    """

    output: str
    values: Float[np.ndarray, "*sides"]
    prediction: float = math.nan
    base_value: float = math.nan
    unit: str = ""
    method: str = ""
    model: str = ""
    parts: Mapping[str, float] = field(default_factory=dict)
    about: Bool[np.ndarray, "*sides"] | None = None


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
        picture: as it is drawn, RGB, of a volume `(depth, height, width, 3)`; maps: none, or some of one size.
        regions: a number for each pixel of the maps, 0 to 255, or None.
        details: what can be chosen, the first one is shown first.
        caption: a line of text; group: what it belongs to, such as its environment.
        key: what links name, by default the name.
        outline: the region of interest, whose edge is drawn.
        beside: the key of another image, such as the same track before another scene, to compare with.
    """

    name: str
    picture: UInt8[np.ndarray, "*sides 3"]
    maps: Sequence[Map] = ()
    regions: Int[np.ndarray, "*sides"] | None = None
    details: Sequence[str] = ("regions", "smooth", "pixels")
    marks: Sequence[Mark] = ()
    caption: str = ""
    group: str = ""
    key: str = ""
    outline: Bool[np.ndarray, "*sides"] | None = None
    beside: str = ""


def channels_last(image: Any) -> UInt8[np.ndarray, "height width 3"]:
    """The picture of an image `(3, height, width)`, of 8 bits or from 0 to 1."""
    pixels = np.asarray(image)
    if pixels.dtype != np.uint8:
        pixels = (np.nan_to_num(pixels) * 255).round().clip(0, 255).astype(np.uint8)
    return np.ascontiguousarray(np.moveaxis(pixels, 0, -1))


def content(
    images: Sequence[Shown | Mapping[str, Any]], *, title: str = "", largest: int | None = None
) -> dict[str, Any]:
    """What the viewer draws, as plain values for JSON; images may be `encoded` already.

        content([Shown("a.jpg", picture, [Map("x", values)])])

    Heatmaps are stored with 8 bits: a value is off by at most one step, 1/126 of the largest of its map, and any sum
    along rows by as much, since what rounding leaves is carried on to the next pixel. Steps are larger in maps of
    noise, which would take more than 50 kB for 224 × 224 pixels. Where all images would take more than 22 MB, or maps
    are larger than `largest` a side, values are summed over blocks, which `coarser` says.
    """
    new = [image for image in images if isinstance(image, Shown)]
    side = max((max(m.values.shape) for shown in new for m in shown.maps), default=1)
    block = max(_block([_extent(shown) for shown in new], side), math.ceil(side / (largest or side)))
    found = [encoded(image, block) if isinstance(image, Shown) else dict(image) for image in images]
    return {
        "title": title,
        "coarser": max((image["block"] for image in found), default=1),
        "images": found,
    }


def block_for(images: int, maps: int = 1, side: int = 224) -> int:
    """Pixels a side over which heatmaps are summed so that all images of a page stay below 22 MB.

    block_for(200) == 1
    block_for(1000) == 2
    """
    return _block([(side**2, maps)] * images, side)


def _block(extents: Sequence[tuple[int, int]], side: int) -> int:
    block = 1
    while block < side / 16 and sum(_bytes(*extent, block) for extent in extents) > ROOM:
        block *= 2
    return block


def _extent(shown: Shown) -> tuple[int, int]:
    """Pixels and heatmaps."""
    plain = min(shown.picture[..., 0].size, MOST_PLAIN)
    return max((each.values.size for each in shown.maps), default=plain), len(shown.maps)


def _bytes(pixels: int, maps: int, block: int) -> int:
    """What an image may take."""
    area = max(0.3, pixels / 224**2)
    return round(area * (min(1.0, 2 / block) * FOR_PICTURE + maps * FOR_MAP / block**2))


def encoded(shown: Shown, block: int = 1) -> dict[str, Any]:
    """One image as plain values for JSON, its heatmaps summed over square blocks of so many pixels a side.

    It is stored as finely as 50 kB for each heatmap of 224 × 224 pixels allow.
    """
    most = _bytes(*_extent(shown), block)
    for fineness in FINENESS:
        found = _image(shown, block, fineness)
        if len(json.dumps(found)) <= most:
            break
    return found


def _image(shown: Shown, block: int, fineness: Fineness) -> dict[str, Any]:
    regions = None if shown.regions is None else shown.regions[..., ::block, ::block]
    *_, height, width, _ = shown.picture.shape
    pictures = [_photograph(part, fineness) for part in shown.picture.reshape(-1, height, width, 3)]
    first = _first_slice(shown)
    return {
        "name": shown.name,
        "key": shown.key or shown.name,
        "group": shown.group,
        "caption": shown.caption,
        "beside": shown.beside,
        "picture": pictures[first],
        "slices": pictures if shown.picture.ndim == 4 else None,
        "slice": first,
        "width": width,
        "height": height,
        "outline": None if shown.outline is None else _outline(shown.outline),
        "marks": [dataclasses.asdict(mark) for mark in shown.marks if math.isfinite(mark.x + mark.y)],
        "regions": None if regions is None else _packed(regions.astype(np.uint8)),
        "details": [name for name in shown.details if name != "regions" or regions is not None],
        "block": block,
        "maps": [_map(each, block, fineness.levels) for each in shown.maps],
    }


def _first_slice(shown: Shown) -> int:
    """The slice of a volume with the most absolute attribution, which is shown first."""
    sizes = [np.nan_to_num(np.abs(each.values)).sum((1, 2)) for each in shown.maps if each.values.ndim == 3]
    return int(sum(sizes).argmax()) if sizes else 0


def _map(each: Map, block: int, levels: int) -> dict[str, Any]:
    values = summed(np.asarray(each.values, np.float64), block)
    step, stored = quantised(values, levels)
    return {
        "output": each.output,
        "method": each.method,
        "model": each.model,
        "unit": each.unit,
        "prediction": _number(each.prediction),
        "base": _number(each.base_value),
        "step": step,
        "width": values.shape[-1],
        "height": values.shape[-2],
        "columns": each.values.shape[-1] / block,  # that the picture spans: the last may be narrower
        "rows": each.values.shape[-2] / block,
        "levels": _packed(stored),
        "about": None if each.about is None else _outline(each.about),
        "parts": [{"name": name, "value": _number(value)} for name, value in each.parts.items()],
    }


def quantised(
    values: Float[np.ndarray, "*sides"], levels: int = FINENESS[0].levels
) -> tuple[float, UInt8[np.ndarray, "*sides"]]:
    """The size of a step, the largest value over `levels`, and the values in steps around 128; 255 is no number.

    What rounding leaves is carried on along the row, forth and back, so that sums stay.
    """
    known = np.isfinite(values)
    largest = float(np.abs(values[known]).max()) if known.any() else 0.0
    step = largest / levels if largest > 0 else 1.0
    turned = (np.where(known, values, 0) / step).reshape(-1, values.shape[-1])
    turned[1::2] = turned[1::2, ::-1]
    flat = turned.ravel()
    total = np.rint(np.cumsum(flat))
    steps = np.diff(total, prepend=0).reshape(turned.shape)
    steps[1::2] = steps[1::2, ::-1]
    stored = np.clip(steps + MIDDLE, 1, NOT_A_NUMBER - 1).reshape(values.shape)
    return step, np.where(known, stored, NOT_A_NUMBER).astype(np.uint8)


def summed(
    values: Float[np.ndarray, "*slices height width"], block: int
) -> Float[np.ndarray, "*slices rows columns"]:
    """Sums over square blocks; those at the border may be smaller."""
    if block == 1:
        return values
    *slices, rows, columns = values.shape
    padded = np.pad(values, [(0, 0)] * len(slices) + [(0, -rows % block), (0, -columns % block)])
    height, width = (side // block for side in padded.shape[-2:])
    return np.asarray(padded.reshape(*slices, height, block, width, block).sum((-3, -1)))


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _outline(mask: Bool[np.ndarray, "*sides"]) -> dict[str, Any]:
    """A mask, of which the viewer draws the edge, with at most 448 pixels a side."""
    step = -(-max(mask.shape[-2:]) // 448)
    part = mask[..., ::step, ::step]
    return {"width": part.shape[-1], "height": part.shape[-2], "levels": _packed(part.astype(np.uint8))}


def _photograph(pixels: UInt8[np.ndarray, "height width 3"], fineness: Fineness) -> str:
    image, file = Image.fromarray(pixels), io.BytesIO()
    image.thumbnail((fineness.side, fineness.side))
    kind = "PNG" if max(pixels.shape[:2]) <= SMALL else "WEBP"
    image.save(file, kind, quality=fineness.quality)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"


def _packed(levels: UInt8[np.ndarray, "*sides"]) -> str:
    """Bytes as zlib and base64, not as an image: browsers that guard privacy change the pixels that a page reads."""
    found = []
    for strategy in (
        zlib.Z_DEFAULT_STRATEGY,
        zlib.Z_HUFFMAN_ONLY,
    ):  # the second for noise, in which nothing recurs
        packer = zlib.compressobj(level=6, strategy=strategy)
        found.append(packer.compress(levels.tobytes()) + packer.flush())
    return base64.b64encode(min(found, key=len)).decode()
