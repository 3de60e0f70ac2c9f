"""Where a computation waits for the device: counted by the profiler, and found by line; used by gpu.py.

On CUDA two witnesses: the profiler counts what the driver was asked for, and torch's own debugging mode names the
Python line of every call that waits. On other devices a dispatch mode counts the calls that would wait on a GPU
(a number read by Python, a mask whose size decides a shape, a copy between devices); it does not see the backward
pass of a device that computes it in another thread.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

WAITS = {
    "stream waits": ("cudaStreamSynchronize", "hipStreamSynchronize"),
    "device waits": ("cudaDeviceSynchronize", "hipDeviceSynchronize", "cudaEventSynchronize"),
    "to host": ("Memcpy DtoH",),
    "to host, pageable": ("Memcpy DtoH (Device -> Pageable)",),
    "to device": ("Memcpy HtoD",),
    "to device, pageable": ("Memcpy HtoD (Pageable -> Device)",),
    "launches": ("cudaLaunchKernel", "cuLaunchKernel", "hipLaunchKernel", "hipExtModuleLaunchKernel"),
    "allocations": ("cudaMalloc", "hipMalloc"),
}


def counted(function: Callable[[], object], device: torch.device) -> dict[str, float]:
    """How often the driver was asked for what, the share of the time that the device was busy, and seconds."""
    from torch.profiler import ProfilerActivity, profile

    kinds = [ProfilerActivity.CPU, ProfilerActivity.CUDA]
    with profile(activities=kinds) as nothing:
        torch.cuda.synchronize(device)
    with profile(activities=kinds) as profiler:
        start = time.perf_counter()
        function()
        torch.cuda.synchronize(device)
        seconds = time.perf_counter() - start
    own, found = _calls(nothing), _calls(profiler)
    counts: dict[str, float] = {
        kind: sum(n - own[name] for name, n in found.items() if name.startswith(names))
        for kind, names in WAITS.items()
    }
    busy = sum(
        event.self_device_time_total
        for event in profiler.key_averages()
        if event.device_type == torch.autograd.DeviceType.CUDA
    )
    return counts | {"busy": busy / 1e6 / seconds, "seconds (profiled)": seconds}


def _calls(profiler: Any) -> Counter[str]:
    return Counter({event.key: event.count for event in profiler.key_averages()})


@contextmanager
def waiting_lines(device: torch.device) -> Iterator[Counter[str]]:
    """Counts the lines of shapsight (or of the model) that wait for the device, or would on a GPU."""
    lines: Counter[str] = Counter()
    if device.type != "cuda":
        with _WouldWait(lines):
            yield lines
        return
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        warnings.simplefilter("always")

        def note(message: Warning | str, *_: Any, **__: Any) -> None:
            if "synchronizing" in str(message):
                lines[_line()] += 1

        warnings.showwarning = note
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield lines
        finally:
            torch.cuda.set_sync_debug_mode(before)


def _line() -> str:
    """The innermost line of shapsight on the call stack; without one, the innermost outside of torch."""
    frame, outside = sys._getframe(1), ""
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        where = f"{path.name}:{frame.f_lineno} {frame.f_code.co_name}"
        if "shapsight" in path.parts and "site-packages" not in path.parts[-2:]:
            parts = path.parts[len(path.parts) - path.parts[::-1].index("shapsight") :]
            return f"{'/'.join(parts)}:{frame.f_lineno} {frame.f_code.co_name}"
        if not outside and path.name not in OWN and "torch" not in path.parts:
            outside = where
        frame = frame.f_back  # type: ignore[assignment]
    return outside or "in a thread of torch's own"


OWN = ("waits.py", "warnings.py", "contextlib.py")
READS = ("_local_scalar_dense", "nonzero", "is_nonzero", "masked_select", "equal", "_unique2", "unique_dim")


class _WouldWait(TorchDispatchMode):
    """Notes the lines of calls that wait for a GPU."""

    def __init__(self, lines: Counter[str]) -> None:
        super().__init__()
        self.lines = lines

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func._schema.name.removeprefix("aten::")
        if name in READS or _is_masked(name, args) or _is_between_devices(name, args, result):
            self.lines[_line()] += 1
        return result


def _is_masked(name: str, args: Any) -> bool:
    if name not in ("index", "index_put", "index_put_", "_index_put_impl_"):
        return False
    return any(isinstance(index, Tensor) and index.dtype == torch.bool for index in args[1])


def _is_between_devices(name: str, args: Any, result: Any) -> bool:
    if name == "copy_":
        return args[0].device.type != args[1].device.type
    if name != "_to_copy" or not isinstance(result, Tensor):
        return False
    return result.device.type != args[0].device.type
