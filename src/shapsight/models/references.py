"""Chosen references: their weights, and how alike they are to each other and to their pool."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

FEWEST = 4  # references; with fewer, nothing is said about how a value varies with likeness
SHARES = torch.cat([torch.linspace(0, 0.98, 50), torch.tensor([0.99, 0.995, 0.998, 0.999])]).double()


@dataclass(frozen=True, eq=False)
class Likeness:
    """Gaussian kernels, of several widths, of chosen references with each other and with the pool.

    Independent draws have the standard error `s / √K`; chosen references do better, by as much as what is averaged
    varies smoothly with what the model sees of the reference. So a value is taken for a Gaussian process over the
    references: a share `ρ` of its variance follows one of the kernels, the rest is noise. `ρ` and the kernel are those
    of the highest restricted likelihood of the values themselves, and the expected squared error of the mean against
    the pool's is then `ρ · MMD² + (1 - ρ) · Σ (w - p)²`, where MMD is the kernel distance of the references to the
    pool, `w` their weights and `p` those of the pool.

    Attributes
        among: `(kernels, references, references)`; to_pool: `(kernels, references)`, the mean kernel of each with the
            pool; of_pool: `(kernels,)`, the mean of the pool with itself.
        shares: `(references,)`, the share of each in the pool, 1 / P without copies; square: the sum of their squares
            over the pool.

    Sources: Patterson and Thompson 1971 (restricted likelihood); Huszár and Duvenaud 2012 (the error of a mean as a
    kernel distance).
    """

    among: Float[Tensor, "kernels references references"]
    to_pool: Float[Tensor, "kernels references"]
    of_pool: Float[Tensor, "kernels"]
    shares: Float[Tensor, "references"]
    square: float

    def tensors(self) -> dict[str, Tensor]:
        """For a file."""
        return {
            "likeness_among": self.among.contiguous(),
            "likeness_to_pool": self.to_pool.contiguous(),
            "likeness_of_pool": self.of_pool,
            "likeness_shares": self.shares,
            "likeness_square": torch.tensor(self.square, dtype=torch.float64),
        }

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, Tensor]) -> Likeness | None:
        """What `tensors` gave; None where there is none."""
        if "likeness_among" not in tensors:
            return None
        among, to_pool, of_pool, shares, square = (
            tensors[f"likeness_{name}"] for name in ("among", "to_pool", "of_pool", "shares", "square")
        )
        return cls(among, to_pool, of_pool, shares, float(square))

    def first(self, count: int) -> Likeness:
        """Of the first references alone."""
        if count == len(self.shares):
            return self
        return Likeness(
            self.among[:, :count, :count],
            self.to_pool[:, :count],
            self.of_pool,
            self.shares[:count],
            self.square,
        )

    def variance_ratio(
        self, values: Float[Tensor, "references values"], weights: Float[Tensor, "references"]
    ) -> float:
        """The mean's expected squared error over what independent draws would claim, `Σ w² (a - ā)² / (1 - Σ w²)`.

        `values`: of what is averaged, some for each reference, which may differ in size but are alike in kind, such as
        pixels of one map. `weights` sum to 1. It is 1 where there are too few references to tell, and 0 where the
        references are the whole pool.
        """
        if len(values) < FEWEST:
            return 1.0
        values = self._contrasts.T @ values.cpu().double()
        size = values.square().sum(0)
        values = values[:, size > 1e-24 * size.max()] if size.max() > 0 else values[:, :0]
        if not values.numel():
            return 1.0
        values = values / values.square().sum(0).sqrt()
        free = len(values)
        best, found = -torch.inf, 1.0
        for number, (spectrum, directions) in enumerate(self._spectra):
            scale = float(spectrum.mean())
            if scale <= 1e-12:
                continue
            along = (directions.T @ values).square()
            variances = SHARES[:, None] * spectrum / scale + (1 - SHARES[:, None])
            likelihood = (
                -free / 2 * (variances.reciprocal() @ along).log().mean(1) - variances.log().sum(1) / 2
            )
            place = int(likelihood.argmax())
            if likelihood[place] > best:
                best, share = float(likelihood[place]), float(SHARES[place])
                found = self._ratio(number, share / scale, 1 - share, weights)
        return found

    def _ratio(self, number: int, smooth: float, noise: float, weights: Tensor) -> float:
        """Expected squared error over the expected claim, for variances of the smooth part and of the noise."""
        w = weights.cpu().double()
        among, to_pool = self.among[number].double(), self.to_pool[number].double()
        distance = w @ among @ w - 2 * w @ to_pool + self.of_pool[number].double()
        left = w.square().sum() - 2 * w @ self.shares.double() + self.square
        error = smooth * distance.clamp_min(0) + noise * left.clamp_min(0)
        covariance = smooth * among + noise * torch.eye(len(w), dtype=torch.float64)
        mean = covariance @ w
        spread = covariance.diagonal() - 2 * mean + w @ mean  # the expected (a - ā)² of each
        claimed = (w.square() * spread).sum() / (1 - w.square().sum())
        return float(error / claimed) if claimed > 0 else 1.0

    @cached_property
    def _contrasts(self) -> Float[Tensor, "references contrasts"]:
        """An orthonormal basis of all differences between references."""
        count = self.among.shape[1]
        basis = torch.eye(count, dtype=torch.float64)
        basis[:, 0] = 1
        directions: Tensor = torch.linalg.qr(basis).Q
        return directions[:, 1:]

    @cached_property
    def _spectra(self) -> list[tuple[Tensor, Tensor]]:
        """Each kernel's eigenvalues and eigenvectors among the differences."""
        q = self._contrasts
        found = (torch.linalg.eigh(q.T @ kernel.double() @ q) for kernel in self.among)
        return [(values.clamp_min(0), vectors) for values, vectors in found]


@dataclass(frozen=True, eq=False)
class ChosenReferences:
    """References, their weights, and how far their mean may be off the pool's; explainers take it as references.

        chosen = choose_references(model, pool, 25)
        DeepShap(model, chosen)(images)
        chosen.first(10).references             # (10, C, H, W)

    Attributes
        references: `(K, C, H, W)`, as the pool held them; the first ones are also a good choice of fewer.
        weights: `(K,)`, summing to 1. Equal, unless the pool has copies and no more than K different images.
        indices: `(K,)`, their rows in the pool.
        pool_size: how many images they were chosen from, copies included; None of references that were not chosen.
        pool_outputs: the mean over the pool of all that the model answers, flat; what the base values should be.
        likeness: for standard errors; None where references are independent draws.
        notes: what was done with a pool that is not as usual.
    """

    references: Shaped[Tensor, "references channels height width"]
    weights: Float[Tensor, "references"]
    indices: Int[Tensor, "references"]
    pool_size: int | None = None
    pool_outputs: Float[Tensor, "outputs"] | None = None
    likeness: Likeness | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.references)

    def __repr__(self) -> str:
        of = "" if self.pool_size is None else f" of {self.pool_size} images"
        return f"ChosenReferences({len(self)}{of}, {' × '.join(map(str, self.references.shape[1:]))})"

    def first(self, count: int) -> ChosenReferences:
        """The first ones alone, or all where there are fewer."""
        if count >= len(self):
            return self
        weights = self.weights[:count] / self.weights[:count].sum()
        likeness = None if self.likeness is None else self.likeness.first(count)
        return replace(
            self,
            references=self.references[:count],
            weights=weights,
            indices=self.indices[:count],
            likeness=likeness,
        )

    @classmethod
    def drawn(cls, references: Tensor) -> ChosenReferences:
        """References that nobody chose: of equal weight, and nothing is known of a pool."""
        count = len(references)
        weights = torch.full((count,), 1 / max(count, 1), dtype=torch.float64)
        return cls(references, weights, torch.arange(count))

    def tensors(self) -> dict[str, Tensor]:
        """For a file: the references, and all that is known of them but the notes."""
        found = {"references": self.references.cpu().contiguous()}
        if self.pool_size is None:
            return found
        found |= {"weights": self.weights, "indices": self.indices, "pool_size": torch.tensor(self.pool_size)}
        if self.pool_outputs is not None:
            found["pool_outputs"] = self.pool_outputs
        return found | ({} if self.likeness is None else self.likeness.tensors())

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, Tensor]) -> ChosenReferences:
        """What `tensors` gave."""
        if "pool_size" not in tensors:
            return cls.drawn(tensors["references"])
        return cls(
            tensors["references"],
            tensors["weights"],
            tensors["indices"],
            int(tensors["pool_size"]),
            tensors.get("pool_outputs"),
            Likeness.of_tensors(tensors),
        )

    @property
    def unequal_weights(self) -> Float[Tensor, "references"] | None:
        """The weights, where they differ."""
        differ = len(self) and float(self.weights.max() - self.weights.min()) > 1e-6 / len(self)
        return self.weights if differ else None
