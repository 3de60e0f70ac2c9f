"""Outputs in the targets' own units: what the network says between -1 and +1, stretched over each target's scale."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from shapsight.data.scale import Scale


class Rescaled(nn.Module):
    """A network whose nth output is `middle + reach * network`, in the unit of the nth target.

    Predictions and explanations are then in that unit, whoever makes them, while the network itself learns numbers
    between -1 and +1.
    """

    middle: Tensor
    reach: Tensor

    def __init__(self, model: nn.Module, scales: Sequence[Scale]) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("middle", torch.tensor([scale.middle for scale in scales]))
        self.register_buffer("reach", torch.tensor([scale.half for scale in scales]))

    def forward(self, images: Tensor) -> Float[Tensor, "images outputs"]:
        """The outputs in their own units."""
        outputs: Tensor = self.model(images) * self.reach + self.middle
        return outputs


def in_units(model: nn.Module, scales: Sequence[Scale]) -> nn.Module:
    """The network as it is, or rescaled where any target needs it."""
    return model if all(scale.is_plain for scale in scales) else Rescaled(model, scales)
