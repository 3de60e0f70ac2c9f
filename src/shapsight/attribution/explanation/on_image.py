"""An explanation of what a model sees, laid on the image itself: where the transform cropped, resized or padded."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torchvision.transforms.v2 import functional as v2f

from shapsight.data.framing import Frame

if TYPE_CHECKING:
    from shapsight.attribution.explanation.explanation import Explanation

LARGEST = 1024  # pixels a side: a larger image is drawn smaller


def on_image(explanation: Explanation, frame: Frame, image: UInt8[Tensor, "3 height width"]) -> Explanation:
    """The explanation of one image on the image's own pixels; the sum stays, and what lies outside the image goes.

    Each value is spread evenly over the part of the image that its pixel shows. What was attributed to padding is added
    to the completeness gap. Standard errors are spread likewise, as if a pixel's neighbours erred together.
    """
    scale = min(1.0, LARGEST / max(image.shape[1:]))
    height, width = (max(1, round(side * scale)) for side in image.shape[1:])
    placed = Frame(*(edge * scale for edge in (frame.left, frame.top, frame.right, frame.bottom)))
    shown = image if scale == 1 else v2f.resize(image, [height, width], antialias=True)

    def laid(values: Tensor | None) -> Tensor | None:
        return None if values is None else placed.on_image(values.double(), height, width).to(values.dtype)

    values = placed.on_image(explanation.values.double(), height, width)
    lost = (explanation.values.double().flatten(2).sum(2) - values.flatten(2).sum(2)).to(
        explanation.completeness_gap
    )
    return dataclasses.replace(
        explanation,
        values=values.to(explanation.values.dtype),
        completeness_gap=explanation.completeness_gap + lost,
        images=shown[None].float() / 255,
        std_errors=laid(explanation.std_errors),
        unresolved=laid(explanation.unresolved),
        above_noise=_nearest(explanation.above_noise, placed, height, width),
        outlines=None
        if explanation.outlines is None
        else _nearest(explanation.outlines, placed, height, width),
        part_labels=None,
        part_std_errors=None,
        settings={**explanation.settings, "seen": [round(edge, 2) for edge in dataclasses.astuple(frame)]},
    )


def _nearest(
    values: Float[Tensor, "*any seen_height seen_width"] | None, frame: Frame, height: int, width: int
) -> Float[Tensor, "*any height width"] | None:
    """What the pixel says that shows the middle of each of the image's; 0 outside."""
    if values is None:
        return None
    rows, inside_rows = _places(frame.top, frame.bottom, values.shape[-2], height)
    columns, inside_columns = _places(frame.left, frame.right, values.shape[-1], width)
    found = values[..., rows[:, None], columns]
    is_seen = (inside_rows[:, None] & inside_columns).to(values.device)
    return torch.where(is_seen, found, torch.zeros_like(found))


def _places(first: float, last: float, seen: int, pixels: int) -> tuple[Tensor, Tensor]:
    place = ((torch.arange(pixels) + 0.5 - first) / (last - first) * seen).floor().long()
    return place.clamp(0, seen - 1), (place >= 0) & (place < seen)
