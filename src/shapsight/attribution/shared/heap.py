"""Freed memory, kept for the next tensors of a long computation instead of given back to the system every time.

glibc's malloc returns the top of its heap as soon as twice the largest block freed so far lies unused there. A
computation whose tensors come and go by the hundred then has the same pages taken away, and zeroed by the kernel, over
and over. malloc's settings belong to the whole process and cannot be read, so nobody's are changed unasked: see
`keep_freed_memory`. What is left behind then is a fixed setting too: that which malloc adapts to by itself when it
meets tensors, with more room at the top.

Measured with benchmarks/heap.py (SqueezeNet 1.1, one thread, glibc 2.36; without and with keeping): DeepShap of two
images of 224 pixels 59,000 and 9,400 page faults, 0.7 and 0.6 s; PartitionShap, 14,000 evaluations at 224 pixels,
2,108,000 and 59,000 page faults, 3.9 and 0.2 s of the kernel's time, at most 1,018 and 1,038 MB, and 241 and 262 MB
more than before when it is done. So it costs 20 MB and saves at most a seventh of the time.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
NEVER = -1
LARGEST_MMAP_THRESHOLD = 1 << 25  # what malloc adapts to at most; larger blocks have pages of their own
LEFT_AT_THE_TOP = 1 << 28  # bytes that stay with the process, at most, for the next computation
MOST_UNUSED = 1 << 29  # bytes that may lie unused between blocks in use


class _Use:
    """How many computations run at present, and what they left."""

    is_wanted = False  # malloc is the whole process's, and whose that is decides
    lock = Lock()
    count = 0
    resident = 0  # bytes in memory since unused pages were given back last, at the least


@functools.cache
def _mallopt() -> Callable[[int, int], int] | None:
    """Glibc's function that sets malloc up; None with another C library."""
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018
        function: Callable[[int, int], int] = library.mallopt
    except (AttributeError, OSError, TypeError):
        return None
    return function


class _HeapSize(ctypes.Structure):
    """`struct mallinfo2` of malloc.h; `free` is what lies unused between and after the blocks in use."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks used free keepcost".split()
    )


@functools.cache
def _malloc() -> tuple[Callable[[], _HeapSize], Callable[[int], int]] | None:
    """Glibc's functions that tell how large the heap is and give unused pages back; None before glibc 2.33."""
    try:
        library = ctypes.CDLL(None)
        size, trim = library.mallinfo2, library.malloc_trim
    except (AttributeError, OSError, TypeError):
        return None
    size.restype = _HeapSize
    return size, trim


def keep_freed_memory() -> None:
    """Let explanations of this process change malloc's settings, which all of the process shares; for good.

        from shapsight.attribution.shared.heap import keep_freed_memory
        keep_freed_memory()

    The command line does, since its process is its own. A library that is used inside another's must not.
    """
    _Use.is_wanted = True


def give_back_unused() -> None:
    """Give unused pages back if they have become many, also those below blocks in use; to be called now and then.

    Small blocks that stay, such as what a model answered, end up between large ones that come and go, and take a
    little of the place of each: the next large one no longer fits there. 14,000 evaluations of a SqueezeNet left 5.6
    GB unused in this way.
    """
    malloc = _malloc()
    if malloc is None:
        return
    size, trim = malloc
    if size().free <= MOST_UNUSED:  # what was given back counts as unused too
        return
    resident = _resident()
    if resident > _Use.resident + MOST_UNUSED:
        trim(LEFT_AT_THE_TOP)
        _Use.resident = _resident()
    _Use.resident = min(_Use.resident, resident)


def _resident() -> int:
    """Bytes of this process in memory."""
    with open("/proc/self/statm") as file:  # noqa: PTH123 (ten times as quick as a Path, in the middle of a loop)
        return int(file.read().split()[1]) * mmap.PAGESIZE


@contextmanager
def keeping_freed_memory() -> Iterator[None]:
    """Inside, freed memory stays with the process, if `keep_freed_memory` was called and the C library is glibc."""
    mallopt = _mallopt() if _Use.is_wanted else None
    if mallopt is None:
        yield
        return
    with _Use.lock:
        _Use.count += 1
        mallopt(MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD)
        mallopt(TRIM_THRESHOLD, NEVER)
    try:
        yield
    finally:
        with _Use.lock:
            _Use.count -= 1
            if _Use.count == 0:
                mallopt(TRIM_THRESHOLD, LEFT_AT_THE_TOP)
                give_back_unused()
