"""Merging the pixels of an image, two regions at a time, until one is left."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

NOISE = 2 / 255  # of the image's range: flat areas merge by size and border instead of one pixel at a time


@dataclass(frozen=True, eq=False)
class Merges:
    """A binary tree over pixels: regions 0 to P - 1 are pixels, region P + i was merged from `pairs[i]`.

    Attributes
        pairs: the two regions of each merge; the last merge is the whole image.
        sizes, starts: each region is pixels `order[start : start + size]`.
        order: pixel numbers (row · width + column).
    """

    pairs: Int[ndarray, "merges 2"]
    sizes: Int[ndarray, "regions"]
    starts: Int[ndarray, "regions"]
    order: Int[ndarray, "pixels"]


@dataclass
class _Borders:
    """Neighbouring regions and the length of the border between them."""

    first: Int[ndarray, "borders"]
    second: Int[ndarray, "borders"]
    length: Float[ndarray, "borders"]


def merge_pixels(image: Float[ndarray, "channels height width"]) -> Merges:
    """Merge neighbours in the order of the Mumford-Shah criterion, all mutually nearest pairs at a time."""
    channels, height, width = image.shape
    pixels = height * width
    span = float(image.max() - image.min()) or 1.0
    colours = np.zeros((2 * pixels - 1, channels))
    colours[:pixels] = (image.reshape(channels, pixels).T - image.min()) / span
    sizes = np.ones(2 * pixels - 1, dtype=np.int64)
    borders = _pixel_borders(height, width)
    chance = np.random.default_rng(0)  # only breaks ties, the same way every time
    rounds: list[Int[ndarray, "merges 2"]] = []
    count = pixels
    while len(borders.first):
        cost = _costs(borders, sizes, colours) * (1 + 1e-9 * chance.random(len(borders.first)))
        pairs = _nearest_to_each_other(borders, cost, count)
        merged = np.arange(count, count + len(pairs))
        sizes[merged] = sizes[pairs].sum(1)
        shares = sizes[pairs] / sizes[merged, None]
        colours[merged] = (colours[pairs] * shares[:, :, None]).sum(1)
        count += len(pairs)
        borders = _after_merging(borders, pairs, merged, count)
        rounds.append(pairs)
    return _laid_out(rounds, sizes, pixels)


def _pixel_borders(height: int, width: int) -> _Borders:
    numbers = np.arange(height * width).reshape(height, width)
    first = np.concatenate([numbers[:, :-1].ravel(), numbers[:-1].ravel()])
    second = np.concatenate([numbers[:, 1:].ravel(), numbers[1:].ravel()])
    return _Borders(first, second, np.ones(len(first)))


def _costs(
    borders: _Borders, sizes: Int[ndarray, "regions"], colours: Float[ndarray, "regions channels"]
) -> Float[ndarray, "borders"]:
    """What merging adds to the squared colour error, per pixel of border that it removes (Koepfler et al., eq. 9)."""
    one, two = sizes[borders.first], sizes[borders.second]
    contrast = ((colours[borders.first] - colours[borders.second]) ** 2).sum(1) + NOISE**2
    return np.asarray(one * two / (one + two) * contrast / borders.length)


def _nearest_to_each_other(
    borders: _Borders, cost: Float[ndarray, "borders"], count: int
) -> Int[ndarray, "merges 2"]:
    nearest = np.full(count, np.inf)
    np.minimum.at(nearest, borders.first, cost)
    np.minimum.at(nearest, borders.second, cost)
    mutual = (nearest[borders.first] == cost) & (nearest[borders.second] == cost)
    return np.stack([borders.first[mutual], borders.second[mutual]], axis=1)


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


def _laid_out(rounds: list[Int[ndarray, "merges 2"]], sizes: Int[ndarray, "regions"], pixels: int) -> Merges:
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
    return Merges(pairs, sizes, starts, order)
