"""A small convolutional network for small pictures, such as Fashion-MNIST's, trained from scratch in minutes."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

NAME = "small_cnn"
MEAN = STD = (0.5, 0.5, 0.5)


class SmallCnn(nn.Module):
    """Three blocks of convolution, pooling, batch norm and ReLU, and two linear layers.

    SmallCnn(10)(images)      # (N, 3, height, width), 12 pixels or more a side -> (N, 10)
    """

    def __init__(self, outputs: int, width: int = 16) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *_block(3, width, is_halved=True),
            *_block(width, 2 * width, is_halved=True),
            *_block(2 * width, 4 * width, is_halved=False),
        )
        self.pool = nn.AdaptiveAvgPool2d(3)
        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(9 * 4 * width, 128), nn.ReLU(), nn.Dropout(0.25))
        self.head = nn.Linear(128, outputs)

    def forward(self, images: Float[Tensor, "images 3 height width"]) -> Float[Tensor, "images outputs"]:
        """The outputs of normalised images."""
        result: Tensor = self.head(self.hidden(self.pool(self.features(images))))
        return result


def _block(inside: int, outside: int, *, is_halved: bool) -> list[nn.Module]:
    """Pooling comes first: the same maxima, and a quarter of the work behind it."""
    pooling = [nn.MaxPool2d(2)] if is_halved else []
    convolution = nn.Conv2d(inside, outside, 3, padding=1, bias=False)
    return [convolution, *pooling, nn.BatchNorm2d(outside), nn.ReLU(inplace=True)]
