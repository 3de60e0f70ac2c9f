"""The order of training images: another one in each epoch, and always the same one for an epoch and a seed."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch.utils.data import Sampler


class EpochOrder(Sampler[int]):
    """All images in a random order that depends on the seed and the epoch only; Lightning sets the epoch.

    Several processes that train together take turns; where the images do not come out even, the first ones are
    taken twice.
    """

    def __init__(self, count: int, seed: int) -> None:
        self.count = count
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next pass."""
        self.epoch = epoch

    def __len__(self) -> int:
        return math.ceil(self.count / _processes()[1])

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 100_003 + self.epoch)
        order = torch.randperm(self.count, generator=generator).tolist()
        rank, processes = _processes()
        return iter((order * 2)[rank : len(self) * processes : processes])


class EpochDraws(EpochOrder):
    """The same order as draws, `epoch * count + image`, of which `ImageBatches` makes an image and its changes."""

    def __iter__(self) -> Iterator[int]:
        return (self.epoch * self.count + image for image in super().__iter__())


def _processes() -> tuple[int, int]:
    """The number of this process, and how many train together."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1
