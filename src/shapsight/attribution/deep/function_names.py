"""One name for each function, however it is called: `x + y`, `x.add(y)`, `torch.add`, `torch.ops.aten.add.Tensor`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
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
    "_adaptive_max_pool1d": "adaptive_max_pool1d",
    "_softmax": "softmax",
    "_log_softmax": "log_softmax",
    "_unsafe_view": "view",
    "_to_copy": "to",
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
    "eq_scalar": "eq",
    "bitwise_and": "and",
    "bitwise_or": "or",
    "bitwise_xor": "xor",
    "bitwise_not": "invert",
    "rand": "and",
    "ror": "or",
    "rxor": "xor",
    "linalg_multi_dot": "multi_dot",
    "linalg_cross": "cross",
    "linalg_matmul": "matmul",
    "fix": "trunc",
}
# A tensor becomes a Python number; without their underscores these would be mistaken for casts.
TO_PYTHON = frozenset("__bool__ __int__ __float__ __complex__ __index__ __contains__ __array__".split())
IN_PLACE_OPERATORS = frozenset("add sub mul truediv div pow and or xor floordiv mod".split())
# F's functions that dispatch on a flag carry the name of their dispatcher only.
BY_IDENTITY: dict[Any, str] = {
    getattr(F, name): name
    for kind in ("max_pool", "adaptive_max_pool")
    for size in "123"
    for name in (f"{kind}{size}d", f"{kind}{size}d_with_indices")
}
BY_IDENTITY[torch.batch_norm] = "aten_batch_norm"
BY_IDENTITY[torch.instance_norm] = "aten_instance_norm"
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
    "dropout1d": 3,
    "dropout2d": 3,
    "dropout3d": 3,
    "alpha_dropout": 3,
    "feature_alpha_dropout": 3,
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
    if name in TO_PYTHON:
        return name
    if name in ("__get__", "__set__"):  # a property such as x.T
        attribute = getattr(getattr(function, "__self__", None), "__name__", "property")
        if name == "__set__":
            return f"set {attribute}"
        name = attribute
    elif hasattr(function, "overloadpacket"):  # torch.ops.aten.gelu.default
        name = function.overloadpacket.__name__
        name = f"aten_{name}" if name in ("batch_norm", "instance_norm") else name
    if name.startswith("__") and name.endswith("__"):
        name = name[2:-2]
        if name.startswith("i") and name[1:] in IN_PLACE_OPERATORS:
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
