"""Colours of a batch changed in one call: brightness, contrast and saturation as one blend an image, then the hue."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

GREY = (0.2989, 0.587, 0.114)  # of red, green and blue, as in torchvision
SIXTHS = (5.0, 3.0, 1.0)  # where red, green and blue begin to fall, in sixths of the colour circle


class Colours(NamedTuple):
    """New colours for each image of a batch, drawn where batches are made and applied where the batch is.

    Attributes
        matrices: what a colour is multiplied by.
        of_mean: what the image's mean colour is multiplied by, and then added.
        turns: how far hues move along the colour circle afterwards; 1 is once around.
    """

    matrices: Float[Tensor, "images 3 3"]
    of_mean: Float[Tensor, "images 3 3"]
    turns: Float[Tensor, "images"]

    @classmethod
    def blends(
        cls,
        own: Float[Tensor, "images"],
        grey: Float[Tensor, "images"],
        mean: Float[Tensor, "images"],
        turns: Float[Tensor, "images"],
    ) -> Colours:
        """Shares of the colour itself, of its grey, and of the image's mean grey; 1, 0, 0 is no change."""
        weights = (torch.tensor(GREY) / sum(GREY)).expand(3, 3)
        return cls(
            own[:, None, None] * torch.eye(3) + grey[:, None, None] * weights,
            mean[:, None, None] * weights,
            turns,
        )


def recoloured(
    images: UInt8[Tensor, "images 3 height width"], colours: Colours
) -> UInt8[Tensor, "images 3 height width"]:
    """The images in their new colours, on the device where both are; nothing but colours changes.

        one, none = torch.ones(1), torch.zeros(1)
        recoloured(images, Colours.blends(1.2 * one, none, none, none))      # a fifth brighter

    Colours are cut to 0..255 before the hue moves around the hexagon of HSV, where the largest and the smallest of the
    three numbers stay; they are rounded once, at the end.
    """
    pixels = images.flatten(2).float()
    offsets = colours.of_mean @ pixels.mean(2, keepdim=True)
    changed = torch.baddbmm(offsets, colours.matrices, pixels).clamp_(0, 255)
    return _turned(changed, colours.turns).round_().to(torch.uint8).view_as(images)


def _turned(
    pixels: Float[Tensor, "images 3 pixels"], turns: Float[Tensor, "images"]
) -> Float[Tensor, "images 3 pixels"]:
    """Hues moved; each number is the largest one, less a share of its distance to the smallest (Smith 1978)."""
    red, green, blue = pixels.unbind(1)
    highest = torch.maximum(torch.maximum(red, green), blue)
    chroma = highest - torch.minimum(torch.minimum(red, green), blue)
    slope = chroma.clamp_min(1e-6)
    of_green = torch.where(
        highest == green, (blue - red).div_(slope).add_(2), (red - green).div_(slope).add_(4)
    )
    sixths = torch.where(highest == red, (green - blue).div_(slope), of_green).add_(6 * turns[:, None])
    turned = torch.empty_like(pixels)
    for channel, start in enumerate(SIXTHS):
        away = (sixths + start).remainder_(6)
        share = torch.minimum(away, 4 - away).clamp_(0, 1)
        torch.addcmul(highest, share, chroma, value=-1, out=turned[:, channel])
    return turned
