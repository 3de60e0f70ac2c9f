"""Regions: an image cut into a handful of parts, by a grid, by superpixels, by a label map or by a mask."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from shapsight.errors import ExplainerError

GRAMMAR = (
    'grid(ROWS,COLUMNS), such as "grid(4,4)", of volumes grid(DEPTH,ROWS,COLUMNS), '
    'or slic(COUNT), such as "slic(50)"'
)
CALL = re.compile(r"\s*(grid|slic)\s*\(\s*(\d+(?:\s*,\s*\d+)*)\s*\)\s*")


def label_map(
    regions: Any, image: Shaped[Tensor, "channels *sides"], number: int, images: int
) -> Int[Tensor, "*sides"]:
    """Each pixel's region, on the processor, numbered from 0 without gaps, for image `number` of `images`.

        label_map((4, 4), image, 0, 1)            # a grid of 4 rows and 4 columns, numbered row by row
        label_map("slic(50)", image, 0, 1)        # about 50 superpixels, of a volume supervoxels
        label_map((2, 4, 4), volume, 0, 1)        # 32 boxes of a volume; (4, 4) has 16, through all of its slices
        label_map(labels, image, 0, 1)            # integers, (H, W), or (images, H, W): one map for each image
        label_map(roi, image, 0, 1)               # a mask: region 0 is the scene, region 1 the region of interest

    Raises `ExplainerError` for other things, sizes that differ from the image's, and fewer than two regions.
    Source of the superpixels: Achanta et al. 2012, as scikit-image has them.
    """
    sides = tuple(image.shape[1:])
    if isinstance(regions, str):
        labels = _parsed(regions, image)
    elif isinstance(regions, tuple) and regions and all(isinstance(r, int) for r in regions):
        labels = _grid(regions, sides)
    else:
        labels = _given(regions, sides, number, images)
    numbers, inverse = np.unique(labels.numpy(), return_inverse=True)
    if len(numbers) < 2:
        raise ExplainerError(
            f"image {number} has a single region, and a value of its own needs two: ask for more segments, "
            "or a grid such as grid(3,3)"
        )
    return torch.from_numpy(inverse.reshape(sides))


def _parsed(text: str, image: Tensor) -> Tensor:
    if text == "patches":
        raise ExplainerError(
            'regions="patches" are those of a vision transformer: they go with masker="tokens"'
        )
    match = CALL.fullmatch(text)
    numbers = tuple(map(int, match[2].split(","))) if match else ()
    if match is None or (match[1] == "grid") != (len(numbers) > 1):
        raise ExplainerError(f"regions={text!r} is neither of {GRAMMAR}")
    return _grid(numbers, tuple(image.shape[1:])) if match[1] == "grid" else _superpixels(numbers[0], image)


def _grid(counts: tuple[int, ...], sides: tuple[int, ...]) -> Tensor:
    """Boxes numbered row by row; two counts go through all slices of a volume."""
    whole = (1,) * (len(sides) - len(counts)) + counts if len(counts) > 1 else counts
    if len(whole) != len(sides) or not all(1 <= n <= side for n, side in zip(whole, sides, strict=True)):
        of = " slices, rows and columns" if len(counts) > 2 else " rows and columns"
        raise ExplainerError(
            f"a grid of {' × '.join(map(str, counts))}{of} does not fit an image of "
            f"{' × '.join(map(str, sides))} pixels"
        )
    labels = torch.zeros((), dtype=torch.long)
    for count, side in zip(whole, sides, strict=True):
        labels = labels[..., None] * count + torch.arange(side) * count // side
    return labels


def _superpixels(count: int, image: Tensor) -> Tensor:
    from skimage.segmentation import slic

    if not 2 <= count <= image[0].numel():
        raise ExplainerError(f"slic({count}): from 2 to {image[0].numel()} superpixels fit this image")
    pixels = image.detach().cpu().double()
    pixels = (pixels - pixels.min()) / (pixels.max() - pixels.min()).clamp_min(1e-12)
    # Of three channels scikit-image makes CIELAB, whose lightness goes up to 100; others stay from 0 to 1 each.
    compactness = 10 if len(pixels) == 3 else 0.1 * len(pixels) ** 0.5
    labels: np.ndarray[Any, Any] = slic(
        pixels.movedim(0, -1).numpy(),
        n_segments=count,
        compactness=compactness,
        start_label=0,
        channel_axis=-1,
    )
    return torch.from_numpy(labels)


def _given(regions: Any, size: tuple[int, ...], number: int, images: int) -> Tensor:
    try:
        labels = torch.as_tensor(regions).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ExplainerError(
            f"regions must be (rows, columns), {GRAMMAR}, a label map or a mask; got {type(regions).__name__}"
        ) from error
    if labels.dim() == len(size) + 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.is_floating_point() or labels.is_complex():
        raise ExplainerError(
            f"a label map holds integers, and a mask True and False; got {labels.dtype}. Threshold or round it first"
        )
    if labels.dim() == len(size) + 1 and len(labels) == images:
        labels = labels[number]
    if labels.shape != size:
        raise ExplainerError(
            f"regions have shape {tuple(labels.shape)}; the images need {size} "
            f"({'depth, ' * (len(size) == 3)}height, width), or {(images, *size)}"
        )
    return labels.long()
