"""Freed memory, kept for the next tensors of a long computation instead of given back to the system every time.

glibc's malloc returns the top of its heap as soon as twice the largest block freed so far lies unused there. A
computation whose tensors come and go by the hundred then has the same pages taken away, and zeroed by the kernel, over
and over: DeepShap on a SqueezeNet spent 0.7 of 2.4 seconds on 350,000 page faults. There is nothing to read the
settings from, so what is left behind is a fixed setting too: that which malloc adapts to by itself when it meets
tensors, with more room at the top.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
NEVER = -1
LARGEST_MMAP_THRESHOLD = 1 << 25  # what malloc adapts to at most; larger blocks have pages of their own
LEFT_AT_THE_TOP = 1 << 28  # bytes that stay with the process, at most, for the next computation


class _Use:
    """How many computations run at present."""

    lock = Lock()
    count = 0


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


@contextmanager
def keeping_freed_memory() -> Iterator[None]:
    """Inside, memory that is freed stays with the process. Does nothing where the C library is not glibc."""
    mallopt = _mallopt()
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
