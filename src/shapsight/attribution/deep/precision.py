"""What would change a model's numbers behind a run: half precision, autocast, inference mode, functorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from shapsight.attribution.shared.modules import module_path_of_caller
from shapsight.attribution.shared.suitability import HALVES
from shapsight.errors import ExplainerError, UnsupportedOperation

CASTING = ("to", "type", "softmax", "log_softmax", "sum", "mean")


def refuse_hidden_modes(model: nn.Module) -> None:
    """Raise inside functorch transforms and inference mode, where multipliers cannot be followed; end autocast."""
    if torch._C._is_any_autocast_enabled():
        for device in ("cpu", "cuda", "mps", "xpu"):
            if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
                torch.set_autocast_enabled(device, False)  # autocast's own exit puts it back
    if torch._C._functorch.peek_interpreter_stack() is not None:
        raise UnsupportedOperation(
            f"{module_path_of_caller(model)} uses torch.func (vmap, grad or jvp), inside which calls cannot be "
            "followed. Write the batch dimension out, or use GradientShap or PartitionShap"
        )
    if torch.is_inference_mode_enabled():
        raise ExplainerError(
            f"{module_path_of_caller(model)} switches on torch.inference_mode(), which hides what depends on the "
            "input. Use torch.no_grad() there instead"
        )


def without_narrowing(
    func: Callable[..., Any],
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    own_precision: torch.dtype,
) -> tuple[Callable[..., Any], str, tuple[Any, ...], dict[str, Any]]:
    """A cast to a narrower type becomes a copy: half precision would cost three digits of completeness.

    The same goes for `x.float()` inside a float64 model, which `own_precision` says.
    """
    own = args[0].dtype if args and isinstance(args[0], Tensor) else None
    if own is None or not own.is_floating_point:
        return func, name, args, kwargs
    wide = torch.float32 if own in HALVES or own_precision == torch.float32 else own
    if name in ("half", "bfloat16") or (name == "float" and wide == torch.float64):
        return Tensor.clone, "clone", args[:1], {}
    if name not in CASTING or not any(_is_narrower(value, wide) for value in (*args[1:], *kwargs.values())):
        return func, name, args, kwargs
    kept = tuple(wide if _is_narrower(value, wide) else value for value in args[1:])
    wide_kwargs = {key: wide if _is_narrower(value, wide) else value for key, value in kwargs.items()}
    return lambda *a, **k: func(*a, **k).clone(), name, (args[0], *kept), wide_kwargs


def _is_narrower(value: Any, than: torch.dtype) -> bool:
    return isinstance(value, torch.dtype) and value.is_floating_point and value.itemsize < than.itemsize
