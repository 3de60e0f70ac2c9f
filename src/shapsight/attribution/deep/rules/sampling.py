"""Reading between pixels: linear in the image, but not in the places that are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from shapsight.attribution.deep.rules.rule import paired

if TYPE_CHECKING:
    from shapsight.attribution.deep.call import Call


@paired("grid_sample", "grid_sampler", "grid_sampler_2d", "grid_sampler_3d")
def grid_sample(call: Call, input: Tensor, grid: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Linear for a constant grid."""
    if call.depends(grid):
        return NotImplemented
    function = F.grid_sample if call.name == "grid_sample" else getattr(torch, call.name)
    return function(input, grid, *args, **kwargs)


@paired("deform_conv2d")
def deformable_convolution(call: Call, input: Tensor, weight: Tensor, offset: Tensor, *args: Any) -> Any:
    """Torchvision's operator: linear while offsets and mask are constant, which they hardly ever are."""
    if call.depends((weight, offset, args)):
        return NotImplemented
    return torch.ops.torchvision.deform_conv2d(input, weight, offset, *args)
