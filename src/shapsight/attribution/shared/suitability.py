"""Which models can be explained as they are, which in float32 on a copy, and which not; and where a number breaks."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from shapsight.attribution.shared.modules import remembered
from shapsight.errors import ExplainerError

HALVES = (torch.float16, torch.bfloat16)
FLOAT_AMONG_QUANTISED = ("FloatFunctional", "FXFloatFunctional")  # they stand for + and cat in a float model


class HalfPrecisionWarning(UserWarning):
    """The model is in half precision; it is explained in float32, on a copy."""


def runnable(model: nn.Module, *, may_be_scripted: bool = False) -> nn.Module:
    """The model to run: the one given, or what it wraps, or a copy of one in half precision or from inference mode.

    Raises `ExplainerError` for quantised and not yet initialised models, and for scripted ones unless they may be.
    """
    model = unwrapped(model)
    for path, module in model.named_modules():
        where = f"{path} ({type(module).__name__})" if path else type(module).__name__
        if isinstance(module, torch.jit.ScriptModule) and not may_be_scripted:
            raise ExplainerError(
                f"{where} is a torch.jit module, whose calls cannot be followed one by one. Give DeepShap the Python "
                "model that it was made from, or use GradientShap or PartitionShap"
            )
        _refuse_quantised(where, module)
    refuse_uninitialised(model)
    halves = {p.dtype for p in model.parameters() if p.dtype in HALVES}
    if not halves:
        if not any(tensor.is_inference() for tensor in (*model.parameters(), *remembered(model))):
            return model
        with torch.inference_mode(False):  # tensors from inference mode are kept from every backward pass
            return copy.deepcopy(model)
    warnings.warn(
        f"the model is in half precision ({', '.join(sorted(map(str, halves)))}); it is explained in float32, on a "
        "copy, because half precision would cost three digits of completeness",
        HalfPrecisionWarning,
        stacklevel=4,
    )
    with torch.inference_mode(False):
        return copy.deepcopy(model).float()


def unwrapped(model: nn.Module) -> nn.Module:
    """The model inside of what spreads it over several devices."""
    while isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
        model = model.module
    return model


def _refuse_quantised(where: str, module: nn.Module) -> None:
    own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
    if _is_quantised(module) or any(tensor.is_quantized for tensor in own):
        raise ExplainerError(
            f"{where} is quantised: its steps have no slope to follow. Explain the model in floating point "
            "that it was made from, or use PartitionShap"
        )


def _is_quantised(module: nn.Module) -> bool:
    """Whether a module is one of torch's that compute with whole numbers; some of their neighbours do not."""
    place = type(module).__module__
    is_among_them = (
        place.startswith("torch.") and ".quantized" in place and ".quantized.reference" not in place
    )
    return is_among_them and type(module).__name__ not in FLOAT_AMONG_QUANTISED


def refuse_uninitialised(model: nn.Module) -> None:
    """Raise `ExplainerError` for lazy modules that were not run yet: there is nothing to explain, and running one
    makes its weights.
    """
    for path, module in model.named_modules():
        own = (*module.parameters(recurse=False), *module.buffers(recurse=False))
        if any(torch.nn.parameter.is_lazy(tensor) for tensor in own):
            where = f"{path} ({type(module).__name__})" if path else type(module).__name__
            raise ExplainerError(
                f"{where} has no weights yet: run the model on one image before explaining it"
            )


def refuse_hooks_on_everything() -> None:
    """Raise for backward hooks on all modules there are: they belong to no model, so they are not set aside."""
    everywhere = torch.nn.modules.module
    if everywhere._global_backward_hooks or everywhere._global_backward_pre_hooks:
        raise ExplainerError(
            "a backward hook is registered for all modules (by register_module_full_backward_hook of "
            "torch.nn.modules.module), and DeepShap's multipliers are no gradients: call .remove() on what "
            "registering it returned"
        )


def home(model: nn.Module, references: Tensor) -> tuple[torch.device, torch.dtype]:
    """The device and the precision in which a model is explained: float64 if it is, float32 otherwise.

    One without weights is explained where the references are. Raises `ExplainerError` for weights without values.
    """
    own = [tensor for tensor in (*model.parameters(), *model.buffers()) if tensor.is_floating_point()]
    if any(tensor.is_meta for tensor in (*own, references)):
        raise ExplainerError(
            "the model or the references are on the device 'meta', where tensors have shapes and no values: "
            "load them onto a processor first"
        )
    if any(tensor.layout != torch.strided for tensor in own):
        raise ExplainerError(
            "the model has sparse weights, which cannot be followed: make them dense with .to_dense()"
        )
    tensor = own[0] if own else references
    return tensor.device, tensor.dtype if tensor.dtype == torch.float64 else torch.float32


def refuse_other_integers(
    run: Callable[[Sequence[Tensor]], Tensor], given: Sequence[Tensor], explained: Sequence[Tensor]
) -> None:
    """Raise if whole numbers and the same numbers as floats are not the same to a model, which may scale the former."""
    if all(part.is_floating_point() for part in given):
        return
    devices = [part.device for part in explained]
    try:
        whole = run([part[:1].detach().to(device) for part, device in zip(given, devices, strict=True)])
    except Exception:  # most models take floats only
        return
    floats = run([part[:1].clone() for part in explained])
    if not torch.allclose(whole.to(floats), floats, rtol=1e-3, atol=1e-5, equal_nan=True):
        raise ExplainerError(
            f"the model predicts {whole.flatten()[0].item():.3g} for image 0 in {given[0].dtype} and "
            f"{floats.flatten()[0].item():.3g} for the same numbers as floats, which are what can be explained: it may "
            "scale by dtype. Give images and references as the floats that its first layer gets, such as "
            "images.float() / 255, and a model without the conversion"
        )


def first_non_finite(model: nn.Module, inputs: Sequence[Tensor]) -> str:
    """The first module whose output is NaN or infinite, such as `"layer2.0.conv1 (Conv2d)"`."""
    found: list[str] = []

    def look(path: str) -> object:
        def hook(module: nn.Module, _args: object, output: object) -> None:
            if not found and isinstance(output, Tensor) and not output.isfinite().all():
                found.append(f"{path} ({type(module).__name__})" if path else "the model itself")

        return hook

    handles = [module.register_forward_hook(look(path)) for path, module in model.named_modules()]
    try:
        with torch.no_grad():
            model(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else "none of its modules, but what it returns"
