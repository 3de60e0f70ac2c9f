"""Merging the pixels of an image, two regions at a time, until one is left."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

# Of the range of lightness: flat areas merge by size and outline instead of one pixel at a time.
NOISE = 2 / 255


@dataclass(frozen=True, eq=False)
class Merges:
    """A binary tree over pixels: regions 0 to P - 1 are pixels, region P + i was merged from `pairs[i]`.

    Attributes
        pairs: the two regions of each merge; the last merge is the whole image.
        sizes, starts: each region is pixels `order[start : start + size]`.
        order: pixel numbers (row · width + column; of a volume with those of the slices before).
        costs: what each merge cost: how unlike its pixels are, and how large and ragged the region is.
    """

    pairs: Int[ndarray, "merges 2"]
    sizes: Int[ndarray, "regions"]
    starts: Int[ndarray, "regions"]
    order: Int[ndarray, "pixels"]
    costs: Float[ndarray, "merges"]


@dataclass
class _Regions:
    """What is known of each region; the rows of those that are not merged yet are empty.

    `deviations` are sums over a region's pixels of the squared distance from its mean colour.
    """

    colours: Float[ndarray, "regions channels"]
    deviations: Float[ndarray, "regions"]
    sizes: Int[ndarray, "regions"]
    perimeters: Float[ndarray, "regions"]

    @classmethod
    def of_pixels(cls, colours: Float[ndarray, "pixels channels"], borders: float) -> _Regions:
        """Every pixel is a region of its own, with so many borders: 4, of a voxel 6."""
        pixels, channels = colours.shape
        regions = 2 * pixels - 1
        room = np.concatenate([colours, np.zeros((pixels - 1, channels))])
        return cls(room, np.zeros(regions), np.ones(regions, np.int64), np.full(regions, borders))

    def deviation_of_both(
        self, one: Int[ndarray, "pairs"], two: Int[ndarray, "pairs"]
    ) -> Float[ndarray, "pairs"]:
        """The deviation of each two regions together."""
        contrast = ((self.colours[one] - self.colours[two]) ** 2).sum(1)
        sizes = self.sizes[one] * self.sizes[two] / (self.sizes[one] + self.sizes[two])
        return np.asarray(self.deviations[one] + self.deviations[two] + sizes * contrast)

    def merge(
        self, pairs: Int[ndarray, "merges 2"], border: Float[ndarray, "merges"], first: int
    ) -> Int[ndarray, "merges"]:
        """Regions `first`, `first + 1`, ... are the two of each pair together, which share a border so long."""
        merged = np.arange(first, first + len(pairs))
        self.deviations[merged] = self.deviation_of_both(*pairs.T)
        self.sizes[merged] = self.sizes[pairs].sum(1)
        shares = self.sizes[pairs] / self.sizes[merged, None]
        self.colours[merged] = (self.colours[pairs] * shares[:, :, None]).sum(1)
        self.perimeters[merged] = self.perimeters[pairs].sum(1) - 2 * border
        return merged


@dataclass
class _Borders:
    """Neighbouring regions and the length of the border between them."""

    first: Int[ndarray, "borders"]
    second: Int[ndarray, "borders"]
    length: Float[ndarray, "borders"]


def merge_pixels(image: Float[ndarray, "channels *sides"]) -> Merges:
    """Merge neighbours, the lowest cost first and all mutually nearest pairs at a time.

    The cost of a merge is the squared deviation of the whole new region, times the root of its perimeter: large,
    varied and ragged regions form late, so that the tree is not one chain of specks.
    """
    sides = image.shape[1:]
    regions = _Regions.of_pixels(_colours(image), 2.0 * len(sides))
    borders = _pixel_borders(sides)
    chance = np.random.default_rng(0)  # only breaks ties, the same way every time
    rounds: list[Int[ndarray, "merges 2"]] = []
    costs: list[Float[ndarray, "merges"]] = []
    pixels = count = math.prod(sides)
    while len(borders.first):
        cost = _costs(borders, regions) * (1 + 1e-9 * chance.random(len(borders.first)))
        nearest = _nearest_to_each_other(borders, cost, count)
        pairs = np.stack([borders.first[nearest], borders.second[nearest]], axis=1)
        merged = regions.merge(pairs, borders.length[nearest], count)
        count += len(pairs)
        borders = _after_merging(borders, pairs, merged, count)
        rounds.append(pairs)
        costs.append(cost[nearest])
    return _laid_out(rounds, costs, regions.sizes, pixels)


def _colours(image: Float[ndarray, "channels *sides"]) -> Float[ndarray, "pixels channels"]:
    """The image's range spread over 0 to 1; of three channels CIELAB, whose distances are those that people see."""
    channels = len(image)
    span = float(image.max() - image.min()) or 1.0
    pixels = ((image - image.min()) / span).reshape(channels, -1, image.shape[-1])
    pixels = pixels.transpose(1, 2, 0)
    if channels == 3:
        pixels = cv2.cvtColor(pixels.astype(np.float32), cv2.COLOR_RGB2LAB).astype(np.float64) / 100
    return np.asarray(pixels.reshape(-1, channels))


def _pixel_borders(sides: tuple[int, ...]) -> _Borders:
    numbers = np.arange(math.prod(sides)).reshape(sides)
    along = reversed(range(len(sides)))
    ends = [(np.delete(numbers, -1, side).ravel(), np.delete(numbers, 0, side).ravel()) for side in along]
    first, second = (np.concatenate(end) for end in zip(*ends, strict=True))
    return _Borders(first, second, np.ones(len(first)))


def _costs(borders: _Borders, regions: _Regions) -> Float[ndarray, "borders"]:
    one, two = borders.first, borders.second
    sizes = regions.sizes[one] + regions.sizes[two]
    perimeters = regions.perimeters[one] + regions.perimeters[two] - 2 * borders.length
    deviations = regions.deviation_of_both(one, two) + NOISE**2 * sizes
    return np.asarray(deviations * np.sqrt(perimeters))


def _nearest_to_each_other(
    borders: _Borders, cost: Float[ndarray, "borders"], count: int
) -> Int[ndarray, "merges"]:
    """Borders between regions that are each other's nearest; of several equally near, one for each region."""
    nearest = np.full(count, np.inf)
    np.minimum.at(nearest, borders.first, cost)
    np.minimum.at(nearest, borders.second, cost)
    mutual = np.flatnonzero((nearest[borders.first] == cost) & (nearest[borders.second] == cost))
    regions = np.stack([borders.first[mutual], borders.second[mutual]], axis=1).ravel()
    is_first_time = np.zeros(len(regions), bool)
    is_first_time[np.unique(regions, return_index=True)[1]] = True
    return np.asarray(mutual[is_first_time.reshape(-1, 2).all(1)])


def _after_merging(
    borders: _Borders, pairs: Int[ndarray, "merges 2"], merged: Int[ndarray, "merges"], count: int
) -> _Borders:
    """The borders that are left, each once: those of both halves with the same neighbour become one."""
    renamed = np.arange(count)
    renamed[pairs] = merged[:, None]
    first, second = renamed[borders.first], renamed[borders.second]
    stays = first != second
    first, second = first[stays], second[stays]
    code = np.minimum(first, second) * count + np.maximum(first, second)
    unique, position = np.unique(code, return_inverse=True)
    return _Borders(unique // count, unique % count, np.bincount(position, borders.length[stays]))


def _laid_out(
    rounds: list[Int[ndarray, "merges 2"]],
    costs: list[Float[ndarray, "merges"]],
    sizes: Int[ndarray, "regions"],
    pixels: int,
) -> Merges:
    """Put the pixels in an order in which every region is one stretch: from the root down, first half first."""
    starts = np.zeros(len(sizes), dtype=np.int64)
    stop = len(sizes)
    for pairs in reversed(rounds):
        merged = slice(stop - len(pairs), stop)
        starts[pairs[:, 0]] = starts[merged]
        starts[pairs[:, 1]] = starts[merged] + sizes[pairs[:, 0]]
        stop -= len(pairs)
    order = np.empty(pixels, dtype=np.int64)
    order[starts[:pixels]] = np.arange(pixels)
    pairs = np.concatenate(rounds) if rounds else np.empty((0, 2), dtype=np.int64)
    return Merges(pairs, sizes, starts, order, np.concatenate(costs) if costs else np.empty(0))
