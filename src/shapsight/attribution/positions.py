"""Where gradients are taken: which reference, and how far on the way from it to the image.

Averaging over references and positions is an integral, and random points are the slow way to take it. Here every
reference is used in proportion to its weight, its positions are evenly spaced, and their offsets differ evenly from
reference to reference. Measured on networks with 25 to 50 references, 4 to 8 positions for each leave a third to a
half of the error of as many random points, and a tenth to a third of their completeness gap.

Evenly spaced samples share one random offset, so they do not tell their variance by themselves. Their halves do, every
other sample and the rest: half their difference, squared, has the mean `v(n/2) - v(n)`, where `v(n)` is the variance
of the mean of n evenly spaced samples. So `v(n)` is a share of it, which depends on how quickly `v` falls: all of it
if samples do not know of each other (`v` falls as 1/n), a third if the integrand is continuous, be it smooth or only
as a random walk is (1/n²). The other way to halve them, two samples and the next two, tells which; see `left`.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from shapsight.errors import ExplainerError

SEGMENTS = 24  # at least so many independent offsets, if that leaves four samples for each
# The quotient for `left` where a segment has not four samples to tell it: half is left of two samples (0.2 to 0.9
# on eleven networks, mostly 0.4 to 0.65), 0.4 of three (0.2 to 0.8).
ASSUMED = {2: 1.114, 3: 1.33}
# How much of the variance between single samples is one between references: 0.05 to 0.5 on these networks.
BETWEEN = 0.25


@dataclass(frozen=True)
class Samples:
    """The points of one image: `Σ weight · integrand(reference, position)` estimates the mean over both.

    Successive samples with one random offset are a segment. With `[...]` for a sum over one segment,
    `Σ [fine · integrand]² - (Σ common · integrand)²` times `left` estimates the variance. All 0: the samples do not
    tell their variance.

    Attributes
        reference: number of the reference that the path starts from.
        position: how far on the way to the image, in [0, 1].
        weight: 0 or more, summing to 1.
        contrasts: fine, half the difference of every other sample and the rest; coarse, half the difference of two
            samples and the next two; common, what the fine ones of all segments have in common, which the choice of
            offsets keeps from being an error.
        segment: its number; they rise from 0.
        ends: the row behind each segment.
    """

    reference: Int[Tensor, "samples"]
    position: Float[Tensor, "samples"]
    weight: Float[Tensor, "samples"]
    contrasts: Float[Tensor, "three samples"]
    segment: Int[Tensor, "samples"]
    ends: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.reference)

    @property
    def has_variance(self) -> bool:
        """Whether the samples tell a standard error."""
        return bool(self.contrasts.any())

    def sums(self, rows: slice) -> tuple[Float[Tensor, "two rows"], Float[Tensor, "two segments rows"], bool]:
        """What some samples are multiplied by: weight and common; fine and coarse, for each segment; is it to go on?"""
        first, last = bisect_right(self.ends, rows.start), bisect_left(self.ends, rows.stop)
        is_in = torch.arange(first, last + 1, device=self.segment.device).unsqueeze(1) == self.segment[rows]
        whole = torch.stack([self.weight[rows], self.contrasts[2, rows]])
        return whole, self.contrasts[:2, rows].unsqueeze(1) * is_in, self.ends[last] != rows.stop

    def placed(self, like: Tensor) -> Samples:
        """The same on the device and in the precision of `like`; all at once, for each copy waits for the device."""
        numbers = (self.position, self.weight, self.contrasts)
        position, weight, contrasts = (part.to(like.dtype).to(like.device) for part in numbers)
        reference, segment = (part.to(like.device) for part in (self.reference, self.segment))
        return Samples(reference, position, weight, contrasts, segment, self.ends)


def left(fine: Tensor, coarse: Tensor) -> Tensor:
    """The share of the halves' variance that is left in the mean of all, from sums of squares over all values.

    Samples that do not know of each other have a quotient of 1, and all is left. The larger it is, the more do
    neighbours agree; a third is left at least. Between the two are lines through what seven networks had; of four
    others three agreed within a tenth of the standard error (`benchmarks/gradient.py errors`).
    """
    quotient = coarse / fine.clamp_min(torch.finfo(fine.dtype).tiny)
    few, many = 1 - 4.4 * (quotient - 1), 0.45 - 0.246 * (quotient - 1.125)
    return torch.maximum(few, many).clamp(1 / 3, 1)


def spread(
    count: int,
    references: int,
    generator: torch.Generator,
    weights: Float[Tensor, "references"] | None = None,
) -> Samples:
    """Evenly spread samples with random offsets: unbiased, with a standard error.

    A reference gets samples in proportion to its weight, in cells of equal length; they sit at the same place in their
    cells, and these places are spread evenly over all segments (a Latin hypercube). With few references a path is
    several segments. References whose share is below one sample are drawn in proportion to their weights, without
    replacement as far as that goes.
    """
    weights = torch.ones(references) if weights is None else weights
    numbers, each = _allotted(count, weights, generator)
    reference = numbers.nonzero().flatten()
    reference = reference[numbers[reference].argsort(descending=True, stable=True)]
    lengths = numbers[reference]
    parts = torch.minimum(lengths // 4, (SEGMENTS * lengths + count - 1) // count).clamp_min(1)
    cell = torch.arange(count) - (lengths.cumsum(0) - lengths).repeat_interleave(lengths)
    length = lengths.repeat_interleave(lengths)
    part = cell * parts.repeat_interleave(lengths) // length
    segment = (parts.cumsum(0) - parts).repeat_interleave(lengths) + part
    offset = _evenly(int(parts.sum()), generator)[segment]
    reference = reference.repeat_interleave(lengths)
    samples = (reference, (cell + offset) / length, each[reference])
    return _with_contrasts(*samples, segment, int(((weights > 0) & (numbers == 0)).sum()))


def _evenly(count: int, generator: torch.Generator) -> Float[Tensor, "places"]:
    """Random places in [0, 1), one in every equal part, in random order."""
    places = torch.randperm(count, generator=generator)
    return (places + torch.rand(count, generator=generator, dtype=torch.float64)) / count


def _allotted(
    count: int, weights: Float[Tensor, "references"], generator: torch.Generator
) -> tuple[Int[Tensor, "references"], Float[Tensor, "references"]]:
    """How many samples each reference gets, and how much each of its samples weighs.

    References with a share of one sample or more always get some, which then have their whole weight. The others are
    drawn, and share their weight equally; if they have not one sample together, the next one joins them.
    """
    weights = weights.double() / weights.double().sum()
    share = count * weights
    is_rare = (share > 0) & (share < 1)
    if 0 < share[is_rare].sum() < 1:
        is_rare[share.where(share >= 1, torch.inf).argmin()] = True
    number = torch.zeros_like(share, dtype=torch.long)
    groups = _rounded(torch.cat([share[~is_rare], share[is_rare].sum().reshape(1)]), generator)
    number[~is_rare] = groups[:-1]
    number[is_rare] = _rounded(share[is_rare] / share[is_rare].sum() * groups[-1], generator)
    each = weights / number.clamp_min(1)
    each[is_rare] = weights[is_rare].sum() / groups[-1]
    return number, each


def _rounded(shares: Tensor, generator: torch.Generator) -> Tensor:
    """Shares rounded up or down at random to whole numbers of the same sum, right on average."""
    order = torch.randperm(len(shares), generator=generator)
    ends = shares[order].cumsum(0).round(decimals=9) + torch.rand(1, generator=generator, dtype=torch.float64)
    ends = ends.floor().long()
    return torch.zeros_like(ends).scatter(0, order, ends.diff(prepend=ends.new_zeros(1)))


def _with_contrasts(
    reference: Tensor, position: Tensor, weight: Tensor, segment: Tensor, unused: int
) -> Samples:
    """Samples with what tells their variance; segments of a single sample come last, and become pairs."""
    lengths = segment.bincount()
    several = int(lengths[lengths > 1].sum())
    order = torch.cat([torch.arange(several), several + position[several:].argsort()])
    reference, position, weight = reference[order], position[order], weight[order]
    alone = len(order) - several
    pair = (torch.arange(alone) // 2).clamp_max(max(0, alone // 2 - 1))
    contrasts = torch.cat(
        [
            _of_segments(weight[:several], segment[:several]),
            _of_pairs(weight[several:], pair, alone / max(1, alone + unused)),
        ],
        1,
    )
    before = int((lengths > 1).sum())
    if alone == 1 and before:  # nothing to pair it with: it joins the segment before it
        contrasts[:2, several - 1] -= contrasts[:2, several]
        before -= 1
    elif alone == 1:
        contrasts = torch.zeros_like(contrasts)
    segment = torch.cat([segment[:several], before + pair])
    ends = tuple(segment.bincount().cumsum(0).tolist())
    return Samples(reference, position, weight, contrasts, segment, ends)


def _of_segments(weight: Tensor, segment: Tensor) -> Float[Tensor, "contrasts samples"]:
    """Fine, coarse and common, of the first or the last samples of each segment that are a multiple of four, or two."""
    lengths = segment.bincount()
    length = lengths[segment]
    size = torch.where(length < 4, 2, length // 4 * 4)
    place = torch.arange(len(segment)) - (lengths.cumsum(0) - lengths)[segment]
    place = place - (length - size) * (segment % 2)
    scale = weight * (length / size).sqrt() * ((place >= 0) & (place < size))
    fine = scale * (1 - 2 * (place % 2))
    assumed = fine * torch.where(length == 2, ASSUMED[2], ASSUMED[3]).sqrt()
    coarse = torch.where(length < 4, assumed, scale * (1 - 2 * (place // 2 % 2)))
    share = weight * length
    common = fine * share / (share.square() / length).sum().sqrt()
    count = len(lengths)
    if count < 2:
        return torch.stack([fine, coarse, torch.zeros_like(fine)])
    return torch.stack([fine, coarse, common]) * math.sqrt(count / (count - 1))


def _of_pairs(weight: Tensor, pair: Tensor, used: float) -> Float[Tensor, "contrasts samples"]:
    """Fine, coarse and common, of single samples that are neighbours in their positions.

    They differ by their references as well, which is no error as far as these are all `used`.
    """
    variance = (1 - BETWEEN * used) * weight.square()
    size = torch.zeros_like(weight).index_add_(0, pair, variance).sqrt()[pair]
    place = torch.arange(len(weight)) - 2 * pair  # the last pair may be three, or one alone
    fine = size * torch.tensor([1.0, -1.0, 0.0], dtype=weight.dtype)[place]
    return torch.stack([fine, fine * ASSUMED[2] ** 0.5, torch.zeros_like(fine)])


def gauss(count: int, references: int, weights: Float[Tensor, "references"] | None = None) -> Samples:
    """Gauss-Legendre points on every path: exact for polynomials, no randomness and no standard error.

    Raises `ExplainerError` if the count is no multiple of the references.
    """
    if count % references:
        raise ExplainerError(
            f'positions="gauss" takes equally many points for each reference: samples={count} is no multiple of '
            f"{references} references"
        )
    points, of_points = np.polynomial.legendre.leggauss(count // references)
    weights = torch.ones(references) if weights is None else weights
    weights = weights.double() / weights.double().sum()
    weight = torch.outer(weights, torch.from_numpy(of_points / 2)).flatten()
    return Samples(
        torch.arange(references).repeat_interleave(len(points)),
        torch.from_numpy((points + 1) / 2).repeat(references),
        weight,
        torch.zeros(3, count, dtype=weight.dtype),
        torch.zeros(count, dtype=torch.long),
        (count,),
    )
