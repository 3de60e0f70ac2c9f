"""A small convolutional network for small pictures, such as Fashion-MNIST's, trained from scratch in minutes."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

NAME = "small_cnn"
MEAN = STD = (0.5, 0.5, 0.5)


class SmallCnn(nn.Module):
    """Three blocks of convolution, batch norm and ReLU with pooling between them, and two linear layers.

    SmallCnn(10)(images)      # (N, 3, height, width), 12 pixels or more a side -> (N, 10)
    """

    def __init__(self, outputs: int, width: int = 24) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *_block(3, width),
            nn.MaxPool2d(2),
            *_block(width, 2 * width),
            nn.MaxPool2d(2),
            *_block(2 * width, 4 * width),
        )
        self.pool = nn.AdaptiveAvgPool2d(3)
        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(9 * 4 * width, 128), nn.ReLU(), nn.Dropout(0.25))
        self.head = nn.Linear(128, outputs)

    def forward(self, images: Float[Tensor, "images 3 height width"]) -> Float[Tensor, "images outputs"]:
        """The outputs of normalised images."""
        result: Tensor = self.head(self.hidden(self.pool(self.features(images))))
        return result


def _block(inside: int, outside: int) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(inside, outside, 3, padding=1, bias=False),
        nn.BatchNorm2d(outside),
        nn.ReLU(inplace=True),
    )
