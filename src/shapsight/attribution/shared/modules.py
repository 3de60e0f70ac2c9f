"""The model around a run: left as it was found, and asked where a call was made."""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import is_
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn

from shapsight.attribution.shared.checkpoints import without_checkpoints

_THREAD = threading.local()
_LOCK = threading.Lock()
_RUNS = 0


def remembered(model: nn.Module) -> list[Tensor]:
    """Buffers, and tensors that are plain attributes of a module, each once."""
    attributes = (v for module in model.modules() for v in module.__dict__.values())
    own = (v for v in attributes if type(v) is Tensor and v.is_leaf)
    return list({id(tensor): tensor for tensor in (*model.buffers(), *own)}.values())


@dataclass(frozen=True)
class State:
    """What a model remembers: its modules' attributes and what these contain, and the values of its tensors.

    `tensors` are parameters and buffers with the memory that they hold; `values` are those of buffers and of tensors
    among the attributes, as [tensor, version, copy]. Tensors from inference mode cannot be written to, and have none.
    """

    contents: list[tuple[Any, Any]]
    tensors: list[tuple[Tensor, Tensor]]
    values: list[list[Any]]

    @classmethod
    def of(cls, model: nn.Module) -> State:
        """The state at present."""
        found: list[Any] = [module.__dict__ for module in model.modules()]
        found += [v for own in found for v in own.values() if isinstance(v, dict | list | deque | set)]
        buffers = remembered(model)
        return cls(
            [(container, _copied(container)) for container in found],
            [(t, t.data) for t in (*model.parameters(), *buffers) if t.layout is torch.strided],
            [[t, t._version, t.detach().clone()] for t in buffers if not t.is_inference()],
        )

    def restore(self) -> None:
        """Put everything back that was changed since."""
        for container, content in self.contents:
            if container or content:  # most are a module's hooks: a dozen dictionaries, empty then and now
                _refill(container, content)
        with torch.no_grad():
            for tensor, data in self.tensors:
                if tensor.data_ptr() != data.data_ptr():
                    tensor.data = data
            for entry in self.values:
                tensor, version, value = entry
                if tensor._version != version or tensor.grad_fn is not None:
                    tensor.detach_().copy_(value)
                    entry[1] = tensor._version


def _copied(container: Any) -> Any:
    return dict(container) if isinstance(container, dict) else list(container)


def _refill(container: Any, content: Any) -> None:
    is_same = len(container) == len(content) and all(map(is_, container, content))
    if is_same and isinstance(container, dict):
        is_same = all(map(is_, container.values(), content.values()))
    if not is_same:
        container.clear()
        (container.extend if isinstance(container, list | deque) else container.update)(content)


_FREE = threading.Condition()
_IN_USE: dict[int, list[int]] = {}  # modules being run: the thread, and how often it entered


@contextmanager
def _for_this_thread(model: nn.Module) -> Iterator[None]:
    """Wait until no other thread explains one of these modules, and keep others from it."""
    thread, numbers = threading.get_ident(), [id(module) for module in model.modules()]
    with _FREE:
        _FREE.wait_for(lambda: all(_IN_USE.get(number, [thread])[0] == thread for number in numbers))
        for number in numbers:
            _IN_USE.setdefault(number, [thread, 0])[1] += 1
    try:
        yield
    finally:
        with _FREE:
            for number in numbers:
                _IN_USE[number][1] -= 1
                if not _IN_USE[number][1]:
                    del _IN_USE[number]
            _FREE.notify_all()


@contextmanager
def left_as_found(model: nn.Module) -> Iterator[None]:
    """Run a model in eval mode with frozen parameters, and put everything back, whatever happens.

    Attributes of its modules (the training flag among them) with what they contain, `requires_grad` and buffers are
    restored; gradients and parameters' values are never written. Flags are set one by one: a model's own `eval()` may
    do more than that. Backward hooks, such as Grad-CAM's, are set aside: multipliers are no gradients, and nobody asked
    to see them. Nothing is checkpointed. Another thread that wants to run one of the same modules waits.
    """
    with _for_this_thread(model), without_checkpoints():
        state = State.of(model)
        scripted = [m for m in model.modules() if isinstance(m, torch.jit.ScriptModule)]
        in_training = [m for m in scripted if getattr(m, "training", False)]  # one that is frozen has no flag
        frozen = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
        try:
            for module in model.modules():
                module.__dict__["training"] = False
                module.__dict__.update(_backward_hooks=OrderedDict(), _backward_pre_hooks=OrderedDict())
            for module in in_training:  # their flag is not in Python
                module.training = False
            for parameter, _ in frozen:
                parameter.requires_grad_(False)
            yield
        finally:
            state.restore()
            for module in in_training:
                module.training = True
            for parameter, flag in frozen:
                parameter.requires_grad_(flag)


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
        if is_ours or cls.__module__.startswith(("torchvision", "torch.")):
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
