"""A network of the user's own, named by its import path."""

from __future__ import annotations

import inspect

from torch import nn

from shapsight.data.imported import imported
from shapsight.errors import ModelError

GRAMMAR = "Expected module:name, such as my_networks:Steering, called with the number of outputs"


def is_import_path(arch: str) -> bool:
    """`module:name`, and no timm name."""
    return ":" in arch and not arch.startswith("timm:")


def own_module(arch: str, outputs: int) -> nn.Module:
    """Import and build a network: a class of modules, or a function that makes one, called with `outputs`.

        own_module("my_networks:Steering", 2)

    The module is looked for as Python does, and in the working folder. Importing runs its code, so a name is taken
    only where it is a subclass of `nn.Module` or a function written in that very module. Raises `ModelError`.
    """
    module_name, _, name = arch.partition(":")
    if not module_name or not name.isidentifier():
        raise ModelError(f"{arch!r} is no import path. {GRAMMAR}")
    maker = getattr(_imported(module_name, arch), name, None)
    is_class = isinstance(maker, type) and issubclass(maker, nn.Module)
    if maker is None or not (is_class or (inspect.isfunction(maker) and maker.__module__ == module_name)):
        raise ModelError(
            f"{module_name} has no module class or function of its own called {name!r}. {GRAMMAR}"
        )
    try:
        model = maker(outputs)
    except TypeError as error:
        raise ModelError(f"{arch}({outputs}) failed: {error}. {GRAMMAR}") from error
    if not isinstance(model, nn.Module):
        raise ModelError(f"{arch} gives a {type(model).__name__}, not a torch.nn.Module")
    return model


def _imported(module_name: str, arch: str) -> object:
    try:
        return imported(module_name)
    except ModuleNotFoundError as error:
        raise ModelError(f"{arch!r} cannot be imported: {error}. {GRAMMAR}") from error
