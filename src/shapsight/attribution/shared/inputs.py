"""What a user gives: references, images and weights, checked and brought to the model's device and precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from shapsight.errors import ExplainerError
from shapsight.models.references import ChosenReferences, Likeness

Parts = tuple[Tensor, ...]


@dataclass(frozen=True, eq=False)
class GivenReferences:
    """References as an explainer is given them: tensors with weights of their own, or chosen ones."""

    parts: Parts
    weights: Tensor | Sequence[float] | None
    likeness: Likeness | None = None
    pool_size: int | None = None
    pool_outputs: Float[Tensor, "outputs"] | None = None

    def said(
        self, chosen: Int[Tensor, "images outputs"], names: Sequence[str], columns: int
    ) -> dict[str, Any]:
        """For an explanation's settings: what the references were chosen from, and what the model says of all that."""
        if self.pool_size is None:
            return {}
        outputs = self.pool_outputs
        if outputs is None or len(outputs) != columns:  # the model answers with more than what is explained
            return {"references_chosen_from": self.pool_size}
        means = {
            names[i] if i < len(names) else f"output {i}": float(outputs[i])
            for i in sorted(set(chosen.flatten().tolist()))
        }
        return {"references_chosen_from": self.pool_size, "pool_base_values": means}

    @classmethod
    def of(
        cls,
        references: Any,
        weights: Tensor | Sequence[float] | None = None,
    ) -> GivenReferences:
        """Raises `ExplainerError` for anything that is not references, and for a second set of weights."""
        if not isinstance(references, ChosenReferences):
            return cls(checked_references(references), weights)
        if weights is not None:
            raise ExplainerError(
                "chosen references have weights of their own: give references.references with weights="
            )
        parts = checked_references(references.references)
        return cls(
            parts,
            references.unequal_weights,
            references.likeness,
            references.pool_size,
            references.pool_outputs,
        )


def as_parts(value: Tensor | Sequence[Tensor], kind: str) -> Parts:
    """One tensor per input of the model. Raises `ExplainerError` for anything that is not tensors."""
    parts = (value,) if isinstance(value, Tensor) else tuple(value) if isinstance(value, list | tuple) else ()
    if not parts or not all(isinstance(part, Tensor) for part in parts):
        raise ExplainerError(
            f"{kind} must be a tensor ({kind}, channels, height, width), or a tuple of tensors for a model with "
            f"several inputs; got {type(value).__name__}. torch.as_tensor makes one of an array"
        )
    if any(part.layout != torch.strided for part in parts):
        raise ExplainerError(
            f"{kind} are sparse tensors, and pixels are not: make them dense with .to_dense()"
        )
    counts = [len(part) if part.dim() else 0 for part in parts]
    if len(set(counts)) != 1:
        raise ExplainerError(f"{kind} of a model with several inputs must be equally many; got {counts}")
    return parts


def prepared(parts: Parts, device: torch.device, dtype: torch.dtype, kind: str) -> Parts:
    """Plain tensors on the model's device in its precision. Raises `ExplainerError` for NaN or infinite values."""
    ready = tuple(part.detach().as_subclass(Tensor).to(device, dtype) for part in parts)
    for number, part in enumerate(ready):
        bad = (~part.isfinite()).flatten(1).any(1).nonzero().flatten().tolist()
        if bad:
            which = f" (input {number})" if len(ready) > 1 else ""
            raise ExplainerError(
                f"{kind} {bad[0]}{which} holds NaN or infinite values ({len(bad)} of {len(part)} do)"
            )
    return ready


def checked_references(references: Tensor | Sequence[Tensor]) -> Parts:
    """References, at least one."""
    parts = as_parts(references, "references")
    if any(part.dim() < 2 or part.numel() == 0 for part in parts):
        shapes = ", ".join(str(tuple(part.shape)) for part in parts)
        raise ExplainerError(
            f"references must hold at least one image, (references, channels, height, width); got {shapes}"
        )
    return parts


def prepared_images(images: Tensor | Sequence[Tensor], references: Parts) -> Parts:
    """Images that fit the references. Raises `ExplainerError` with both shapes if they do not."""
    parts = as_parts(images, "images")
    if len(parts) != len(references):
        raise ExplainerError(
            f"the model has {len(references)} inputs in references and {len(parts)} in images; a list of images is "
            "made one input by torch.stack"
        )
    for part, reference in zip(parts, references, strict=True):
        if part.dim() != reference.dim() or part.shape[1:] != reference.shape[1:]:
            raise ExplainerError(
                f"images have shape {tuple(part.shape)} and references {tuple(reference.shape)}: "
                "all but the first dimension must agree, and the first is for several (image[None] for a single one)"
            )
    if len(parts[0]) == 0:
        raise ExplainerError("there are no images to explain")
    return prepared(parts, references[0].device, references[0].dtype, "image")


def prepared_weights(weights: Tensor | Sequence[float] | None, references: Parts) -> Tensor | None:
    """Weights of the references, scaled to a mean of one; None for equal weights."""
    if weights is None:
        return None
    count = len(references[0])
    values = torch.as_tensor(weights, dtype=references[0].dtype, device=references[0].device).detach()
    if values.shape != (count,) or not values.isfinite().all() or (values < 0).any() or values.sum() <= 0:
        raise ExplainerError(
            f"weights must be {count} finite numbers, one per reference, none below 0 and not all 0; "
            f"got {values.numel()}, {values.flatten()[:8].tolist()}"
        )
    return values * (count / values.sum())
