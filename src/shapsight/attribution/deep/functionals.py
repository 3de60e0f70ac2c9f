"""Torch functions written in Python: followed call by call, which takes a version that does not dispatch itself."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any


def is_python_functional(function: Callable[..., Any]) -> bool:
    """Whether a function is written in Python on top of other torch calls, which can be followed one by one."""
    return (
        isinstance(function, types.FunctionType)
        and (function.__module__ or "").startswith(("torch.nn.functional", "torch.functional"))
        and "_jit_internal" not in function.__code__.co_filename
    )


def _never(*_: Any, **__: Any) -> bool:
    return False


_followed: dict[types.FunctionType, types.FunctionType] = {}


def followed_version(function: Any) -> Callable[..., Any]:
    """The same code, without its own check for modes, which would dispatch it to itself for ever."""
    if function not in _followed:
        names = {
            name: _never if name.startswith("has_torch_function") else value
            for name, value in function.__globals__.items()
        }
        copy = types.FunctionType(
            function.__code__, names, function.__name__, function.__defaults__, function.__closure__
        )
        copy.__kwdefaults__ = function.__kwdefaults__
        _followed[function] = copy
    return _followed[function]
