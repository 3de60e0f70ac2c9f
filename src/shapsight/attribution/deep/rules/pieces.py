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


Place = tuple[slice, ...]


def one_by_one(tensor: Tensor, free: int = 1) -> list[Place]:
    """Places to work on in turn: one after another where large tensors meet small caches.

    They are slices of the first dimension, and of the second where that is `free`, too: what is worked on together
    must lie in the dimensions behind.
    """
    if tensor.device.type != "cpu" or tensor.numel() <= piece():
        return [(slice(None),)]
    row = tensor.numel() // len(tensor)
    if row <= piece() or free < 2:
        return [(k,) for k in _slices(len(tensor), piece() // row)]
    across = _slices(tensor.shape[1], piece() * tensor.shape[1] // row)
    return [(slice(k, k + 1), c) for c in across for k in range(len(tensor))]


def _slices(length: int, step: int) -> list[slice]:
    return [slice(start, start + max(1, step)) for start in range(0, length, max(1, step))]


def beside(image: Tensor, place: Place) -> Tensor:
    """What of an image stands beside a place of the references: the same place, or its one row."""
    return image[(slice(None), *place[1:]) if len(image) == 1 else place]


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
