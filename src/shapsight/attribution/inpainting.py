"""Filling hidden pixels from the visible ones around them: OpenCV's two methods, and a quick one on tensors."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

RADIUS = 3  # of the neighbourhood that OpenCV fills a pixel from; shap's choice
# OpenCV's methods look this far beyond the hidden pixels: one pixel less, and some come out differently.
MARGIN = RADIUS + 1


@dataclass(frozen=True)
class EightBits:
    """An image in the 8 bits that OpenCV's inpainting works in, `(height, width, channels)`.

    Whole numbers from 0 to 255 are taken as they are. Other images have their own range, from the least to the largest
    number, spread over 0 to 255; what is filled in is then in steps of 1/255 of that range.
    """

    pixels: NDArray[np.uint8]
    least: float = 0.0
    step: float = 1.0

    @classmethod
    def of(cls, image: Shaped[Tensor, "channels height width"]) -> EightBits:
        """Convert an image of any dtype and range."""
        array = image.detach().cpu().permute(1, 2, 0).contiguous().numpy()
        if array.dtype == np.uint8:
            return cls(array)
        wide = array.astype(np.float64)
        least, largest = float(wide.min()), float(wide.max())
        if least >= 0 and 1 < largest <= 255 and not np.mod(wide, 1).any():
            return cls(wide.astype(np.uint8))
        step = (largest - least) / 255 or 1.0
        return cls(np.rint((wide - least) / step).astype(np.uint8), least, step)

    def back(self, pixels: NDArray[np.uint8], like: Tensor) -> Shaped[Tensor, "images channels height width"]:
        """Filled images, in the range, dtype and device of the original."""
        filled = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(like.device)
        if self.step == 1.0 and self.least == 0.0:
            return filled.to(like.dtype)
        wide = filled.to(torch.float64 if like.dtype == torch.float64 else torch.float32)
        wide = wide * self.step + self.least
        return wide.to(like.dtype) if like.is_floating_point() else wide.round().to(like.dtype)


def fill_with_opencv(
    image: EightBits, hidden: Bool[Tensor, "coalitions height width"], method: int
) -> NDArray[np.uint8]:
    """The image with each coalition's hidden pixels filled, in threads: `(coalitions, height, width, channels)`.

    `method` is `cv2.INPAINT_TELEA` (Telea 2004) or `cv2.INPAINT_NS` (Bertalmio et al. 2001).
    """
    masks = hidden.cpu().numpy().astype(np.uint8)
    filled = np.repeat(image.pixels[None], len(masks), axis=0)

    def fill(number: int) -> None:
        _fill_one(image.pixels, masks[number], method, filled[number])

    in_threads(fill, np.argsort(-masks.sum((1, 2), dtype=np.int64)).tolist())  # the longest ones first
    return filled


def _fill_one(
    pixels: NDArray[np.uint8], mask: NDArray[np.uint8], method: int, out: NDArray[np.uint8]
) -> None:
    """Fill the rectangle around the hidden pixels; what is farther away than the margin changes nothing."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return
    window = (
        slice(max(0, int(rows[0]) - MARGIN), int(rows[-1]) + 1 + MARGIN),
        slice(max(0, int(columns[0]) - MARGIN), int(columns[-1]) + 1 + MARGIN),
    )
    source, holes = np.ascontiguousarray(pixels[window]), np.ascontiguousarray(mask[window])
    parts = [cv2.inpaint(part, holes, RADIUS, method) for part in _readable(source)]
    out[window] = np.concatenate([part.reshape(*holes.shape, -1) for part in parts], axis=2)


def _readable(pixels: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """OpenCV fills images of one or three channels; others go in one channel at a time."""
    channels = pixels.shape[2]
    if channels in (1, 3):
        return [pixels]
    return [np.ascontiguousarray(pixels[:, :, channel]) for channel in range(channels)]


def in_threads(work: Callable[[int], None], numbers: list[int]) -> None:
    """Do work that releases the interpreter's lock, in as many threads as torch uses."""
    threads = min(torch.get_num_threads(), len(numbers))
    if threads <= 1:
        for number in numbers:
            work(number)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, numbers))


def fill_by_pyramid(
    image: Shaped[Tensor, "channels *sides"],
    visible: Bool[Tensor, "coalitions channels_or_1 *sides"],
    mean: Float[Tensor, "channels *ones"],
) -> Float[Tensor, "coalitions channels *sides"]:
    """The image with hidden pixels filled from ever coarser means of the visible ones ("pull-push").

    Pull: halve image and mask until one pixel is left; a coarse pixel is the mean of what is visible below it, and
    counts in full as soon as a quarter of that is (of the eight voxels of a volume, as soon as one is). Push: go back
    down, interpolating the coarser level where a pixel does not count in full. `mean` is what stands where nothing is
    visible at all. All coalitions at once, on any device. Gortler et al. 1996, section 3.4.
    """
    weight = visible.to(image.dtype)
    weighted = image * weight
    levels = []
    while max(weighted.shape[2:]) > 1:
        weighted, weight = _halved(weighted), _halved(weight)
        excess = weight.clamp_min(1)
        weighted, weight = weighted / excess, weight / excess
        levels.append((weighted, weight))
    filled = mean.expand(len(visible), *mean.shape)
    for weighted, weight in reversed(levels):
        filled = torch.addcmul(weighted, _doubled(filled, weighted), 1 - weight)
    return chosen(visible, image, _doubled(filled, image))


def _halved(fine: Tensor) -> Tensor:
    """The sum of every 2 × 2 pixels, or 2 × 2 × 2 voxels; beyond an odd edge there are zeros."""
    odd = [side % 2 for side in fine.shape[2:]]
    if any(odd):
        fine = F.pad(fine, [beyond for side in reversed(odd) for beyond in (0, side)])
    for dim in range(2, fine.dim()):
        before = (slice(None),) * dim
        fine = fine[*before, ::2] + fine[*before, 1::2]
    return fine


def _doubled(coarse: Tensor, like: Tensor) -> Tensor:
    """Bilinear interpolation to twice the size, cut to that of `like`; on a processor quicker than torch's own."""
    size = like.shape[2 - coarse.dim() :]
    if max(size) == 1:
        return coarse
    with torch.no_grad():
        for dim in range(2, coarse.dim()):
            fine = coarse.new_empty(*coarse.shape[:dim], 2 * coarse.shape[dim], *coarse.shape[dim + 1 :])
            _interleave(coarse.transpose(2, dim), fine.transpose(2, dim))
            coarse = fine
    for dim, side in enumerate(size, start=2):
        coarse = coarse.narrow(dim, 0, side)
    return coarse


def _interleave(coarse: Tensor, fine: Tensor) -> None:
    """Twice the rows, each a quarter of the way from a coarse row to the one before or after it."""
    torch.lerp(coarse[:, :, 1:], coarse[:, :, :-1], 0.25, out=fine[:, :, 2::2])
    torch.lerp(coarse[:, :, :-1], coarse[:, :, 1:], 0.25, out=fine[:, :, 1:-1:2])
    fine[:, :, 0], fine[:, :, -1] = coarse[:, :, 0], coarse[:, :, -1]


def chosen(visible: Bool[Tensor, "..."], image: Tensor, otherwise: Tensor) -> Tensor:
    """`torch.where`, by the exact ends of an interpolation where there is one: a sixth of the time on a processor."""
    if image.dtype not in (torch.float32, torch.float64):
        return torch.where(visible, image, otherwise)
    return torch.lerp(otherwise, image, visible.to(image.dtype))
