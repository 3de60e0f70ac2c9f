"""Explanations to test with: random values that add up by construction."""

import dataclasses

import torch
from torch import Tensor

from shapsight import Explanation

NAMES = ("ant", "bee", "cow", "dog")
RANKED = torch.tensor([[2, 0], [0, 2], [2, 3]])  # cow, ant | ant, cow | cow, dog


def made(
    index: Tensor = RANKED,
    names: tuple[str, ...] = NAMES,
    channels: int = 3,
    size: tuple[int, int] = (6, 5),
    dtype: torch.dtype = torch.float32,
    **changes: object,
) -> Explanation:
    """An explanation of random values that is exact by construction."""
    images, outputs = index.shape
    values = torch.randn(images, outputs, channels, *size, dtype=dtype)
    base = torch.randn(images, outputs, dtype=dtype)
    whole = Explanation(
        values=values,
        base_values=base,
        predictions=base + values.sum((2, 3, 4)),
        completeness_gap=torch.zeros_like(base),
        output_index=index,
        images=torch.rand(images, channels, *size),
        output_names=names,
        std_errors=values.abs() / 10,
        unresolved=values.abs().sum(2) / 5,
        method="PartitionSHAP",
        settings={"model": "Net", "evaluations": list(range(10, 10 + images)), "max_evals": 50},
    )
    return dataclasses.replace(whole, **changes)


def same(one: Explanation, two: Explanation) -> bool:
    tensors = ("values", "base_values", "predictions", "completeness_gap", "output_index", "images")
    return all(torch.equal(getattr(one, name), getattr(two, name)) for name in tensors)
