"""Explainers over a bundle: its model, its references, its names, and images of any kind as it sees them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float, Shaped
from torch import Tensor

from shapsight.errors import ExplainerError
from shapsight.models.bundle import Bundle
from shapsight.models.references import ChosenReferences


def opened(
    model: Any, references: Any, output_names: Sequence[str] | None
) -> tuple[Bundle | None, Any, Any, tuple[str, ...]]:
    """The bundle, if it is one; the network, references as it takes them, and the outputs' names.

    A bundle's own references and names stand where none are given; references given as pictures are prepared like the
    images. Raises `ExplainerError` for a bundle around a function, which has no inside.
    """
    names = names_of(model, output_names)
    if not isinstance(model, Bundle):
        return None, model, references, names
    if not model.has_gradients:
        raise ExplainerError(
            f"{model.name} is a function that can only be asked, and this method looks inside a model: use "
            "PartitionShap or RegionShap"
        )
    if references is None:
        references = model.prepared_references()
    is_prepared = isinstance(references, ChosenReferences) or (
        isinstance(references, Tensor) and references.is_floating_point()
    )
    if not is_prepared:
        references = model.prepare(model.pictures(references).to(model.device))
    return model, model.model, references, names


def names_of(model: Any, output_names: Sequence[str] | None) -> tuple[str, ...]:
    """The outputs' names that were given, or else a bundle's."""
    if output_names is None and isinstance(model, Bundle):
        return model.card.output_names
    return tuple(output_names or ())


def seen_by(
    bundle: Bundle, images: Any, show: Tensor | None
) -> tuple[Shaped[Tensor, "images channels *sides"], Float[Tensor, "images channels *sides"]]:
    """The pictures that the model sees, and what is drawn."""
    pictures = bundle.pictures(images)
    drawn = pictures if pictures.is_floating_point() else pictures.float() / 255
    return pictures, drawn if show is None else show
