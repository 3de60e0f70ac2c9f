"""How finely values are looked at: sums over regions that follow the image, under a Gaussian, or single values.

Looked at on rendered rooms, photographs of two tracks, ImageNet's photographs and Fashion-MNIST. Single values of
networks with strides and pooling are mostly noise that cancels within a few pixels; summed, they show the kerb, the
boat or the bill. The region tree cut at 100 says which thing it is. 150 cut a kerb and a pen into slivers,
superpixels (SLIC) cut thin things into blocks, and a Gaussian blurs them into what lies beside them, but needs no
image. Up to 32 pixels a side, a pixel is a part of something by itself, and sums only hide it. Values of PartitionSHAP
and RegionSHAP are sums already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from shapsight.drawing.detail import evened, smoothed
from shapsight.errors import ExplainerError

if TYPE_CHECKING:
    from shapsight.attribution.explanation.explanation import Explanation

Detail = Literal["auto", "regions", "smooth", "pixels"]
SMALL = 32  # up to so many pixels a side, a pixel can be seen
REGIONS = 100
SUMS = ("PartitionSHAP", "RegionSHAP")


def check(detail: str) -> None:
    """Raises `ExplainerError` for what is none of the four."""
    if detail not in get_args(Detail):
        raise ExplainerError(f"detail={detail!r} is not one of {', '.join(map(repr, get_args(Detail)))}")


def chosen(explanation: Explanation, detail: Detail) -> Detail:
    """What "auto" picks: pixels where they are large or already sums, regions, or smooth where no image can be cut."""
    check(detail)
    if detail != "auto":
        return detail
    if max(explanation.values.shape[3:]) <= SMALL or explanation.method in SUMS:
        return "pixels"
    return "smooth" if _why_not_cut(explanation) else "regions"


def at_detail(
    explanation: Explanation, heatmap: Float[Tensor, "images outputs *sides"], detail: Detail
) -> Float[Tensor, "images outputs *sides"]:
    """A heatmap of the explanation's images at a detail. Its sum stays; what is not a number stays where it is."""
    detail = chosen(explanation, detail)
    if detail == "pixels":
        return heatmap
    maps = heatmap.detach().double().cpu().numpy()
    if detail == "smooth":
        found = np.array([[smoothed(one) for one in image] for image in maps]).reshape(maps.shape)
    else:
        labels = [label.cpu().numpy() for label in regions_of(explanation)]
        each = zip(maps, labels, strict=True)
        found = np.array([[evened(one, label) for one in image] for image, label in each]).reshape(maps.shape)
    return torch.from_numpy(found).to(heatmap)


def regions_of(explanation: Explanation) -> list[Int[Tensor, "*sides"]]:
    """Each image's regions, on the grid of the values. Raises `ExplainerError` where there is no image to cut."""
    from shapsight.attribution.trees import region_map

    if reason := _why_not_cut(explanation):
        raise ExplainerError(f'regions follow the image, and {reason}: use detail="smooth" or "pixels"')
    size = explanation.values.shape[3:]
    images = explanation.images.detach().double().cpu()
    if images.shape[2:] != size:
        images = torch.nn.functional.interpolate(images, size, mode="bilinear", antialias=True)
    return [region_map(image, REGIONS) for image in images]


def _why_not_cut(explanation: Explanation) -> str:
    """Why the images cannot be cut into regions; empty where they can."""
    images, sides = explanation.images, explanation.values.shape[3:]
    if not images.numel():
        return "this explanation holds no images"
    if len(sides) == 3 and images.shape[2:] != sides:
        return (
            f"its images {tuple(images.shape[2:])} do not fit values of {tuple(sides)} (depth, height, width)"
        )
    (*_, height, width), (*_, rows, columns) = sides, images.shape[2:]
    # One pixel of rounding is left to images that were resized to another grid than the explained one.
    if abs(rows * width - columns * height) > max(rows, columns, height, width):
        return f"its images of {rows} × {columns} pixels do not fit values of {height} × {width}"
    return "" if images.isfinite().all() else "its images hold NaN or infinity"
