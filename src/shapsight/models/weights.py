"""Weights: getting them without running anything from the file, and putting them into a network they fit."""

from __future__ import annotations

import pickle
import re
import socket
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import models

from shapsight.errors import ModelError

State = dict[str, Tensor]
PREFIXES = ("module.", "model.", "_orig_mod.", "net.")  # of parallel, wrapped and compiled models
AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")  # heads of googlenet and inception_v3 that are off here
OLD_DENSENET_KEY = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])\.")
DOWNLOAD_SECONDS = 20.0  # a server that says nothing for so long counts as out of reach


class UnreachableError(ModelError):
    """torchvision's ImageNet weights are neither on this machine nor to be had from the network."""


def read_state(path: str | Path) -> State:
    """Read a file of weights: safetensors, or a pickle that holds nothing but tensors.

        state = read_state("resnet18.pth")      # {"conv1.weight": Tensor, ...}, floats in float32

    A checkpoint's "state_dict" or "model" is taken out of it. Raises `ModelError`
    if the file is missing, damaged, unsafe to read or holds no weights.
    """
    path = Path(path)
    if not path.is_file():
        what = "a folder, not a file" if path.is_dir() else "not there"
        raise ModelError(
            f"the weights {path} are {what}. Expected a .safetensors or .pth file, 'imagenet' or 'none'"
        )
    content = _read_safetensors(path) if path.suffix == ".safetensors" else read_pickle(path)
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not content or not all(map(torch.is_tensor, content.values())):
        raise ModelError(f"{path} holds no state dict of named tensors: save model.state_dict() instead")
    return {_current_key(str(key)): _in_float32(tensor) for key, tensor in content.items()}


def imagenet_state(arch: str) -> tuple[str, State]:
    """The name of torchvision's ImageNet weights and the weights, from its cache or the network.

    Raises `UnreachableError` if neither has them; a silent server is given up after some seconds.
    """
    choices = models.get_model_weights(arch)
    fitting = [choice for choice in (choices.DEFAULT, *choices) if choice.meta["min_size"][0] <= 224]
    choice = (fitting or [choices.DEFAULT])[0]  # the default of vit_h_14 wants images of 518 pixels
    try:
        with _impatient_sockets():
            state = choice.get_state_dict(progress=sys.stderr.isatty(), check_hash=True, weights_only=True)
    except (OSError, HTTPException, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise UnreachableError(_first_line(error)) from error
    return choice.name, {_current_key(key): _in_float32(tensor) for key, tensor in state.items()}


def unwrapped(state: State, model: nn.Module) -> tuple[State, tuple[str, ...]]:
    """The weights without what training code puts before their names, where that makes them fit; and a note on it.

        unwrapped({"model.fc.weight": ...}, network)     # ({"fc.weight": ...}, ("The weights' names ...",))

    Taken off are `module.`, `model.`, `_orig_mod.`, `net.` and several of them; what else such a checkpoint holds, as
    the weights of a loss, is left out and named.
    """
    own = model.state_dict().keys()
    found, taken = state, ""
    while True:
        shorter = [
            (
                prefix,
                {key.removeprefix(prefix): value for key, value in found.items() if key.startswith(prefix)},
            )
            for prefix in PREFIXES
        ]
        prefix, best = max(shorter, key=lambda each: (len(own & _ends(each[1])), len(each[1])))
        if not best or len(own & _ends(best)) <= len(own & found.keys()):
            break
        found, taken = best, taken + prefix
    if not own & found.keys() or not taken:
        return state, ()
    beside = [key for key in state if not key.startswith(taken)]
    rest = f", and {_first(beside)} beside them left out" if beside else ""
    return found, (f"The names of the weights begin with {taken}, which was taken off{rest}.",)


def _ends(state: State) -> set[str]:
    """Names with and without a further prefix."""
    return {key.removeprefix(prefix) for key in state for prefix in ("", *PREFIXES)}


def load_state(model: nn.Module, state: Mapping[str, Tensor], name: str) -> None:
    """Copy weights into a model in place.

        load_state(model, read_state("resnet18.pth"), "resnet18.pth")

    Raises `ModelError` naming the first keys that are missing, unexpected or of another shape; the model is
    then untouched. The copy is by name: versions of layers, which safetensors cannot hold, play no part.
    """
    own = model.state_dict()
    given = {key: value for key, value in state.items() if key in own or not key.startswith(AUXILIARY)}
    # A counter that weights from before 2018 lack, and that nothing uses.
    missing = [key for key in own if key not in given and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in given if key not in own]
    differing = [
        f"{key} {tuple(given[key].shape)} instead of {tuple(value.shape)}"
        for key, value in own.items()
        if key in given and given[key].shape != value.shape
    ]
    kinds = {"missing": missing, "unexpected": unexpected, "of another shape": differing}
    if any(kinds.values()):
        found = "; ".join(f"{kind}: {_first(keys)}" for kind, keys in kinds.items() if keys)
        raise ModelError(f"the weights {name} do not fit. {found[0].upper()}{found[1:]}")
    with torch.no_grad():
        for key, value in given.items():
            own[key].copy_(value)


def _read_safetensors(path: Path) -> object:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is damaged or not a safetensors file: {_first_line(error)}") from error


def read_pickle(path: Path) -> Any:
    """What torch saved, if it holds nothing but tensors and plain values. Raises `ModelError` for anything else."""
    try:
        with warnings.catch_warnings():  # about pickle protocols, right before the error that says it better
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path} was not read: it is a pickle that would run code when it is read, or no file of weights at "
            "all. Where it was made, save the weights alone: torch.save(model.state_dict(), path), or "
            "safetensors.torch.save_file(model.state_dict(), path)"
        ) from error
    except Exception as error:  # damaged archives end in errors of many kinds
        raise ModelError(f"{path} is damaged or not a file of weights: {_first_line(error)}") from error


def _current_key(key: str) -> str:
    return OLD_DENSENET_KEY.sub(r"\1\2.", key)


def _in_float32(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _first(keys: Sequence[str], count: int = 3) -> str:
    more = f" and {len(keys) - count} more" if len(keys) > count else ""
    return ", ".join(keys[:count]) + more


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


@contextmanager
def _impatient_sockets() -> Iterator[None]:
    """torch.hub opens its connections without a time limit; the default of all sockets is the only way in."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
