"""What may change in training images, and only there."""

from __future__ import annotations

from torchvision.transforms import v2


def training_transform(
    *, brightness: float = 0.2, contrast: float = 0.2, saturation: float = 0.2, hue: float = 0.05
) -> v2.Transform:
    """Colour jitter: light and colours vary by these shares, every pixel stays where it is.

        transform = training_transform()
        transform(image)      # (3, height, width) uint8 -> the same shape and type

    `hue` is in turns of the colour circle (0 to 0.5). Targets and ROI need no change. Draws from torch's
    global generator, so `torch.manual_seed` makes it reproducible.
    """
    return v2.ColorJitter(brightness=brightness, contrast=contrast, saturation=saturation, hue=hue)
