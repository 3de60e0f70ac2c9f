"""What another library computed, with what it did not say filled in: NaN for the unknown, the gap where it follows."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from shapsight.attribution.shared.placement import moved, wide


def completed(
    values: Float[Tensor, "images outputs channels height width"],
    images: Shaped[Tensor, "images channels height width"],
    output_index: Int[Tensor, "images outputs"],
    base_values: Any,
    predictions: Any,
    gap: Tensor | None = None,
) -> dict[str, Any]:
    """The tensors of an explanation, on the device of its values."""

    def known(given: Any) -> Float[Tensor, "images outputs"]:
        if given is None:
            return torch.full(values.shape[:2], float("nan")).to(values)
        return torch.as_tensor(given).clone().to(values)

    base, predicted = known(base_values), known(predictions)
    if gap is None:
        gap = wide(predicted) - wide(base) - wide(values).flatten(2).sum(2)
    return {
        "values": values,
        "images": images,
        "output_index": output_index.to(values.device),
        "base_values": base,
        "predictions": predicted,
        "completeness_gap": moved(gap, values),
    }
