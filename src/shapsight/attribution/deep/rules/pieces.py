"""Elementwise work on large tensors, one piece after another, so that what is in between stays in the caches."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

PER_THREAD = (
    1 << 17
)  # numbers: a few such pieces fit into the caches, and starting threads costs little beside them


def piece() -> int:
    """How many numbers are worked on at a time: a share for every thread."""
    return PER_THREAD * torch.get_num_threads()


def one_by_one(tensor: Tensor) -> list[slice]:
    """Slices of the first dimension to work on in turn: one after another where large tensors meet small caches."""
    if tensor.device.type != "cpu" or tensor.numel() <= piece():
        return [slice(None)]
    rows = max(1, piece() * len(tensor) // tensor.numel())
    return [slice(start, start + rows) for start in range(0, len(tensor), rows)]


def flat_rows(tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
    """The tensors as matrices, a row a reference, in the order of their memory; None where their orders differ."""
    if all(t.is_contiguous() for t in tensors):
        return tuple(t.view(len(t), -1) for t in tensors)
    if all(t.dim() == 4 and t.is_contiguous(memory_format=torch.channels_last) for t in tensors):
        return tuple(t.permute(0, 2, 3, 1).view(len(t), -1) for t in tensors)
    return None


def by_pieces(
    kernel: Callable[..., None], out: Tensor, images: tuple[Tensor, ...], references: tuple[Tensor, ...]
) -> Tensor:
    """Call `kernel(out, *images, *references)` piece by piece; all have the shape of `out`, images perhaps one row.

    The kernel must be elementwise and write its result into the first argument.
    """
    tensors = (out, *images, *references)
    is_on_cpu = out.device.type == "cpu" and out.dim() > 1 and out.numel() > piece()
    alike = is_on_cpu and all(t.shape[1:] == out.shape[1:] for t in tensors)
    rows = flat_rows(tensors) if alike else None
    if rows is None:
        if alike:
            for k in range(len(out)):
                kernel(*(t if len(t) == 1 else t[k : k + 1] for t in tensors))
        else:
            kernel(*tensors)
        return out
    length, size = rows[0].shape[1], piece()
    height = max(1, size // max(length, 1))
    for left in range(0, length, size):
        columns = [row[:, left : left + size] for row in rows]
        for top in range(0, len(out), height):
            kernel(*(c if len(c) == 1 else c[top : top + height] for c in columns))
    return out
