"""How many references are replayed at a time, and how many images are kept recorded: measured, not guessed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil
import torch
from torch import Tensor, nn

from shapsight.attribution.shared.modules import module_path_of_caller
from shapsight.errors import ExplainerError

LARGEST_CHUNK = 16  # more references at a time leave the processor's caches and are slower
LARGEST_CHUNK_ON_DEVICE = 128  # 100 at a time took 0.4 of the time of 16 on an H200 (docs/gpu.md)
# Memory in larger blocks goes back to the system when a few are freed, and comes back page by page, which takes
# longer than the arithmetic; with fewer references at a time than this, products and convolutions lose what that gains
# (9 instead of 4 took 0.94 to 0.97 of the time for Swinv2-T, Hiera-T, ConvNeXt-T, ResNet-50 and DETR on two cores).
LARGEST_BLOCK, SMALLEST_CHUNK = 20 << 20, 10
SAFE_SHARE = 0.4  # of the memory that is free: the rest is for whatever else runs
LARGEST_SHARE = 0.8  # beyond this the system ends the process, without a word


@dataclass(frozen=True)
class Need:
    """Bytes that one more replayed reference, and one more recorded image, take, and a reference's largest tensor."""

    per_reference: int = 1
    per_image: int = 1
    largest: int = 1


class Footprint:
    """What a run of a model holds on to, each piece of memory counted once and the weights not at all.

    Adding to it raises `ExplainerError` as soon as it is more than `limit` bytes, before the system ends the process.
    """

    def __init__(self, model: nn.Module, limit: int | None = None) -> None:
        constants = (*model.parameters(), *model.buffers())
        self._constants = {tensor.untyped_storage().data_ptr() for tensor in constants}
        self._sizes: dict[int, int] = {}
        self._total = 0
        self._limit = limit
        self._model = model

    @contextmanager
    def counting_graph(self) -> Iterator[None]:
        """Count what autograd saves for the backward pass."""
        with torch.autograd.graph.saved_tensors_hooks(self._count, lambda tensor: tensor):
            yield

    def _count(self, tensor: Tensor) -> Tensor:
        self.add(tensor)
        with torch._C.DisableTorchFunction():
            return tensor.detach()  # a saved result must not hold the call that made it

    def add(self, tensor: Tensor) -> None:
        """Count a tensor that is kept. Raises `ExplainerError` beyond the limit."""
        if tensor.layout is not torch.strided:
            return  # a sparse constant, which the model holds and not this run
        with torch._C.DisableTorchFunction():  # the tape must not take this for a call of the model's
            storage = tensor.untyped_storage()
            place, size = storage.data_ptr(), storage.nbytes()
        if place in self._constants:
            return
        self._total += size - self._sizes.get(place, 0)
        self._sizes[place] = size
        if self._limit is not None and self._total > self._limit:
            raise ExplainerError(
                f"memory is not enough: before {module_path_of_caller(self._model)}, two images of this model already "
                f"hold on to {self._total:,} bytes, and {self._limit:,} are allowed (max_memory=, or "
                f"{LARGEST_SHARE:.0%} of what is free). Explain smaller images, or use GradientShap or PartitionShap"
            )

    def need(self, kept: Iterable[Tensor], images: int) -> Need:
        """What a run of `images` images needed for each.

        A reference needs its share of the graph; as much again as the rules keep, for what they compute once for an
        image; and room for two of the largest tensors, the multipliers on their way.
        """
        kept_sizes = {
            tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in kept
        }
        recorded = sum(kept_sizes.values())
        sizes = self._sizes | kept_sizes
        largest = max(sizes.values(), default=0)
        replayed = sum(sizes.values()) + recorded + 2 * largest
        return Need(max(1, replayed // images), max(1, recorded // images), max(1, largest // images))


@dataclass(frozen=True)
class Budget:
    """How much is done at a time: `chunk` references are replayed, `group` images are recorded."""

    chunk: int
    group: int


def budget(need: Need, max_memory: int | None, device: torch.device) -> Budget:
    """Divide `max_memory` bytes, by default a safe share of what is free: half for references, the rest for images.

    Raises `ExplainerError` if `max_memory` is not enough for one of each.
    """
    quickest = LARGEST_CHUNK_ON_DEVICE
    if device.type == "cpu":
        quickest = min(LARGEST_CHUNK, max(SMALLEST_CHUNK, LARGEST_BLOCK // need.largest))
    allowed = max_memory if max_memory is not None else _safe_memory(device)
    if allowed is None:
        return Budget(quickest, group=64)
    least = need.per_reference + need.per_image
    if max_memory is not None and least > max_memory:
        raise ExplainerError(
            f"max_memory={max_memory:,} bytes is not enough: one reference and one image of this model need {least:,}"
        )
    chunk = min(quickest, max(1, allowed // 2 // need.per_reference))
    return Budget(chunk, group=max(1, (allowed - chunk * need.per_reference) // need.per_image))


def most_memory(max_memory: int | None, device: torch.device) -> int | None:
    """What two images may take in the first run of a model: `max_memory`, or most of what is free."""
    if max_memory is not None:
        return max_memory
    free = _free_memory(device)
    return None if free is None else int(free * LARGEST_SHARE)


def _safe_memory(device: torch.device) -> int | None:
    """A safe share of what is free on a device, in bytes; None where that cannot be known."""
    free = _free_memory(device)
    return None if free is None else int(free * SAFE_SHARE)


def _free_memory(device: torch.device) -> int | None:
    free: int | None
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
    elif device.type == "mps":
        free = torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory()
    else:
        free = _free_main_memory()
    return free


def _free_main_memory() -> int:
    """What the system could give without swapping. A container's own limit is not counted; `max_memory` says it."""
    return int(psutil.virtual_memory().available)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed, on any device."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError)
        and ("not enough memory" in str(error) or "allocate memory" in str(error))
    )
