"""Attributions, added up over the references in one pass, with their standard errors."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from shapsight.attribution.deep.rules.pieces import one_by_one
from shapsight.attribution.shared.inputs import Parts
from shapsight.attribution.shared.placement import wide
from shapsight.models.references import Likeness

if TYPE_CHECKING:
    from shapsight.attribution.deep.runs import Image

FEWEST_REFERENCES = 8  # before `tolerance` may stop: a standard error of fewer says little
CELLS = 8  # the region-level map, by which `tolerance` is judged, has 8 × 8 cells
KEPT = 128  # values of a map that are kept for every chosen reference, to see how smoothly they follow it


def cell_sums(shares: Tensor) -> Tensor:
    """A map per reference, summed over channels, in 8 × 8 cells; `(references, cells, cells)`."""
    flat = shares.sum(1) if shares.dim() == 4 else shares.reshape(len(shares), 1, -1)
    rows, columns = (_membership(length, flat) for length in flat.shape[1:])
    return rows.T @ flat @ columns


def part_sums(shares: Tensor, labels: Int[Tensor, "pixels"], count: int) -> Float[Tensor, "references parts"]:
    """A sum per reference and part of the image, over its channels and pixels."""
    flat = shares.sum(1).flatten(1)
    return flat.new_zeros(len(flat), count).index_add_(1, labels, flat)


@functools.lru_cache(maxsize=16)
def some_places(shape: torch.Size) -> tuple[Tensor, ...]:
    """Indices of some values of a map `(channels, height, width)`, the same for all maps of a shape."""
    count = shape.numel()
    chosen = torch.randperm(count, generator=torch.Generator().manual_seed(count))[:KEPT]
    indices: tuple[Tensor, ...] = torch.unravel_index(chosen, shape)
    return indices


def _membership(length: int, like: Tensor) -> Tensor:
    cells = min(CELLS, length)
    cell = torch.arange(length, device=like.device) * cells // length
    return torch.nn.functional.one_hot(cell, cells).to(like.dtype)


@dataclass
class WeightedSums:
    """Sums of `w a`, of `w² a²` and, where the weights differ, of `w² a`.

    With the likeness of chosen references, `kept` has some of the `a` for every image, output and reference.
    """

    values: Tensor
    squares: Tensor
    linear: Tensor | None
    likeness: Likeness | None = None
    kept: dict[tuple[int, ...], list[Tensor]] = field(default_factory=dict)

    @classmethod
    def zeros(
        cls, shape: tuple[int, ...], like: Tensor, is_weighted: bool, likeness: Likeness | None
    ) -> WeightedSums:
        """Nothing added up yet; in the layout of `like`, so that adding runs straight through memory."""

        def zeros() -> Tensor:
            images, outputs, *rest = shape
            flat = like.new_zeros(images * outputs, *rest)
            if flat.dim() == 4 and like.is_contiguous(memory_format=torch.channels_last):
                flat = flat.to(memory_format=torch.channels_last)
            return flat.view(images, outputs, *rest)

        return cls(zeros(), zeros(), zeros() if is_weighted else None, likeness)

    def add(self, place: tuple[int, ...], shares: Tensor, weights: Tensor | None) -> None:
        """Add the shares of some references, `(references, ...)`; they are overwritten."""
        if self.likeness is not None:
            places = some_places(shares.shape[1:])
            self.kept.setdefault(place, []).append(shares[(slice(None), *places)].detach())  # type: ignore[index]
        if weights is not None and self.linear is not None:
            shares.mul_(weights.reshape(-1, *[1] * (shares.dim() - 1)))
            self.linear[place] += torch.tensordot(weights, shares, 1)
        if len(shares) == 1:  # a large image, whose references come one by one: no passes for a sum of one
            self.values[place] += shares[0]
            self.squares[place].addcmul_(shares[0], shares[0])
        else:
            self.values[place] += shares.sum(0)
            self.squares[place] += shares.mul_(shares).sum(0)

    def mean(self, total: float) -> Tensor:
        """The weighted mean over the references, whose weights sum to `total`."""
        return (self.values / total).contiguous()

    def std_errors(self, weights: Float[Tensor, "references"]) -> Tensor:
        """Standard error of the weighted mean; infinite for a single reference.

        `√(Σ w² (a - ā)² / (W² - Σ w²))`, which for equal weights is the usual `s / √K`: that of independent draws. Of
        chosen references it is multiplied by `√Likeness.variance_ratio`, one for each image and output.
        """
        total, total_squares = float(weights.sum()), float(weights.square().sum())
        left = total**2 - total_squares
        if left <= 1e-9 * total**2:
            return torch.full_like(self.values, torch.inf)
        mean = self.mean(total)
        linear = self.values if self.linear is None else self.linear
        spread = self.squares - 2 * mean * linear + mean.square() * total_squares
        errors = (spread.clamp_min_(0) / left).sqrt_()
        if self.likeness is not None:
            likeness = self.likeness.first(len(weights))
            for place, kept in self.kept.items():
                errors[place] *= likeness.variance_ratio(torch.cat(kept), weights / total) ** 0.5
        return errors


@dataclass
class GroupSums:
    """What has been added up so far for a group of images: attributions, base predictions, regions, parts, weights."""

    chosen: Int[Tensor, "images outputs"]
    predicted: Float[Tensor, "images columns"]
    sums: tuple[WeightedSums, ...]
    regions: WeightedSums | None
    labels: Int[Tensor, "images pixels"] | None
    parts: WeightedSums | None
    predictions: list[Float[Tensor, "references columns"]] = field(default_factory=list)
    weights: list[Float[Tensor, "references"]] = field(default_factory=list)
    counted: set[int] = field(default_factory=set)

    @classmethod
    def empty(
        cls,
        images: list[Image],
        predicted: Tensor,
        chosen: Tensor,
        is_weighted: bool,
        likeness: Likeness | None,
        tolerance: float | None,
        labels: Int[Tensor, "images height width"] | None,
        parts: int,
    ) -> GroupSums:
        explained = images[0].explained

        def zeros(shape: tuple[int, ...], like: Tensor) -> WeightedSums:
            return WeightedSums.zeros((*chosen.shape, *shape), like, is_weighted, likeness)

        sums = tuple(zeros(part.shape[1:], part) for part in explained)
        regions = None if tolerance is None else zeros(cell_sums(explained[0]).shape[1:], explained[0])
        if labels is None:
            return cls(chosen, predicted, sums, regions, None, None)
        of_parts = zeros((parts,), explained[0])
        return cls(chosen, predicted, sums, regions, labels.flatten(1).to(explained[0].device), of_parts)

    def places(self) -> Iterator[tuple[int, int]]:
        """Every output of every image."""
        images, outputs = self.chosen.shape
        return ((image, output) for image in range(images) for output in range(outputs))

    def add_references(self, rows: slice, predictions: Tensor, weights: Tensor | None) -> None:
        """Count each reference once, also where memory ran out and it is replayed again."""
        if rows.start in self.counted:
            return
        self.counted.update(range(rows.start, rows.stop))
        self.predictions.append(predictions)
        if weights is not None:
            self.weights.append(weights)

    @property
    def weighing(self) -> Float[Tensor, "references"]:
        """The weight of each reference so far; 1 where they are equal."""
        if self.weights:
            return wide(torch.cat(self.weights)).cpu()
        return torch.ones(len(self.counted), dtype=torch.float64)

    @property
    def weight(self) -> float:
        """The sum of the references' weights."""
        return float(self.weighing.sum())

    def add(
        self, place: tuple[int, int], multipliers: Parts, x: Parts, b: Parts, weights: Tensor | None
    ) -> None:
        """Add multipliers times differences, a few references at a time: these stay in a processor's caches."""
        for number, (m, image, reference) in enumerate(zip(multipliers, x, b, strict=True)):
            cells = []
            of_parts = []
            for rows in one_by_one(m):
                shares = (image - reference.detach()[rows]).mul_(m[rows])
                if self.regions is not None and number == 0:
                    cells.append(cell_sums(shares))
                if self.parts is not None and self.labels is not None:
                    of_parts.append(part_sums(shares, self.labels[place[0]], self.parts.values.shape[2]))
                self.sums[number].add(place, shares, None if weights is None else weights[rows])
            if self.regions is not None and cells:
                self.regions.add(place, torch.cat(cells), weights)
            if self.parts is not None and of_parts:
                self.parts.add(place, torch.cat(of_parts), weights)

    def base_values(self) -> Float[Tensor, "columns"]:
        """The weighted mean prediction over the references; nothing of it waits for the device before this."""
        predictions = wide(torch.cat(self.predictions))
        if not self.weights:
            return predictions.mean(0)
        weights = wide(torch.cat(self.weights))
        return weights @ predictions / weights.sum()

    def is_settled(self, tolerance: float) -> bool:
        """Whether the standard error of every region-level map is small against its largest cell."""
        if self.regions is None or len(self.counted) < FEWEST_REFERENCES:
            return False
        errors = self.regions.std_errors(self.weighing).flatten(2).amax(2)
        return bool((errors <= tolerance * self.regions.mean(self.weight).abs().flatten(2).amax(2)).all())
