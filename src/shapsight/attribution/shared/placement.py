"""Where sums are kept, and in what precision: in float64, on the device if it has that, otherwise on the processor.

A sum of a hundred thousand pixels in float32 is off in the sixth digit, which is what a completeness gap is judged by.
Apple's MPS and some of Intel's GPUs have no float64; what is summed there is small, or summed once for a call.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


@functools.cache
def has_float64(device: torch.device) -> bool:
    """Whether a device has float64; those that are not known to are asked for one number of it."""
    if device.type in ("cpu", "cuda", "meta"):
        return True
    try:
        torch.zeros(1, dtype=torch.float64, device=device)
    except (TypeError, RuntimeError):
        return False
    return True


def widest(device: torch.device) -> torch.dtype:
    """The precision of a sum that stays on the device, such as that of an error estimate."""
    return torch.float64 if has_float64(device) else torch.float32


def wide(tensor: Tensor) -> Tensor:
    """The tensor in float64: where it is, or else on the processor. For what values and their gaps are made of."""
    return (tensor if has_float64(tensor.device) else tensor.cpu()).double()


@contextmanager
def full_float32(device: torch.device) -> Iterator[None]:
    """float32 means float32: on a GPU of NVIDIA, convolutions and products of matrices without TF32's 10 bits.

    PyTorch allows TF32 in convolutions by default. It costs the sums of DeepSHAP up to 2 % of the change, and moves
    values of a ResNet by 17 % of their size in DeepSHAP, by 11 % in GradientSHAP (docs/gpu.md). The settings are put
    back afterwards. What only asks the model for predictions (PartitionSHAP, RegionSHAP) runs as PyTorch is set.
    """
    if device.type != "cuda":
        yield
        return
    convolutions, products = torch.backends.cudnn, torch.backends.cuda.matmul
    try:
        before = convolutions.allow_tf32, products.allow_tf32
    except (
        RuntimeError
    ):  # set operation by operation, which PyTorch does not tell in one answer: left to the user
        yield
        return
    try:
        convolutions.allow_tf32 = products.allow_tf32 = False
        yield
    finally:
        convolutions.allow_tf32, products.allow_tf32 = before


def moved(tensor: Tensor, like: Tensor) -> Tensor:
    """Back from a wide sum: on the device and in the precision of `like`."""
    return tensor.to(like.dtype).to(like.device)
