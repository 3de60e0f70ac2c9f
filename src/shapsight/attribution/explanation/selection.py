"""Some images and outputs of an explanation: by number, name, slice or mask."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Sequence
from types import EllipsisType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from shapsight.errors import ExplainerError

if TYPE_CHECKING:
    from shapsight.attribution.explanation.explanation import Explanation

Images = int | slice | Sequence[int] | Sequence[bool] | Tensor | np.ndarray | EllipsisType | None
Wanted = int | str | slice | Sequence[int | str] | Sequence[bool] | Tensor | np.ndarray | EllipsisType | None

BY_OUTPUT = (
    "values",
    "base_values",
    "predictions",
    "completeness_gap",
    "output_index",
    "std_errors",
    "unresolved",
    "part_std_errors",
    "above_noise",
)
BY_IMAGE_ALONE = ("images", "part_labels")
# Settings that are a list with one entry an image.
BY_IMAGE = ("evaluations", "largest_open")


def select(explanation: Explanation, images: Images, outputs: Wanted) -> Explanation:
    """See `Explanation.select`."""
    rows = _positions("image", images, len(explanation))
    columns = _columns(explanation, rows, outputs)
    chosen: dict[str, Any] = {}
    for name in BY_OUTPUT:
        tensor = getattr(explanation, name)
        if tensor is not None:
            at = rows.to(tensor.device)
            chosen[name] = tensor[at] if columns is None else tensor[at[:, None], columns.to(tensor.device)]
    settings = dict(explanation.settings)
    for name in BY_IMAGE:
        entries = settings.get(name)
        if isinstance(entries, list | tuple) and len(entries) == len(explanation):
            settings[name] = [entries[row] for row in rows.tolist()]
    for name in BY_IMAGE_ALONE:
        tensor = getattr(explanation, name)
        if tensor is not None:
            chosen[name] = tensor[rows.to(tensor.device)]
    return dataclasses.replace(explanation, settings=settings, **chosen)


def _columns(explanation: Explanation, rows: Tensor, outputs: Wanted) -> Int[Tensor, "rows outputs"] | None:
    """Where each chosen image holds each wanted output; None for all outputs."""
    count = explanation.values.shape[1]
    if outputs is None or outputs is Ellipsis:
        return None
    if isinstance(outputs, str):
        outputs = [outputs]
    if isinstance(outputs, Sequence) and any(isinstance(output, str) for output in outputs):
        each = [
            _positions_of_name(explanation, rows, output)
            if isinstance(output, str)
            else _positions("output", output, count).expand(len(rows))
            for output in outputs
        ]
        return torch.stack(each, 1)
    return _positions("output", outputs, count).expand(len(rows), -1)


def _positions_of_name(explanation: Explanation, rows: Tensor, name: str) -> Int[Tensor, "rows"]:
    names = explanation.names()
    lacking = [row for row in rows.tolist() if name not in names[row]]
    if not lacking:
        return torch.tensor([names[row].index(name) for row in rows.tolist()], dtype=torch.long)
    known = list(dict.fromkeys(known for row in rows.tolist() for known in names[row]))
    if all(name not in row for row in names):
        raise ExplainerError(f"no explained output is called {name!r}; there are {_some(known)}")
    having = [number for number, row in enumerate(names) if name in row]
    raise ExplainerError(
        f"{name!r} is not among the explained outputs of image {_some(lacking)}; select images that explain it: "
        f"{_some(having)}"
    )


def _some(things: Sequence[object], most: int = 8) -> str:
    said = ", ".join(map(repr, things[:most]))
    return f"{said} and {len(things) - most} more" if len(things) > most else said


def _positions(kind: str, wanted: Any, count: int) -> Int[Tensor, "chosen"]:
    """Numbers, a slice or a mask as positions from 0; `kind` is what they count."""
    if wanted is None or wanted is Ellipsis:
        return torch.arange(count)
    if isinstance(wanted, slice):
        return torch.arange(count)[wanted] if (wanted.step or 1) > 0 else _backwards(wanted, count)
    if not isinstance(wanted, bool | np.bool_) and hasattr(wanted, "__index__") and _is_scalar(wanted):
        wanted = [operator.index(wanted)]
    try:
        array = torch.as_tensor(np.asarray(wanted.cpu() if isinstance(wanted, Tensor) else wanted))
    except (TypeError, ValueError):
        array = torch.empty(0, 0)
    if array.numel() == 0 and array.dim() == 1:
        array = array.long()
    if array.dim() != 1 or array.is_floating_point() or array.is_complex():
        raise ExplainerError(f"{kind}s are selected by numbers, a slice or a mask, not by {wanted!r}")
    if array.dtype == torch.bool:
        if len(array) != count:
            raise ExplainerError(f"a mask over {kind}s needs {count} entries, this one has {len(array)}")
        return array.nonzero().flatten()
    array = array.long()
    if len(array) and not (-count <= int(array.min()) and int(array.max()) < count):
        raise ExplainerError(
            f"{kind} {_some(array.tolist())} is out of range: {count} {kind}s were explained"
        )
    return array.remainder(count) if count else array


def _backwards(wanted: slice, count: int) -> Int[Tensor, "chosen"]:
    """Tensors take no negative steps; lists do."""
    return torch.tensor(list(range(count))[wanted], dtype=torch.long)


def _is_scalar(wanted: Any) -> bool:
    return getattr(wanted, "ndim", 0) == 0
