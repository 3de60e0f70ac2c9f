"""From a name, torchvision's, timm's or an import path, to a network with the right head, and weights if any."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torchvision import models

from shapsight.errors import ModelError
from shapsight.models import small_cnn
from shapsight.models.own_module import is_import_path, own_module
from shapsight.models.timm_models import (
    classes_of,
    draw_heads_anew,
    input_size,
    statistics,
    timm_model,
    timm_name,
    without_other_heads,
)
from shapsight.models.weights import (
    State,
    UnreachableError,
    imagenet_state,
    load_state,
    read_state,
    unwrapped,
)

IMAGENET_CLASSES = 1000
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# transform_input is in no state dict, so it must not depend on the weights; the layers' own initial values
# do as well under batch norm as torchvision's, which take long to draw.
WITHOUT_AUXILIARY_HEADS = {"aux_logits": False, "transform_input": True, "init_weights": False}
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "googlenet": WITHOUT_AUXILIARY_HEADS,
    "inception_v3": WITHOUT_AUXILIARY_HEADS,
}
FROM_SCRATCH = "none (from scratch)"
NOT_ASKED_FOR = "weights='none' asks for none"


@dataclass(frozen=True, eq=False)
class BuiltModel:
    """A network ready to be trained, and what was done to get it.

    Attributes
        model: from normalised images `(N, 3, size, size)` to `(N, outputs)`, any real number.
        arch: its name: torchvision's, small_cnn, timm:NAME, or an import path.
        weights_used: "ImageNet (IMAGENET1K_V1)", "local: NAME" or "none (from scratch)".
        notes: sentences that a user should read.
        mean, std: of each RGB channel in [0, 1], what images are normalised with.
        size: the side of the squares that a classifier was trained and tested on, in pixels.
    """

    model: nn.Module
    arch: str
    weights_used: str
    notes: tuple[str, ...] = ()
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    size: int = 224


def build_model(arch: str, outputs: int, *, weights: str | Path = "imagenet", seed: int = 0) -> BuiltModel:
    """Build a network with `outputs` outputs: torchvision's or timm's, `small_cnn`, or one of your own.

        built = build_model("resnet18", 2)                            # ImageNet weights, where reachable
        built = build_model("resnet18", 2, weights="none")            # from scratch
        built = build_model("resnet18", 2, weights="weights.pth")     # local: safetensors or a state dict
        build_model("timm:convnext_atto", 2)                          # timm's; a bare name that only timm knows, too
        build_model("my_networks:Steering", 2)                        # your own: Steering(2), imported
        built.model(images)                                           # (N, 2)

    Weights are loaded before the last layer is replaced; local ones that have the right last layer already
    are kept whole. `weights="imagenet"` downloads (torchvision keeps the file), and without a network goes on
    from scratch with a note. Half precision becomes float32. New layers are drawn with `seed`; the global
    generator is left as it was.

    Raises `ModelError` for an unknown name (with the nearest ones), a missing, unsafe or damaged file, and
    weights that do not fit (with the first keys that differ).
    """
    elsewhere = _from_elsewhere(arch, outputs, weights, seed)
    if elsewhere is not None:
        return elsewhere
    _check(arch, outputs)
    weights_used, state, notes = _find_weights(arch, weights)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        model = models.get_model(arch, weights=None, **OPTIONS.get(arch, {}))
        head = _head_name(model, arch)
        if state is not None:
            state, prefix_note = unwrapped(state, model)
            notes += prefix_note
        is_whole = state is not None and _rows(state, head) == outputs
        if state is not None and not is_whole:
            state, head_note = _without_other_head(state, model, head)
            notes += head_note
        if state is not None and not is_whole:
            _load(model, state, arch, weights_used)
        notes += _replace_head(model, head, outputs, arch)
    if state is not None and is_whole:
        _load(model, state, arch, weights_used)
    presets = models.get_model_weights(arch).DEFAULT.transforms()
    return BuiltModel(model, arch, weights_used, tuple(notes), tuple(presets.mean), tuple(presets.std))


def build_classifier(
    arch: str, classes: int = IMAGENET_CLASSES, *, weights: str | Path = "imagenet"
) -> BuiltModel:
    """A trained classifier of torchvision or timm as it is, last layer included.

        built = build_classifier("squeezenet1_1", weights="squeezenet1_1.safetensors")
        built = build_classifier("timm:convnext_atto", weights="convnext_atto.safetensors")
        built.model.eval()(images)                                    # (N, 1000): logits

    Raises `ModelError` for what `build_model` raises it for, for weights with another number of classes, and where
    ImageNet weights are neither on this machine nor to be had from the network.
    """
    name = None if arch in models.list_models(module=models) else timm_name(arch)
    if name is not None:
        return _classifier_from_timm(name, classes, weights)
    _check(arch, classes)
    weights_used, state, notes = _find_weights(arch, weights)
    if state is None:
        reason = notes[0].partition("(")[2].partition(")")[0] if notes else NOT_ASKED_FOR
        raise _nothing_to_explain(arch, reason)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        model = models.get_model(arch, weights=None, num_classes=classes, **OPTIONS.get(arch, {}))
    state, said = unwrapped(state, model)
    _load(model, state, arch, weights_used, classes)
    presets = models.get_model_weights(arch).DEFAULT.transforms()
    mean, std, size = tuple(presets.mean), tuple(presets.std), int(presets.crop_size[0])
    return BuiltModel(model.eval(), arch, weights_used, said, mean, std, size)


def _classifier_from_timm(name: str, classes: int, weights: str | Path) -> BuiltModel:
    if weights == "none":
        raise _nothing_to_explain(name, NOT_ASKED_FOR)
    used = "timm's pretrained weights" if weights == "imagenet" else f"local: {Path(weights).name}"
    try:
        model = timm_model(name, classes, is_pretrained=weights == "imagenet")
    except UnreachableError as error:
        raise _nothing_to_explain(name, str(error)) from error
    said: tuple[str, ...] = ()
    if weights != "imagenet":
        state, said = unwrapped(read_state(weights), model)
        _load(model, state, name, used, classes)
    mean, std = statistics(model)
    return BuiltModel(model.eval(), f"timm:{name}", used, said, mean, std, input_size(model))


def _nothing_to_explain(arch: str, reason: str) -> ModelError:
    return ModelError(
        f"there are no weights for {arch} ({reason}), and an untrained network has nothing to explain. Pass "
        "weights that you have with --weights PATH: a safetensors file, or a state dict"
    )


def _from_elsewhere(arch: str, outputs: int, weights: str | Path, seed: int) -> BuiltModel | None:
    """A network that is not torchvision's."""
    is_torchvision = arch in models.list_models(module=models)
    name = None if is_torchvision or arch == small_cnn.NAME or is_import_path(arch) else timm_name(arch)
    if (
        is_torchvision
        or outputs < 1
        or (name is None and arch != small_cnn.NAME and not is_import_path(arch))
    ):
        return None
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        if name is not None:
            return _from_timm(name, outputs, weights)
        own = small_cnn.SmallCnn(outputs) if arch == small_cnn.NAME else own_module(arch, outputs)
    mean, std = (small_cnn.MEAN, small_cnn.STD) if arch == small_cnn.NAME else (IMAGENET_MEAN, IMAGENET_STD)
    mean, std = tuple(getattr(own, "mean", mean)), tuple(getattr(own, "std", std))
    if weights in ("none", "imagenet"):
        asked = weights == "imagenet"
        notes = (f"There are no ImageNet weights for {arch}: training starts from scratch.",) if asked else ()
        return BuiltModel(own, arch, FROM_SCRATCH, notes, mean, std)
    used = f"local: {Path(weights).name}"
    state, said = unwrapped(read_state(weights), own)
    _load(own, state, arch, used)
    return BuiltModel(own, arch, used, said, mean, std)


def _from_timm(name: str, outputs: int, weights: str | Path) -> BuiltModel:
    used, notes = FROM_SCRATCH, []
    model = timm_model(name, outputs)
    if weights == "imagenet":
        try:
            model = timm_model(name, outputs, is_pretrained=True)
            used = "timm's pretrained weights"
        except UnreachableError as error:
            notes.append(f"timm's weights could not be had ({error}), so training starts from scratch.")
    if used == FROM_SCRATCH or outputs != classes_of(model):
        draw_heads_anew(model)
    if weights not in ("imagenet", "none"):
        used = f"local: {Path(weights).name}"
        state, said = unwrapped(read_state(weights), model)
        notes += said
        _load(model, without_other_heads(model, state), name, used)
    return BuiltModel(model, f"timm:{name}", used, tuple(notes), *statistics(model))


def head_name(model: nn.Module, outputs: int) -> str | None:
    """The last linear or convolution layer with as many outputs as the network; None if there is none."""
    heads = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d) and module.weight.shape[0] == outputs
    ]
    return heads[-1] if heads else None


def _check(arch: str, outputs: int) -> None:
    if outputs < 1:
        raise ModelError(f"a model with {outputs} outputs predicts nothing: it needs 1 or more")
    known = models.list_models(module=models)
    if arch not in known:
        nearest = difflib.get_close_matches(arch.lower(), known, n=4, cutoff=0.4)
        hint = (
            f"Did you mean {', '.join(nearest)}?"
            if nearest
            else "There are resnet18, squeezenet1_1, and more."
        )
        raise ModelError(f"torchvision has no classification model called {arch!r}. {hint}")


def _find_weights(arch: str, weights: str | Path) -> tuple[str, State | None, list[str]]:
    """What the weights are called, the weights, and notes; a failed download leaves a note and no weights."""
    if weights == "none":
        return FROM_SCRATCH, None, []
    if weights != "imagenet":
        return f"local: {Path(weights).name}", read_state(weights), []
    try:
        name, state = imagenet_state(arch)
    except UnreachableError as error:
        note = (
            f"ImageNet weights could not be had ({error}), so training starts from scratch. Where there is no "
            f"network, pass weights that you have with --weights PATH: safetensors, or a state dict of {arch}."
        )
        return FROM_SCRATCH, None, [note]
    return f"ImageNet ({name})", state, []


def _load(model: nn.Module, state: State, arch: str, weights_used: str, classes: int | None = None) -> None:
    """Put weights in; with `classes` into a classifier as it is, whose number of classes must be that."""
    try:
        load_state(model, state, weights_used.removeprefix("local: "))
    except ModelError as error:
        rows = _other_outputs(model, state)
        if classes is not None and rows is not None:
            raise ModelError(
                f"the weights {weights_used.removeprefix('local: ')} have {rows} outputs, not {classes}: name these "
                "with --classes FILE, a JSON list of names or a text file with one a line"
            ) from error
        raise ModelError(f"{error}. Do they belong to another architecture than {arch}?") from error


def _other_outputs(model: nn.Module, state: State) -> int | None:
    """The number of outputs that the weights have, where that is all that does not fit."""
    own = {key: value for key, value in model.state_dict().items() if not key.endswith("num_batches_tracked")}
    if not own.keys() <= state.keys():
        return None
    differing = [key for key in own if own[key].shape != state[key].shape]
    rows = {
        len(state[key])
        for key in differing
        if state[key].dim() and own[key].shape[1:] == state[key].shape[1:]
    }
    head = {key.rpartition(".")[0] for key in differing}
    return rows.pop() if len(rows) == len(head) == 1 else None


def _without_other_head(state: State, model: nn.Module, head: str) -> tuple[State, list[str]]:
    """Weights trained for another number of outputs: their last layer is not used."""
    own = model.state_dict()
    rows = _rows(state, head)
    if rows in (None, IMAGENET_CLASSES):
        return state, []
    kept = {
        key: own[key] if key.startswith(f"{head}.") and key in own else value for key, value in state.items()
    }
    return kept, [f"The weights have {rows} outputs: their last layer was not taken, but drawn anew."]


def _head_name(model: nn.Module, arch: str) -> str:
    """The last layer that makes the 1000 ImageNet classes."""
    heads: list[str] = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d) and module.weight.shape[0] == IMAGENET_CLASSES
    ]
    if not heads:
        raise ModelError(f"{arch} has no last layer with {IMAGENET_CLASSES} outputs that could be replaced")
    return heads[-1]


def _rows(state: State, head: str) -> int | None:
    weight = state.get(f"{head}.weight")
    return None if weight is None else len(weight)


def _replace_head(model: nn.Module, name: str, outputs: int, arch: str) -> list[str]:
    """Put a new last layer in, and nothing behind it that bends its values; returns notes."""
    parent, _, child = name.rpartition(".")
    container = model.get_submodule(parent)
    setattr(container, child, _new_head(container.get_submodule(child), outputs))
    if not isinstance(container, nn.Sequential):
        return []
    names = [key for key, _ in container.named_children()]
    later = names[names.index(child) + 1 :]
    bending = [key for key in later if isinstance(container.get_submodule(key), nn.ReLU)]
    for key in bending:
        setattr(container, key, nn.Identity())
    note = f"The ReLU behind the last layer of {arch} was taken out: with it no prediction could be negative."
    return [note] if bending else []


def _new_head(old: nn.Module, outputs: int) -> nn.Linear | nn.Conv2d:
    new: nn.Linear | nn.Conv2d
    if isinstance(old, nn.Conv2d):
        new = nn.Conv2d(old.in_channels, outputs, kernel_size=1)
    else:
        new = nn.Linear(int(old.in_features), outputs)  # type: ignore[arg-type]
    nn.init.normal_(new.weight, std=0.01)  # predictions start near 0, the middle of the targets' range
    nn.init.zeros_(new.bias)  # type: ignore[arg-type]
    return new
