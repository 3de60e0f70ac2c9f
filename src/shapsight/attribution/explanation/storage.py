"""One explanation, one safetensors file: whole or in half precision, complete or absent, never unpickled."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from shapsight.data.given_files import (
    Kind,
    are,
    is_mapping,
    is_number,
    is_text,
    misfit,
    or_none,
    parsed_json,
    refuse_endless,
)
from shapsight.data.written_files import written
from shapsight.errors import ExplainerError

if TYPE_CHECKING:
    from shapsight.attribution.explanation.explanation import Explanation

FAMILY = "shapsight.explanation"
VERSION = 2  # 1 knew neither half precision nor the model's name, and is read as well
NEEDED = ("values", "base_values", "predictions", "completeness_gap", "output_index", "images")
OPTIONAL = ("std_errors", "unresolved", "above_noise", "part_labels", "part_std_errors", "outlines")
# What has a value for each pixel, and over how many leading dimensions it shares a scale in half precision.
HALVED = {"values": 2, "std_errors": 2, "unresolved": 2, "above_noise": 2, "images": 1}
SCALE = "{}.scale"
CARD = {
    "output_names": are(is_text),
    "settings": is_mapping,
    "method": or_none(is_text),
    "model_name": or_none(is_text),
}
STORED: dict[str, Kind] = {"dtype": is_text, "largest_error": is_number, "largest_gap_change": is_number}
# The largest value becomes 2^15: half precision reaches 65504, and small values stay clear of its subnormal ones.
LARGEST_HALF = 2.0**15
SMALLEST_SCALE = 1e-37


def save(
    explanation: Explanation,
    path: str | os.PathLike[str],
    dtype: torch.dtype | Literal["float16"] | None,
) -> Path:
    """See `Explanation.save`."""
    if dtype not in (None, "float16", torch.float16):
        raise ExplainerError(f"dtype={dtype!r}: explanations are saved as they are (None) or as 'float16'")
    tensors = {
        name: t.detach().cpu().contiguous()
        for name in (*NEEDED, *OPTIONAL)
        if (t := getattr(explanation, name)) is not None
    }
    settings = dict(explanation.settings)
    if dtype is not None:
        tensors, settings["stored"] = halved(tensors)
    card = {
        "output_names": explanation.output_names,
        "method": explanation.method,
        "model_name": explanation.model_name,
        "settings": settings,
    }
    return write(path, tensors, f"{FAMILY}/{VERSION}", card)


def write(
    path: str | os.PathLike[str], tensors: Mapping[str, Tensor], of_format: str, card: Mapping[str, Any]
) -> Path:
    """Write a safetensors file with a card of metadata; complete or not at all."""
    from safetensors.torch import save_file

    path = Path(path)
    metadata = {"format": of_format, "card": json.dumps(card, default=plain)}
    try:
        with written(path, by_many=True) as part:
            # safetensors makes files that only their owner may read; ours get the usual permissions.
            part.touch()
            permissions = part.stat().st_mode
            save_file(_unshared(dict(tensors)), part, metadata=metadata)
            part.chmod(permissions)
    except Exception as error:
        if "SafetensorError" in type(error).__name__ or isinstance(error, OSError):
            raise ExplainerError(f"the explanation could not be written to {path}: {error}") from error
        raise
    return path


def load(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The attributes of the explanation in a file. See `Explanation.load`."""
    tensors, card = read(path, FAMILY, VERSION)
    missing = [name for name in NEEDED if name not in tensors]
    wrong = misfit(card, CARD)
    if wrong is None and "stored" in card["settings"]:
        wrong = misfit(card["settings"]["stored"], STORED)
    if wrong is not None:
        raise ExplainerError(f"{path} is damaged: its metadata cannot be read ({wrong})")
    known = {name: card.get(name) or "" for name in ("method", "model_name")}
    known |= {"output_names": tuple(card["output_names"]), "settings": dict(card["settings"])}
    if missing:
        raise ExplainerError(f"{path} is damaged: it holds no {', '.join(missing)}")
    found = {name: tensors[name] for name in (*NEEDED, *OPTIONAL) if name in tensors}
    for name, dimensions in HALVED.items():
        if SCALE.format(name) in tensors:
            scale = tensors[SCALE.format(name)]
            if name not in found or scale.shape != found[name].shape[:dimensions]:
                raise ExplainerError(f"{path} is damaged: the scale of its {name} does not fit")
            found[name] = restored(found[name], scale, dimensions)
    return found | known


def read(
    path: str | os.PathLike[str], family: str, version: int, what: str = "explanation"
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the card of what `write` wrote. Raises `ExplainerError` for whatever else `path` may be."""
    from safetensors import SafetensorError, safe_open

    if not Path(path).exists() and not Path(path).is_symlink():
        raise ExplainerError(f"there is no {what} at {path}")
    if Path(path).is_dir():
        raise ExplainerError(f"{path} is a folder; an {what} is one file")
    try:
        refuse_endless(Path(path))
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            _check_version(path, metadata.get("format"), family, version, what)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise ExplainerError(f"{path} is damaged, cut short or not a safetensors file: {error}") from error
    try:
        return tensors, dict(parsed_json(metadata["card"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ExplainerError(f"{path} is damaged: its metadata cannot be read") from error


def said(stored: Mapping[str, Any]) -> str:
    """What half precision cost, in words."""
    error, gap = stored["largest_error"], stored["largest_gap_change"]
    return f"stored as {stored['dtype']}, off by up to {error:.1e} of the largest value, gaps by {gap:.1e}"


def _check_version(
    path: str | os.PathLike[str], found: str | None, expected: str, newest: int, what: str
) -> None:
    family, _, version = (found or "").partition("/")
    if family != expected or not version.isdigit():
        raise ExplainerError(f"{path} is not an {what} of shapsight: its format is {found!r}")
    if int(version) > newest or int(version) < 1:
        raise ExplainerError(
            f"{path} is of version {version}; this shapsight reads versions 1 to {newest}: update it to read the file"
        )


def plain(setting: Any) -> Any:
    """Settings as JSON: mappings and sequences as such, anything else as text."""
    if isinstance(setting, Mapping):
        return dict(setting)
    if isinstance(setting, Tensor):
        return setting.tolist()
    return setting.item() if hasattr(setting, "item") else str(setting)


def _unshared(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same numbers, each in a storage of its own: safetensors refuses two names for one storage."""
    own: dict[int, Tensor] = {}
    result = {}
    for name, tensor in tensors.items():
        place = tensor.untyped_storage().data_ptr()
        result[name] = tensor.clone() if place in own else tensor
        own[place] = tensor
    return result


def halved(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Pixels in half precision, the gap that they then leave, and how far they are off."""
    halves = dict(tensors)
    for name, dimensions in HALVED.items():
        if name in tensors and tensors[name].is_floating_point():
            halves[name], halves[SCALE.format(name)] = _in_half(tensors[name], dimensions)
    values, scale = tensors["values"], halves[SCALE.format("values")]
    change = torch.zeros(values.shape[:2], dtype=torch.float64)
    largest_error = 0.0
    for image in range(len(values)):
        error = (restored(halves["values"][image], scale[image], 1) - values[image]).flatten(1)
        change[image] = error.sum(1, dtype=torch.float64)
        relative = _largest(error) / (LARGEST_HALF * scale[image])
        largest_error = max(largest_error, float(relative.amax()) if len(relative) else 0.0)
    halves["completeness_gap"] = tensors["completeness_gap"] - change.to(tensors["completeness_gap"])
    largest_gap = float(change.nan_to_num().abs().max()) if change.numel() else 0.0
    return halves, {
        "dtype": "float16",
        "largest_error": largest_error,
        "largest_gap_change": largest_gap,
    }


def _in_half(tensor: Tensor, dimensions: int) -> tuple[Tensor, Float[Tensor, "..."]]:
    """`tensor / scale` in half precision, image by image, so that no second copy of all of it is needed."""
    half = torch.empty(tensor.shape, dtype=torch.float16)
    scale = torch.ones(tensor.shape[:dimensions], dtype=tensor.dtype)
    for image in range(len(tensor)):
        pixels = tensor[image].flatten(dimensions - 1)
        largest = _largest(pixels)
        scale[image] = torch.where(largest > 0, (largest / LARGEST_HALF).clamp_min(SMALLEST_SCALE), 1.0)
        half[image] = (pixels / scale[image].unsqueeze(-1)).reshape(tensor.shape[1:])
    return half, scale


def _largest(pixels: Float[Tensor, "... pixels"]) -> Float[Tensor, "..."]:
    """The largest absolute value that is a number."""
    largest = pixels.abs().amax(-1)
    return largest if largest.isfinite().all() else pixels.nan_to_num(0, 0, 0).abs().amax(-1)


def restored(half: Tensor, scale: Tensor, dimensions: int) -> Tensor:
    """What `halved` made half, times its scale."""
    shape = scale.shape + (1,) * (half.dim() - dimensions)
    return torch.mul(half, scale.reshape(shape))
