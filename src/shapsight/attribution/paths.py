"""The straight ways from references to one image: points on them, and sums over the points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from shapsight.attribution.positions import Samples, left
from shapsight.attribution.shared.inputs import Parts
from shapsight.attribution.shared.placement import widest


@dataclass(frozen=True)
class Paths:
    """The ways from all references, `start`, to image `number`, `end`; with a layer, of its input.

    `under` are then the ways of the images themselves. `smoothing` is the standard deviation of noise added to `end`.
    """

    number: int
    start: Parts
    end: Parts
    under: Paths | None = None
    smoothing: float = 0.0
    seed: int = 0

    def points(self, samples: Samples, rows: slice) -> tuple[Parts, Parts]:
        """Some samples' points, and the whole change from reference to (noisy) image on each one's way.

        The samples are placed as the references are.
        """
        numbers, positions = samples.reference[rows], samples.position[rows]
        starts = tuple(start[numbers] for start in self.start)
        ends = self._noisy(rows) if self.smoothing else self.end
        changes = tuple(end - start for end, start in zip(ends, starts, strict=True))
        points = tuple(
            torch.addcmul(start, change, positions.reshape(-1, *[1] * (start.dim() - 1)))
            for start, change in zip(starts, changes, strict=True)
        )
        return points, changes

    def _noisy(self, rows: slice) -> Parts:
        """The image with other noise for each sample, the same whatever the batches are."""
        generators = [
            torch.Generator().manual_seed((self.seed + self.number) * 1_000_003 + row + 1)
            for row in range(rows.start, rows.stop)
        ]
        return tuple(end + self.smoothing * _normal(end, generators) for end in self.end)


def _normal(end: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """Noise of the processor, the same on every device."""
    noise = [torch.randn(end.shape[1:], generator=generator, dtype=end.dtype) for generator in generators]
    return torch.stack(noise).to(end.device)


@dataclass
class PathSums:
    """`Σ weight · share` and what tells its variance (see `Samples`), of each part of what is explained.

    `fine` are sums of squares over segments, `gaps` those of the values' sum, and `coarse` such a sum over all values;
    `unfinished` are the fine and the coarse contrast of the segment that the next samples go on with.
    """

    values: list[Float[Tensor, "outputs ..."]]
    fine: list[Float[Tensor, "outputs ..."]]
    common: list[Float[Tensor, "outputs ..."]]
    unfinished: list[Float[Tensor, "outputs contrasts ..."]]
    coarse: Float[Tensor, "outputs"]
    gaps: Float[Tensor, "outputs"]
    is_known: bool
    is_noisy: bool

    @classmethod
    def zeros(cls, outputs: int, paths: Paths, is_known: bool) -> PathSums:
        """Nothing added up yet; `is_known` is whether the samples tell a variance."""
        values, fine, common = (
            [part.new_zeros((outputs, *part.shape[1:])) for part in paths.end] for _ in range(3)
        )
        unfinished = [part.new_zeros((outputs, 2, *part.shape[1:])) for part in paths.end]
        coarse, gaps = paths.end[0].new_zeros(2, outputs, dtype=widest(paths.end[0].device))
        return cls(values, fine, common, unfinished, coarse, gaps, is_known, paths.smoothing > 0)

    def add(self, samples: Samples, rows: slice, shares: Sequence[Parts]) -> None:
        """Add the shares of some samples, of every output in turn, each `(samples, ...)`."""
        kind = self.gaps.dtype
        whole, contrasts, is_open = samples.sums(rows)
        table = torch.cat([whole, contrasts.flatten(0, 1)]) if self.is_known else whole[:1]
        for output, parts in enumerate(shares):
            totals: Tensor | float = 0.0
            for number, share in enumerate(parts):
                found = torch.tensordot(table, share, 1)
                self.values[number][output] += found[0]
                if not self.is_known:
                    continue
                self.common[number][output] += found[1]
                segments = found[2:].unflatten(0, contrasts.shape[:2])
                segments[:, 0] += self.unfinished[number][output]
                self.unfinished[number][output] = segments[:, -1] if is_open else 0.0
                fine, coarse = segments[:, :-1] if is_open else segments
                totals = totals + fine.flatten(1).sum(1, dtype=kind)
                self.fine[number][output] += fine.square().sum(0)
                self.coarse[output] += coarse.square().sum(dtype=kind)
            self.gaps[output] += torch.as_tensor(totals).square().sum()

    @property
    def std_errors(self) -> list[Float[Tensor, "outputs ..."]]:
        """Standard error of every value; infinite where the samples do not tell it."""
        return [self._errors(fine, common) for fine, common in zip(self.fine, self.common, strict=True)]

    @property
    def gap_errors(self) -> Float[Tensor, "outputs"]:
        """Standard error of the sum of the values; infinite where the samples do not tell it."""
        return self._errors(self.gaps, self._sums(self.common))

    def _errors(self, fine: Tensor, common: Tensor) -> Tensor:
        if not self.is_known:
            return torch.full_like(fine, torch.inf)
        share = torch.ones_like(self.coarse)
        if not self.is_noisy:  # noise is not shared by neighbours
            share = left(self._sums(self.fine), self.coarse)
        variance = (fine - common.square()).clamp_min(0)
        return (variance * share.to(fine.dtype).reshape(-1, *[1] * (fine.dim() - 1))).sqrt()

    def _sums(self, parts: list[Tensor]) -> Float[Tensor, "outputs"]:
        return torch.stack([part.flatten(1).sum(1, dtype=self.gaps.dtype) for part in parts]).sum(0)
