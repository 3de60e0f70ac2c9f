"""Explanations hold images; what is explained may have any rank."""

from __future__ import annotations

from torch import Tensor

from shapsight.errors import ExplainerError


def image_shaped(values: Tensor) -> Tensor:
    """`(images, outputs, ...)` as `(images, outputs, channels, height, width)`, whatever the input's rank."""
    shape = values.shape[2:]
    if len(shape) >= 3:
        return values.reshape(*values.shape[:2], shape[0], -1, shape[-1])
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
