"""A device that exists in software: torch's Python backend for PrivateUse1, computed on the processor.

It is strict where Apple's MPS is: a call that mixes devices fails, numpy cannot read its tensors, and float64 is
refused. So a mistake with devices shows on any machine.

    DeepShap(model.to(software_device.installed()), references)(images)

An error inside a backward pass ends the process: torch's guard of such devices lets none through.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
import torch.utils.backend_registration as registration
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

NAME = "software"
WIDE = (torch.float64, torch.complex128)
# As on a GPU, positions and masks may be in main memory.
INDEXED = ("aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_")


class Backend(registration._DummyBackendModule):
    """What torch asks of a device's module."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.float16, torch.bfloat16]

    def is_autocast_enabled(self) -> bool:
        return False

    def synchronize(self, *_: Any) -> None:
        pass


class OnDevice(torch.Tensor):
    """A tensor of the device; `raw` is what it is made of."""

    raw: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, raw: Tensor) -> OnDevice:
        with torch.inference_mode(False):  # views of weights are no tensors of inference mode
            made = torch.Tensor._make_wrapper_subclass(
                cls,
                raw.shape,
                strides=raw.stride(),
                storage_offset=raw.storage_offset(),
                dtype=raw.dtype,
                device=f"{NAME}:0",
            )
        made.raw = raw
        return made

    def tolist(self) -> Any:
        return self.raw.tolist()

    def untyped_storage(self) -> torch.UntypedStorage:
        return self.raw.untyped_storage()

    def data_ptr(self) -> int:
        return self.raw.data_ptr()

    def numpy(self, *_: Any, **__: Any) -> Any:
        raise TypeError(f"can't convert {NAME}:0 device type tensor to numpy. Use Tensor.cpu() first")

    __array__ = numpy

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, name = dict(kwargs or {}), func._schema.name
        if name in CELLS:
            return CELLS[name](*args, **kwargs)
        if name == "aten::copy_":  # the one call that goes from device to device
            _raw(args[0]).copy_(_raw(args[1]))
            return args[0]
        target = kwargs.get("device")
        leaves_device = target is not None and torch.device(target).type != NAME
        if target is not None:
            kwargs["device"] = torch.device("cpu")
        if not leaves_device:
            _refuse_float64(kwargs.get("dtype"))
        _refuse_two_devices(name, (args, kwargs))
        result = func(*tree_map(_raw, args), **tree_map(_raw, kwargs))
        if leaves_device:
            return result
        if isinstance(result, Tensor) and args and result is _raw(args[0]):  # written into
            if args[0].shape != args[0].raw.shape:  # set_, which takes over another tensor's memory
                args[0].data = OnDevice(args[0].raw)
            return args[0]
        return kwargs["out"] if "out" in kwargs else tree_map(_placed, result)


def _lstm_cell(
    of_input: Tensor, of_hidden: Tensor, cell: Tensor, *biases: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    gates = sum((bias for bias in biases if bias is not None), of_input + of_hidden)
    into, forget, new, out = gates.chunk(4, 1)
    cell = forget.sigmoid() * cell + into.sigmoid() * new.tanh()
    return out.sigmoid() * cell.tanh(), cell, gates


def _gru_cell(of_input: Tensor, of_hidden: Tensor, hidden: Tensor, *biases: Tensor) -> tuple[Tensor, Tensor]:
    a, b = (
        gates if bias is None else gates + bias
        for gates, bias in zip((of_input, of_hidden), biases or (None, None), strict=True)
    )
    (reset, keep, new), (reset_b, keep_b, new_b) = a.chunk(3, 1), b.chunk(3, 1)
    keep = (keep + keep_b).sigmoid()
    new = (new + (reset + reset_b).sigmoid() * new_b).tanh()
    return keep * (hidden - new) + new, a


# Calls that torch makes on devices alone, and that a processor does not have.
CELLS = {"aten::_thnn_fused_lstm_cell": _lstm_cell, "aten::_thnn_fused_gru_cell": _gru_cell}


def _raw(value: Any) -> Any:
    return value.raw if isinstance(value, OnDevice) else value


def _placed(value: Any) -> Any:
    if not isinstance(value, Tensor) or isinstance(value, OnDevice):
        return value
    _refuse_float64(value.dtype)
    return OnDevice(value.resolve_conj().resolve_neg())


def _refuse_float64(dtype: torch.dtype | None) -> None:
    if dtype in WIDE:
        raise TypeError(f"Cannot convert a {NAME} Tensor to {dtype}, which the device does not support")


def _refuse_two_devices(name: str, arguments: Any) -> None:
    others = [
        t for t in tree_leaves(arguments) if isinstance(t, Tensor) and not isinstance(t, OnDevice) and t.dim()
    ]
    if others and name not in INDEXED:
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found two devices, {NAME}:0 and cpu ({name})"
        )


@functools.cache
def installed() -> torch.device:
    """The device; torch takes one such backend a process."""
    registration._setup_privateuseone_for_python_backend(NAME, backend_module=Backend())
    torch.__future__.set_swap_module_params_on_conversion(True)
    for make in (_empty, _empty_strided, _copy_from):
        torch.library.impl(f"aten::{make.__doc__}", "PrivateUse1")(make)
    for name, cell in CELLS.items():  # made of calls that have a gradient
        torch.library.impl(name, "AutogradPrivateUse1")(cell)
    return torch.device(NAME, 0)


def _empty(size: Any, *, dtype: Any = None, memory_format: Any = None, **_: Any) -> Tensor:
    """empty.memory_format"""
    _refuse_float64(dtype or torch.get_default_dtype())
    return OnDevice(torch.empty(size, dtype=dtype, memory_format=memory_format or torch.contiguous_format))


def _empty_strided(size: Any, stride: Any, *, dtype: Any = None, **_: Any) -> Tensor:
    """empty_strided"""
    _refuse_float64(dtype or torch.get_default_dtype())
    return OnDevice(torch.empty_strided(size, stride, dtype=dtype))


def _copy_from(source: Tensor, target: Tensor, non_blocking: bool = False) -> Tensor:
    """_copy_from"""
    _raw(target).copy_(_raw(source))
    return target
