"""One name for each function, however it is called: `x + y`, `x.add(y)`, `torch.add`, `torch.ops.aten.add.Tensor`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch.nn.functional as F
from torch import Tensor

SAME = {
    "special_expit": "sigmoid",
    "special_erf": "erf",
    "special_erfc": "erfc",
    "special_softmax": "softmax",
    "special_log_softmax": "log_softmax",
    "special_logsumexp": "logsumexp",
    "multiply": "mul",
    "rmul": "mul",
    "divide": "div",
    "true_divide": "div",
    "truediv": "div",
    "rtruediv": "rdiv",
    "radd": "add",
    "subtract": "sub",
    "linalg_vector_norm": "vector_norm",
    "clip": "clamp",
    "_max_pool1d": "max_pool1d",
    "_max_pool2d": "max_pool2d",
    "_max_pool3d": "max_pool3d",
    "concatenate": "cat",
    "concat": "cat",
    "negative": "neg",
    "absolute": "abs",
    "arcsin": "asin",
    "arccos": "acos",
    "arctan": "atan",
    "numpy_T": "T",
    "feature_dropout": "dropout",
    "convolution": "conv",
    "greater": "gt",
    "less": "lt",
    "greater_equal": "ge",
    "less_equal": "le",
    "not_equal": "ne",
}
# F's functions that dispatch on a flag carry the name of their dispatcher only.
BY_IDENTITY: dict[Any, str] = {
    getattr(F, name): name.removesuffix("_with_indices")
    for kind in ("max_pool", "adaptive_max_pool")
    for size in "123"
    for name in (f"{kind}{size}d", f"{kind}{size}d_with_indices")
}
IN_PLACE_POSITION = {
    "relu": 1,
    "relu6": 1,
    "hardswish": 1,
    "silu": 1,
    "hardsigmoid": 1,
    "mish": 1,
    "selu": 1,
    "elu": 2,
    "celu": 2,
    "leaky_relu": 2,
    "hardtanh": 3,
    "threshold": 3,
    "dropout": 3,
    "rrelu": 4,
}


def canonical_name(function: Callable[..., Any]) -> str:
    """The name under which the rules know a function; in-place variants end in an underscore.

    canonical_name(torch.Tensor.__iadd__)        # "add_"
    canonical_name(torch.ops.aten.gelu.default)  # "gelu"
    """
    if function in BY_IDENTITY:
        return BY_IDENTITY[function]
    name = getattr(function, "__name__", str(function))
    if name == "__get__":  # a property such as x.T
        name = getattr(getattr(function, "__self__", None), "__name__", "property")
    elif hasattr(function, "overloadpacket"):  # torch.ops.aten.gelu.default
        name = function.overloadpacket.__name__
    if name.startswith("__") and name.endswith("__"):
        name = name[2:-2]
        if name.startswith("i") and name[1:] in ("add", "sub", "mul", "truediv", "div", "pow"):
            return SAME.get(name[1:], name[1:]) + "_"
    if name.endswith("_") and not name.endswith("__"):
        return SAME.get(name[:-1], name[:-1]) + "_"
    return SAME.get(name, name)


def split_in_place(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[str, bool, tuple[Any, ...], dict[str, Any]]:
    """The out-of-place name and arguments of a call, and whether it writes into its first argument."""
    in_place = name.endswith("_")
    base = name.removesuffix("_")
    position = IN_PLACE_POSITION.get(base)
    if "inplace" in kwargs:
        in_place = bool(kwargs.pop("inplace")) or in_place
    elif position is not None and not in_place and len(args) > position:
        in_place = bool(args[position])
        args = args[:position]
    return base, in_place, args, kwargs


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Every tensor in nested tuples, lists and dictionaries, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors_in(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors_in(item)
