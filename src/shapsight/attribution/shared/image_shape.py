"""Explanations hold images and volumes; what is explained may have any rank."""

from __future__ import annotations

from torch import Tensor

from shapsight.errors import ExplainerError


def image_shaped(values: Tensor) -> Tensor:
    """`(images, outputs, ...)` as `(images, outputs, channels, [depth,] height, width)`, whatever the input's rank.

    Volumes `(channels, depth, height, width)` stay volumes; more sides than three are laid out in the depth.
    """
    shape = values.shape[2:]
    if len(shape) in (3, 4):
        return values
    if len(shape) > 4:
        return values.flatten(3, -3)
    channels = shape[0] if len(shape) == 2 else 1
    return values.reshape(*values.shape[:2], channels, 1, -1)


def image_size(images: Tensor) -> tuple[int, int]:
    """Height and width. Raises `ExplainerError` for what has none, over which a layer cannot be drawn."""
    if images.dim() != 4:
        raise ExplainerError(
            f"what layer= is given is drawn over images (images, channels, height, width), not {tuple(images.shape)}: "
            "spread_layer=False leaves the values of a layer in its own shape, for volumes and signals as well"
        )
    return images.shape[2], images.shape[3]
