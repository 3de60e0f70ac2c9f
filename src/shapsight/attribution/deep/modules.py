"""The model around a run: left as it was found, and asked where a call was made."""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn

_THREAD = threading.local()
_LOCK = threading.Lock()
_RUNS = 0


@contextmanager
def left_as_found(model: nn.Module) -> Iterator[None]:
    """Run a model in eval mode with frozen parameters, and put everything back, whatever happens.

    Attributes of its modules (the training flag among them), `requires_grad` and buffers are restored; gradients and
    parameters' values are never written. Flags are set one by one: a model's own `eval()` may do more than that.
    Backward hooks, such as Grad-CAM's, are set aside: multipliers are no gradients, and nobody asked to see them.
    """
    modules = list(model.modules())
    attributes = [(module.__dict__, dict(module.__dict__)) for module in modules]
    # what a model remembers between runs, such as LeViT's attention biases, and its registered buffers
    attributes += [(d, dict(d)) for _, found in attributes for d in found.values() if type(d) is dict]
    frozen = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    buffers = [(buffer, buffer._version, buffer.detach().clone()) for buffer in model.buffers()]
    try:
        for module in modules:
            module.__dict__["training"] = False
            module.__dict__.update(_backward_hooks=OrderedDict(), _backward_pre_hooks=OrderedDict())
        for parameter, _ in frozen:
            parameter.requires_grad_(False)
        yield
    finally:
        for state, found in attributes:
            for name in state.keys() - found.keys():
                del state[name]
            state.update(found)
        for parameter, flag in frozen:
            parameter.requires_grad_(flag)
        for buffer, version, value in buffers:
            if buffer._version != version:
                with torch.no_grad():
                    buffer.copy_(value)


class _Stand:
    """Stands in for the `ctx` of a custom autograd.Function whose forward is followed call by call."""

    needs_input_grad = (False,) * 64

    def save_for_backward(self, *tensors: Tensor) -> None:
        self.saved_tensors = tensors

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


@contextmanager
def functions_opened(own: tuple[type[torch.autograd.Function], ...]) -> Iterator[None]:
    """In this thread, call the forward of custom autograd.Functions openly, so that the calls inside are seen.

    Compiled code runs as the Python that it was compiled from meanwhile.
    """
    _install(own)
    _THREAD.depth = getattr(_THREAD, "depth", 0) + 1
    try:
        yield
    finally:
        _THREAD.depth -= 1
        _uninstall()


_STANCE: list[Any] = []
_ORIGINAL: Any = torch.autograd.Function.__dict__["apply"]


def _install(own: tuple[type[torch.autograd.Function], ...]) -> None:
    global _RUNS  # noqa: PLW0603 (counted, so that runs in several threads share one patch)
    simple = torch.autograd.function._SingleLevelFunction.setup_context

    def apply(cls: Any, *args: Any, **kwargs: Any) -> Any:
        is_ours = issubclass(cls, own) or not getattr(_THREAD, "depth", 0)
        if is_ours or cls.__module__.startswith("torchvision"):
            return _ORIGINAL.__get__(None, cls)(*args, **kwargs)
        if cls.setup_context is not simple:
            return cls.forward(*args, **kwargs)
        return cls.forward(_Stand(), *args, **kwargs)

    with _LOCK:
        _RUNS += 1
        if _RUNS == 1:
            torch.autograd.Function.apply = classmethod(apply)
            if "torch._dynamo" in sys.modules:  # otherwise nothing has been compiled
                _STANCE.append(torch.compiler.set_stance("force_eager"))
                _STANCE[0].__enter__()


def _uninstall() -> None:
    global _RUNS  # noqa: PLW0603
    with _LOCK:
        _RUNS -= 1
        if _RUNS == 0:
            torch.autograd.Function.apply = _ORIGINAL
            while _STANCE:
                _STANCE.pop().__exit__(None, None, None)


def module_path_of_caller(model: nn.Module) -> str:
    """The innermost module of `model` on the call stack: `"layer1.0.relu (ReLU)"`, or `"the model itself"`."""
    paths = {id(module): path for path, module in model.named_modules()}
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        module = frame.f_locals.get("self")
        if isinstance(module, nn.Module) and id(module) in paths:
            path = paths[id(module)]
            return (
                f"{path} ({type(module).__name__})" if path else f"the model itself ({type(module).__name__})"
            )
        frame = frame.f_back
    return "the model itself"
