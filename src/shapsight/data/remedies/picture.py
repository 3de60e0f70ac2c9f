"""What a transform finds in a sample: one picture of 8 bits, and the region of interest where it needs to know it."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, UInt8
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as v2f

from shapsight.errors import DataError

Pixels = UInt8[Tensor, "3 height width"]
Region = Bool[Tensor, "height width"]


class PictureChange(v2.Transform):  # type: ignore[misc]  # torchvision has no types
    """A change of the picture of a share of the samples; whatever else a sample holds is passed on as it is.

    As for torchvision's own transforms the picture is the `tv_tensors.Image`, or where there is none the first plain
    tensor. Raises `DataError` for a share outside [0, 1].
    """

    _transformed_types: tuple[Any, ...] = (tv_tensors.Image, v2f.is_pure_tensor)

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = checked(share)

    def picture(self, inputs: list[Any]) -> Pixels:
        """The sample's picture. Raises `DataError` where there is not one, or it is not (3, height, width) in uint8."""
        name = type(self).__name__
        found = [one for one in inputs if isinstance(one, tv_tensors.Image) or v2f.is_pure_tensor(one)]
        if len(found) != 1:
            raise DataError(
                f"{name} changes one picture at a time, and the sample holds {len(found) or 'none'}: give it a "
                "tv_tensors.Image (of a PIL image v2.ToImage() makes one)"
            )
        pixels: Tensor = found[0].as_subclass(Tensor)
        if not is_picture(pixels):
            raise DataError(
                f"{name} takes one RGB picture, uint8 of shape (3, height, width), not {described(pixels)}: put it "
                "before v2.ToDtype and v2.Normalize, where images are not yet in batches"
            )
        return pixels

    def region(self, inputs: list[Any]) -> Region:
        """The sample's region of interest. Raises `DataError` where there is not one, or it is of another size."""
        name = type(self).__name__
        found = [one for one in inputs if isinstance(one, tv_tensors.Mask)]
        if len(found) != 1:
            raise DataError(
                f"{name} needs to know the region of interest, and the sample holds {len(found) or 'no'} masks: give "
                "one tv_tensors.Mask beside the image, True inside, as in transform(image, mask, target)"
            )
        mask, size = found[0].as_subclass(Tensor), self.picture(inputs).shape[1:]
        if mask.ndim < 2 or mask.shape[-2:] != size:
            raise DataError(
                f"{name} was given a mask of shape {tuple(mask.shape)}: for an image of {size[0]} × {size[1]} pixels "
                f"it must be ({size[0]}, {size[1]})"
            )
        return torch.as_tensor(mask.bool().reshape(-1, *size).any(0))


def is_picture(pixels: Tensor) -> bool:
    """RGB in 8 bits."""
    return pixels.dtype == torch.uint8 and pixels.ndim == 3 and len(pixels) == 3


def described(tensor: Tensor) -> str:
    """`"float32 of shape (1, 8, 8)"`."""
    return f"{str(tensor.dtype).removeprefix('torch.')} of shape {tuple(tensor.shape)}"


def checked(share: float) -> float:
    """A share of the samples. Raises `DataError` outside [0, 1]."""
    if not 0 <= share <= 1:
        raise DataError(f"share={share} is no share of the samples: it must be from 0 to 1")
    return share
