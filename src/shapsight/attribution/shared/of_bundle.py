"""Explainers over a bundle: its model, its references, its names, and images of any kind as it sees them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float, UInt8
from torch import Tensor, nn

from shapsight.errors import ExplainerError
from shapsight.models.bundle import Bundle
from shapsight.models.references import ChosenReferences


def network_of(bundle: Bundle) -> nn.Module:
    """The network of a bundle. Raises `ExplainerError` for a function, which has no inside."""
    if not bundle.has_gradients:
        raise ExplainerError(
            f"{bundle.name} is a function that can only be asked, and this method looks inside a model: use "
            "PartitionShap or RegionShap"
        )
    return bundle.model


def references_of(bundle: Bundle, references: Any) -> ChosenReferences | Tensor:
    """References as the model takes them; its own for None, and those given as pictures prepared like the images."""
    if references is None:
        return bundle.prepared_references()
    if isinstance(references, ChosenReferences) or (
        isinstance(references, Tensor) and references.is_floating_point()
    ):
        return references
    return bundle.prepare(bundle.pictures(references).to(bundle.device))


def names_of(model: Any, output_names: Sequence[str] | None) -> tuple[str, ...]:
    """The outputs' names that were given, or else a bundle's."""
    if output_names is None and isinstance(model, Bundle):
        return model.card.output_names
    return tuple(output_names or ())


def seen_by(
    bundle: Bundle, images: Any, show: Tensor | None
) -> tuple[UInt8[Tensor, "images 3 height width"], Float[Tensor, "images 3 height width"]]:
    """The pictures that the model sees, and what is drawn."""
    pictures = bundle.pictures(images)
    return pictures, pictures.float() / 255 if show is None else show
