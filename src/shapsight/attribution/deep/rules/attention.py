"""Attention, written out: two products with a softmax between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from shapsight.attribution.deep.rules.rule import followed

if TYPE_CHECKING:
    from shapsight.attribution.deep.call import Call


@followed("scaled_dot_product_attention")
def scaled_dot_product_attention(
    call: Call,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """`softmax(q kᵀ · scale + mask) v` (Vaswani et al. 2017, equation 1), with masks and grouped heads."""
    if enable_gqa:
        key = key.repeat_interleave(query.size(-3) // key.size(-3), -3)
        value = value.repeat_interleave(query.size(-3) // value.size(-3), -3)
    scale = query.size(-1) ** -0.5 if scale is None else scale
    scores = (query * scale) @ key.transpose(-2, -1)
    if is_causal:
        attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    blind = None if attn_mask is None or call.depends(attn_mask) else _sees_nothing(attn_mask)
    if attn_mask is not None and blind is not None:
        attn_mask = attn_mask.masked_fill(blind, attn_mask.dtype == torch.bool)
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(attn_mask.logical_not(), -torch.inf)
    elif attn_mask is not None:
        scores = scores + attn_mask
    weights = scores.softmax(-1)
    return (weights if blind is None else weights.masked_fill(blind, 0.0)) @ value


def _sees_nothing(mask: Tensor) -> Tensor | None:
    """The queries whose keys are all hidden, if there are any: torch gives them 0."""
    hidden = mask.logical_not() if mask.dtype == torch.bool else mask == -torch.inf
    blind = hidden.all(-1, keepdim=True)
    return blind if blind.any() else None
