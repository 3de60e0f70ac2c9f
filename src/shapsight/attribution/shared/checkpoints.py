"""Gradient checkpointing set aside while a model is explained.

It saves memory in training, by running parts of a model again in the backward pass. DeepShap could not follow that
second run, and torch's older kind gives no gradient to the input alone.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch.utils.checkpoint as torchs

_THREAD = threading.local()
_LOCK = threading.Lock()
_RUNS = 0
_HOOK = torchs._checkpoint_hook
_APPLY = torchs.CheckpointFunction.apply


def _hooked(frame: Any) -> AbstractContextManager[Any]:
    """What torch saves of a checkpointed part for a second run: in a thread that explains, what it saves anywhere."""
    return nullcontext() if getattr(_THREAD, "depth", 0) else _HOOK(frame)


def _applied(function: Any, preserve: bool, *args: Any) -> Any:
    """A part checkpointed the older way, as it is, in a thread that explains."""
    return function(*args) if getattr(_THREAD, "depth", 0) else _APPLY(function, preserve, *args)


@contextmanager
def without_checkpoints() -> Iterator[None]:
    """In this thread, run each checkpointed part of a model once and as it is; the values are the same."""
    _count(1)
    _THREAD.depth = getattr(_THREAD, "depth", 0) + 1
    try:
        yield
    finally:
        _THREAD.depth -= 1
        _count(-1)


def _count(step: int) -> None:
    """Put our functions in torch's place with the first run, and torch's back with the last."""
    global _RUNS  # noqa: PLW0603 (runs in several threads share one patch)
    with _LOCK:
        _RUNS += step
        vars(torchs)["_checkpoint_hook"] = _hooked if _RUNS else _HOOK
        torchs.CheckpointFunction.apply = staticmethod(_applied) if _RUNS else _APPLY
