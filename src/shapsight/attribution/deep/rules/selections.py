"""Calls that select by their activations: the places are the image's decision, and reading there is linear."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from shapsight.attribution.deep.rules.rule import paired

if TYPE_CHECKING:
    from shapsight.attribution.deep.call import Call

# Where the dimension stands among the arguments after the input.
DIMENSION = {"topk": 1, "kthvalue": 1, "sort": 0, "median": 0, "nanmedian": 0, "mode": 0}


@paired(*DIMENSION)
def select(call: Call, input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """The values at the places where the image has its largest, its middle or its sorted ones."""
    position = DIMENSION[call.name]
    found = getattr(torch, call.name)(input, *args, **kwargs)
    if isinstance(found, Tensor):  # the median of everything
        place = call.decided((input == found).flatten().to(torch.uint8).argmax())
        return input.flatten()[place]
    dim = kwargs["dim"] if "dim" in kwargs else args[position] if len(args) > position else -1
    places = call.decided(found[1])
    keeps_rank = places.dim() == input.dim()
    values = input.gather(dim, places if keeps_rank else places.unsqueeze(dim))
    return type(found)((values if keeps_rank else values.squeeze(dim), places))


@paired("roi_align", "ps_roi_align")
def boxes(call: Call, input: Tensor, rois: Tensor, *args: Any) -> Any:
    """Linear in what lies in the boxes; boxes that the model found are the image's decision."""
    if call.depends(rois):
        rois = call.decided(rois)
    return getattr(torch.ops.torchvision, call.name)(input, rois, *args)
