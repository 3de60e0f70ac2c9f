"""Attributions, added up over the references in one pass, with their standard errors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

CELLS = 8  # the region-level map, by which `tolerance` is judged, has 8 × 8 cells


def cell_sums(shares: Tensor) -> Tensor:
    """A map per reference, summed over channels, in 8 × 8 cells; `(references, cells, cells)`."""
    flat = shares.sum(1) if shares.dim() == 4 else shares.reshape(len(shares), 1, -1)
    rows, columns = (_membership(length, flat) for length in flat.shape[1:])
    return rows.T @ flat @ columns


def _membership(length: int, like: Tensor) -> Tensor:
    cells = min(CELLS, length)
    cell = torch.arange(length, device=like.device) * cells // length
    return torch.nn.functional.one_hot(cell, cells).to(like.dtype)


@dataclass
class WeightedSums:
    """Sums of `w a`, of `w² a²` and, where the weights differ, of `w² a`."""

    values: Tensor
    squares: Tensor
    linear: Tensor | None

    @classmethod
    def zeros(cls, shape: tuple[int, ...], like: Tensor, is_weighted: bool) -> WeightedSums:
        """Nothing added up yet."""
        zeros = like.new_zeros
        return cls(zeros(shape), zeros(shape), zeros(shape) if is_weighted else None)

    def add(self, place: tuple[int, ...], shares: Tensor, weights: Tensor | None) -> None:
        """Add the shares of some references, `(references, ...)`; they are overwritten."""
        if weights is None or self.linear is None:
            self.values[place] += shares.sum(0)
            self.squares[place] += shares.square_().sum(0)
            return
        shares.mul_(weights.reshape(-1, *[1] * (shares.dim() - 1)))
        self.values[place] += shares.sum(0)
        self.linear[place] += torch.tensordot(weights, shares, 1)
        self.squares[place] += shares.square_().sum(0)

    def mean(self, total: float) -> Tensor:
        """The weighted mean over the references, whose weights sum to `total`."""
        return self.values / total

    def std_errors(self, total: float, total_squares: float) -> Tensor:
        """Standard error of the weighted mean; infinite for a single reference.

        `√(Σ w² (a - ā)² / (W² - Σ w²))`, which for equal weights is the usual `s / √K`.
        """
        left = total**2 - total_squares
        if left <= 1e-9 * total**2:
            return torch.full_like(self.values, torch.inf)
        mean = self.mean(total)
        linear = self.values if self.linear is None else self.linear
        spread = self.squares - 2 * mean * linear + mean.square() * total_squares
        return (spread.clamp_min_(0) / left).sqrt_()
