"""Targets of models that answer for every pixel: segmenters, depth, saliency, heatmaps; volumes too."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from shapsight.attribution.targets.aim import Aim, Answer
from shapsight.attribution.targets.function import as_tensor
from shapsight.data.framing import Frame
from shapsight.errors import ExplainerError

PARTS = (
    "out",
    "logits",
    "predicted_depth",
)  # what libraries call a dense answer: torchvision's, Hugging Face's
RING = 0.02  # radius of the ring around a pixel that is drawn, as a share of the longer side


@dataclass(frozen=True, eq=False)
class Mask(Aim):
    """How much of a label a segmenter sees in a region: the mean of that label's score over it.

        region = torch.zeros(images.shape[2:], dtype=torch.bool)
        region[30:50, 10:40] = True
        PartitionShap(deeplab, "blur(64,64)")(images, Mask(15, region))       # of torchvision: 15 is a person
        DeepShap(segformer, references)(images, Mask("road", region))         # of Hugging Face: labels have names

    The score is the model's own, usually a logit. The region is boolean, `(height, width)` of the image that the model
    is given (`(depth, height, width)` of a volume). Where the answer is coarser, as SegFormer's is four times, the
    region is brought to the answer's grid: each cell counts by the share of it that lies in the region.
    Raises `ExplainerError` for an empty region, one of another size than the image, and a label that is not known.
    """

    label: int | str
    region: Bool[Tensor, "*size"]

    def __post_init__(self) -> None:
        object.__setattr__(self, "region", region_of(self.region, "Mask"))

    @property
    def name(self) -> str:
        return f"{said(self.label)} in the region"

    def read(self, answer: Answer) -> Float[Tensor, "images"]:
        scores = _label(dense(answer), self.label, answer)
        return mean_over(scores, self.region)

    def check(self, size: Sequence[int]) -> None:
        _check_size(self.region, size, "Mask")

    def outline(self, size: Sequence[int]) -> Bool[Tensor, "..."] | None:
        return self.region

    def seen_in(self, frame: Frame, size: tuple[int, int], seen: tuple[int, int]) -> Aim:
        return dataclasses.replace(self, region=shown(self.region, frame, size, seen, "Mask"))


@dataclass(frozen=True, eq=False)
class Region(Aim):
    """The mean of a dense answer over a region: depth, height, a saliency map, the output of a U-Net.

        PartitionShap(dpt, "mean")(images, Region(region))                   # Hugging Face's DPT, Depth Anything
        DeepShap(unet, black_volumes)(volumes, Region(tumour))               # (depth, height, width)
        PartitionShap(deeplab, "mean")(images, Region(region, channel=2))    # of an answer of several channels

    The region is as in `Mask`. An answer of several channels needs `channel=`, or `Mask` where these are labels.
    Raises `ExplainerError` for an empty region, and one of another size than the image.
    """

    region: Bool[Tensor, "*size"]
    channel: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "region", region_of(self.region, "Region"))

    @property
    def name(self) -> str:
        return "mean over the region" + ("" if self.channel is None else f", channel {self.channel}")

    def read(self, answer: Answer) -> Float[Tensor, "images"]:
        scores = dense(answer)
        channels = scores.shape[1]
        if channels > 1 and self.channel is None:
            raise ExplainerError(
                f"the model answers with {channels} channels for each pixel: say which with Region(region, channel=0), "
                "or where they are labels Mask(label, region)"
            )
        if not -channels <= (self.channel or 0) < channels:
            raise ExplainerError(f"Region(channel={self.channel}): the answer has {channels} channels")
        return mean_over(scores[:, self.channel or 0], self.region)

    def check(self, size: Sequence[int]) -> None:
        _check_size(self.region, size, "Region")

    def outline(self, size: Sequence[int]) -> Bool[Tensor, "..."] | None:
        return self.region

    def seen_in(self, frame: Frame, size: tuple[int, int], seen: tuple[int, int]) -> Aim:
        return dataclasses.replace(self, region=shown(self.region, frame, size, seen, "Region"))


@dataclass(frozen=True)
class Pixel(Aim):
    """The score of a label at one pixel: why is this here road?

        PartitionShap(deeplab, "mean")(images, Pixel(15, y=40, x=32))
        DeepShap(segformer, references)(images, Pixel("road", 40, 32))

    y, x: row and column of the image that the model is given, from 0. Where the answer is coarser, that of the cell in
    which the pixel's centre lies. The score is the model's own, usually a logit.
    Raises `ExplainerError` for a pixel outside of the image, and a label that is not known.
    """

    label: int | str
    y: int
    x: int

    @property
    def name(self) -> str:
        return f"{said(self.label)} at row {self.y:g}, column {self.x:g}"

    def read(self, answer: Answer) -> Float[Tensor, "images"]:
        scores = _label(dense(answer), self.label, answer)
        (height, width), (rows, columns) = answer.size[-2:], scores.shape[-2:]
        row, column = int((self.y + 0.5) * rows / height), int((self.x + 0.5) * columns / width)
        return scores[:, row, column]

    def check(self, size: Sequence[int]) -> None:
        height, width = flat(size, "Pixel")
        if not (0 <= self.y < height and 0 <= self.x < width):
            raise ExplainerError(
                f"Pixel(y={self.y}, x={self.x}) lies outside of the image, which has {height} rows and {width} columns"
            )

    def outline(self, size: Sequence[int]) -> Bool[Tensor, "..."] | None:
        rows, columns = (torch.arange(side) for side in size[-2:])
        radius = max(2.0, RING * max(size[-2:]))
        return (rows[:, None] - self.y) ** 2 + (columns - self.x) ** 2 <= radius**2

    def seen_in(self, frame: Frame, size: tuple[int, int], seen: tuple[int, int]) -> Aim:
        self.check(size)
        x, y = frame.seen_at(np.array([self.x + 0.5, self.y + 0.5]), seen)
        place = (round(float(y)), round(float(x)))
        if not all(0 <= at < side for at, side in zip(place, seen, strict=True)):
            raise ExplainerError(
                f"the model does not see the pixel at row {self.y}, column {self.x} of the image"
            )
        return dataclasses.replace(self, y=place[0], x=place[1])


def flat(size: Sequence[int], owner: str) -> tuple[int, int]:
    """Height and width of images. Raises `ExplainerError` for volumes."""
    if len(size) != 2:
        raise ExplainerError(
            f"{owner} is of an image; of a volume explain Mask(label, region) or Region(region)"
        )
    return size[0], size[1]


def said(label: int | str) -> str:
    """A label in words."""
    return label if isinstance(label, str) else f"label {label}"


def region_of(region: Any, owner: str) -> Bool[Tensor, "*size"]:
    """A region as a boolean tensor. Raises `ExplainerError` for an empty one, and for what is none."""
    try:
        found = torch.as_tensor(region).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ExplainerError(
            f"{owner}: the region is a boolean (height, width), not {type(region).__name__}"
        ) from error
    if found.dtype != torch.bool and not bool(((found == 0) | (found == 1)).all()):
        raise ExplainerError(
            f"{owner}: the region is boolean, (height, width); this is {found.dtype} with other numbers than 0 and 1. "
            "Of a label map write labels == 3"
        )
    found = found.bool()
    if found.dim() == 3 and len(found) == 1:
        found = found[0]
    if found.dim() not in (2, 3):
        raise ExplainerError(f"{owner}: the region is (height, width), not {tuple(found.shape)}")
    if not found.any():
        raise ExplainerError(
            f"{owner}: the region is empty, no pixel of it is True: there is nothing to explain in it"
        )
    return found


def _check_size(region: Tensor, size: Sequence[int], owner: str) -> None:
    if tuple(region.shape) != tuple(size):
        raise ExplainerError(
            f"{owner}: the region is {tuple(region.shape)} and the images that the model is given {tuple(size)} "
            "(height, width): both must agree"
        )


def dense(answer: Answer) -> Float[Tensor, "images channels *grid"]:
    """A dense answer, whatever its library wraps it in. Raises `ExplainerError` for one that is none."""
    raw = answer.raw
    for part in PARTS:
        if not isinstance(raw, Tensor):
            found = raw.get(part) if isinstance(raw, dict) else getattr(raw, part, None)
            raw = raw if found is None else found
    raw = as_tensor(raw)
    depth = len(answer.size)
    if isinstance(raw, Tensor) and raw.dim() == depth + 1 and len(raw) == answer.images:
        raw = raw.unsqueeze(1)
    if not isinstance(raw, Tensor) or raw.dim() != depth + 2 or len(raw) != answer.images:
        what = f"a tensor {tuple(raw.shape)}" if isinstance(raw, Tensor) else f"a {type(raw).__name__}"
        raise ExplainerError(
            f"Mask, Pixel and Region explain an answer for every pixel, (images, labels, height, width); the model "
            f"returns {what}. Say with output= which part of it to explain, or explain another target"
        )
    return raw


def _label(scores: Tensor, label: int | str, answer: Answer) -> Float[Tensor, "images *grid"]:
    number = answer.labels.number(label)
    if not -scores.shape[1] <= number < scores.shape[1]:
        raise ExplainerError(
            f"label {number} is out of range: the model answers with {scores.shape[1]} for each pixel"
        )
    return scores[:, number]


def mean_over(
    scores: Float[Tensor, "images *grid"], region: Bool[Tensor, "*size"]
) -> Float[Tensor, "images"]:
    """The mean over a region; on a coarser grid each cell counts by the share of it that lies in the region."""
    share = region.to(scores.device, scores.dtype)
    if share.shape != scores.shape[1:]:
        share = F.interpolate(share[None, None], size=scores.shape[1:], mode="area")[0, 0]
    weights = share / share.sum()
    return (scores * weights).flatten(1).sum(1)


def shown(
    region: Bool[Tensor, "height width"],
    frame: Frame,
    size: tuple[int, int],
    seen: tuple[int, int],
    owner: str,
) -> Bool[Tensor, "seen_height seen_width"]:
    """The region of an image in the picture that shows a frame of it: each pixel is what stands at its centre."""
    _check_size(region, size, owner)
    rows = frame.top + (torch.arange(seen[0]) + 0.5) / seen[0] * (frame.bottom - frame.top)
    columns = frame.left + (torch.arange(seen[1]) + 0.5) / seen[1] * (frame.right - frame.left)
    inside = ((rows >= 0) & (rows < size[0]))[:, None] & ((columns >= 0) & (columns < size[1]))
    rows, columns = rows.floor().long().clamp(0, size[0] - 1), columns.floor().long().clamp(0, size[1] - 1)
    found = region[rows[:, None], columns] & inside
    if not found.any():
        raise ExplainerError(f"{owner}: the model sees nothing of the region, which its transform crops away")
    return found
