"""Networks of the user's own, named by import path in the tests."""

import torch
from torch import nn


class Tiny(nn.Module):
    """Finds a disc, with batch norm and dropout, quick enough for a test."""

    mean = (0.5, 0.5, 0.5)
    std = (0.25, 0.25, 0.25)

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 5, stride=2),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, stride=2),
            nn.ReLU(),
        )
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Dropout(0.1), nn.Linear(256, outputs)
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(images))


def made(outputs: int) -> nn.Module:
    return Tiny(outputs)


def no_network(outputs: int) -> int:
    return outputs


NUMBER = 7


def of_layers() -> nn.Module:
    """Two outputs; of torch's own layers, so that any process can import it. The same weights each time."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(64, 2)
    )
