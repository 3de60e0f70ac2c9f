"""Small networks and their images, for tests that must run a model many times."""

import torch
from torch import nn


def convolutional(channels: int = 3, outputs: int = 3) -> nn.Module:
    """Two convolutions, pooling and a linear layer, for images of any size."""
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(channels, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, outputs),
    ).eval()


def linear(channels: int = 3, side: int = 12, outputs: int = 2) -> nn.Module:
    """A model whose Shapley values are known: weight times (image - reference)."""
    torch.manual_seed(2)
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * side * side, outputs)).eval()


def pictures(count: int = 3, channels: int = 3, side: int = 16, seed: int = 0) -> torch.Tensor:
    """Images of random numbers in [0.1, 1)."""
    return 0.1 + 0.9 * torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(seed))
