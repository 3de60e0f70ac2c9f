"""Explanations from captum's attributions, which are plain tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from shapsight.attribution.explanation.completed import completed
from shapsight.errors import ExplainerError


def from_captum(
    attributions: Tensor | Sequence[Tensor],
    images: Tensor,
    target: int | Tensor | Sequence[int | Tensor],
    predictions: Tensor | None,
    base_values: Tensor | None,
    delta: Tensor | Sequence[Tensor] | None,
) -> dict[str, Any]:
    """The attributes of our explanation. See `Explanation.from_captum`."""
    parts = [part.detach() for part in _listed(attributions)]
    if not parts:
        raise ExplainerError("from_captum was given no attributions")
    for part in parts:
        _check_shape(part, images)
    columns = _targets(target, len(parts), len(images))
    gap = None
    if delta is not None:
        deltas = [each.detach().flatten() for each in _listed(delta)]
        if len(deltas) != len(parts) or any(len(each) != len(images) for each in deltas):
            sizes = [len(each) for each in deltas]
            raise ExplainerError(
                f"delta has {sizes} entries; {len(parts)} attributions of {len(images)} images need as many each"
            )
        gap = -torch.stack(deltas, 1)
    return completed(
        values=torch.stack(parts, 1),
        images=images.detach(),
        output_index=columns,
        base_values=_of_columns("base_values", base_values, columns),
        predictions=_of_columns("predictions", predictions, columns),
        gap=gap,
    )


def _listed(given: Tensor | Sequence[Tensor]) -> list[Tensor]:
    return [given] if isinstance(given, Tensor) else list(given)


def _check_shape(part: Tensor, images: Tensor) -> None:
    fits = part.dim() == 4 and images.dim() == 4 and len(part) == len(images)
    if not fits or part.shape[2:] != images.shape[2:] or part.shape[1] not in (1, images.shape[1]):
        raise ExplainerError(
            f"attributions of shape {tuple(part.shape)} do not fit images of shape {tuple(images.shape)}; bring "
            "those of a layer to the size of the image with captum's LayerAttribution.interpolate"
        )


def _targets(target: int | Tensor | Sequence[int | Tensor], parts: int, images: int) -> Int[Tensor, "..."]:
    """The column of each image and attribution."""
    listed = list(target) if isinstance(target, Sequence) else [target]
    if len(listed) != parts:
        raise ExplainerError(
            f"{len(listed)} targets for {parts} attributions: give each its column, or a tensor of one column an image"
        )
    columns = [torch.as_tensor(each).cpu().long() for each in listed]
    for column in columns:
        if column.dim() > 1 or column.numel() not in (1, images):
            raise ExplainerError(f"a target of shape {tuple(column.shape)} does not fit {images} images")
    return torch.stack([column.reshape(-1).expand(images) for column in columns], 1)


def _of_columns(
    what: str, given: Tensor | None, columns: Int[Tensor, "images outputs"]
) -> Float[Tensor, "images outputs"] | None:
    if given is None:
        return None
    table = given.detach().cpu()
    if what == "predictions" and table.dim() == 1:
        table = table[:, None]
    images = len(columns)
    if table.dim() < 2:
        table = table.reshape(1, -1).expand(images, -1)
    if table.dim() != 2 or len(table) != images or int(columns.max()) >= table.shape[1]:
        raise ExplainerError(
            f"{what} of shape {tuple(given.shape)} do not fit {images} images and column {int(columns.max())}; give "
            "the model's whole output"
        )
    return table.gather(1, columns)
