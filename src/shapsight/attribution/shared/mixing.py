"""Two images that show whether a model mixes those of a batch."""

from __future__ import annotations

import torch
from torch import Tensor

from shapsight.attribution.shared.inputs import Parts
from shapsight.errors import ExplainerError


def farthest(images: Parts, references: Parts) -> int:
    """The reference that is least like image 0: two alike would not show how a batch is folded into a dimension."""
    distance = sum((r - i[:1]).abs().flatten(1).sum(1) for i, r in zip(images, references, strict=True))
    return int(torch.as_tensor(distance).argmax())


def apart(two: Tensor) -> Tensor:
    """Two images; if they are the same, some noise on the second: alike, they do not show which is where."""
    if not torch.equal(two[0], two[1]):
        return two
    noise = torch.rand(two[1].shape, generator=torch.Generator().manual_seed(0)).to(two)
    return torch.stack([two[0], two[1] + noise * two[1].std(correction=0).clamp_min(0.1)])


def refuse_mixing(alone: Tensor, together: Tensor) -> None:
    """Raise if an image's prediction is another one beside another image."""
    noise = 1e-4 if alone.dtype == torch.float32 else 1e-9
    allowed = 1e-2 * (alone[0] - alone[1]).abs().max() + noise * together.abs().max()
    difference = (alone - together).abs().max()
    if difference > allowed:
        raise ExplainerError(
            f"the model mixes the images of a batch, is random, or its rounding alone decides what it predicts (then "
            f"try model.double()): an image's prediction changes by {difference:.3g} with the image beside it, so none "
            "can be explained alone"
        )
