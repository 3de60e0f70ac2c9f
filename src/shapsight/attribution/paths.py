"""The straight ways from references to one image: points on them, and sums over the points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from shapsight.attribution.positions import Samples
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
    """`Σ weight · share` and its variance `Σ link · (share - the one before)²`, of each part of what is explained."""

    values: list[Float[Tensor, "outputs ..."]]
    variances: list[Float[Tensor, "outputs ..."]]
    gap_variance: Float[Tensor, "outputs"]
    before: list[Float[Tensor, "outputs ..."]]
    has_variance: bool

    @classmethod
    def zeros(cls, outputs: int, end: Parts, has_variance: bool) -> PathSums:
        """Nothing added up yet."""
        zeros = [[part.new_zeros((outputs, *part.shape[1:])) for part in end] for _ in range(3)]
        gaps = end[0].new_zeros(outputs, dtype=widest(end[0].device))
        return cls(zeros[0], zeros[1], gaps, zeros[2], has_variance)

    def add(self, samples: Samples, rows: slice, shares: Sequence[Parts]) -> None:
        """Add the shares of some samples, of every output in turn, each `(samples, ...)`."""
        kind = self.gap_variance.dtype
        weights, links = samples.weight[rows], samples.link[rows]
        for output, parts in enumerate(shares):
            totals: Tensor | float = 0.0
            for number, share in enumerate(parts):
                self.values[number][output] += torch.tensordot(weights, share, 1)
                if self.has_variance:
                    steps = torch.cat([share[:1] - self.before[number][output], share.diff(dim=0)])
                    totals = totals + steps.flatten(1).sum(1, dtype=kind)
                    self.variances[number][output] += torch.tensordot(links, steps.square_(), 1)
                    self.before[number][output] = share[-1]
            self.gap_variance[output] += (links.to(kind) * torch.as_tensor(totals).square()).sum()

    @property
    def std_errors(self) -> list[Float[Tensor, "outputs ..."]]:
        """Standard error of every value; infinite where the samples do not tell it."""
        return [v.sqrt() if self.has_variance else torch.full_like(v, torch.inf) for v in self.variances]

    @property
    def gap_errors(self) -> Float[Tensor, "outputs"]:
        """Standard error of the sum of the values; infinite where the samples do not tell it."""
        errors = self.gap_variance.sqrt()
        return errors if self.has_variance else torch.full_like(errors, torch.inf)
