"""Explanations for and from the shap package."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shapsight.attribution.explanation.completed import completed
from shapsight.errors import ExplainerError, MissingDependency

if TYPE_CHECKING:
    import shap

    from shapsight.attribution.explanation.explanation import Explanation

Array = NDArray[Any]
CHANNELS = (1, 3, 4)


def to_shap(explanation: Explanation) -> shap.Explanation:
    """See `Explanation.to_shap`."""
    try:
        import shap
        from slicer import Obj
    except ImportError as error:
        raise MissingDependency("to_shap needs the shap package: pip install shap") from error

    def outputs_last(tensor: Tensor) -> Array:
        array: Array = tensor.detach().cpu().movedim((1, 2), (-1, -2)).numpy()
        return array

    errors = explanation.std_errors
    names = explanation.names()
    is_shared = all(row == names[0] for row in names)
    made = shap.Explanation(
        values=outputs_last(explanation.values),
        base_values=explanation.base_values.detach().cpu().numpy(),
        data=explanation.images.detach().cpu().movedim(1, -1).numpy(),
        output_names=names[0] if names and is_shared else None,
        error_std=None if errors is None else outputs_last(errors),
    )
    if not is_shared:
        # Set afterwards: the constructor takes a table of names for as many images as channels for another dimension.
        made.output_names = Obj(np.array(names, dtype=np.str_), [0, explanation.values.dim() - 1])
    return made


def from_shap(
    explanation: shap.Explanation,
    images: Any,
    channels: Literal["first", "last"] | None,
    predictions: Any,
    output_names: Sequence[str],
) -> dict[str, Any]:
    """The attributes of our explanation. See `Explanation.from_shap`."""
    pictures = _array(explanation.data if images is None else images)
    values = _array(explanation.values)
    if pictures.ndim == 3:
        pictures, values = pictures[None], values[None]
    if values.ndim == 4:
        values = values[..., None]
    if pictures.ndim != 4 or values.ndim != 5 or len(values) != len(pictures):
        raise ExplainerError(
            f"shap values of shape {values.shape} do not fit images of shape {pictures.shape}: both must be of images, "
            "(images, height, width, channels) or channels first; images= gives other images"
        )
    if (channels or _place_of_channels(pictures.shape, values.shape)) == "last":
        values, pictures = np.moveaxis(values, 3, 1), np.moveaxis(pictures, 3, 1)
    if values.shape[2:4] != pictures.shape[2:]:
        sizes = [" × ".join(map(str, shape)) for shape in (values.shape[2:4], pictures.shape[2:])]
        raise ExplainerError(f"shap values of {sizes[0]} pixels do not fit images of {sizes[1]} pixels")
    count = (values.shape[0], values.shape[4])
    index, names = _columns(explanation.output_names, output_names, count)
    return completed(
        values=torch.from_numpy(np.ascontiguousarray(np.moveaxis(values, 4, 1))),
        images=torch.from_numpy(np.ascontiguousarray(pictures)),
        output_index=index,
        base_values=_table("base_values", explanation.base_values, count),
        predictions=_table("predictions", predictions, count),
    ) | {"output_names": names}


def _place_of_channels(pictures: tuple[int, ...], values: tuple[int, ...]) -> Literal["first", "last"]:
    """Whether channels come first or last, where only one of the two places has a usual number of them."""
    first, last = (pictures[place] in CHANNELS and values[place] in CHANNELS for place in (1, 3))
    if first == last:
        raise ExplainerError(
            f"images of shape {pictures} do not tell where their channels are: pass channels='first' or 'last'"
        )
    return "first" if first else "last"


def _columns(found: Any, every: Sequence[str], count: tuple[int, int]) -> tuple[Tensor, tuple[str, ...]]:
    """The model's column of each explained output, and the names of the columns as far as they are known."""
    outputs, names = torch.arange(count[1]).expand(count), tuple(every)
    table = _table("output names", found, count)
    if names and (table is None or not set(map(str, table.flat)) <= set(names)):
        if len(names) != count[1]:
            raise ExplainerError(f"{len(names)} output_names do not fit {count[1]} explained outputs")
        return outputs, names
    if table is None:
        return outputs, ()
    if not names and (table == table[:1]).all():
        return outputs, tuple(map(str, table[0])) if len(table) else ()
    names = names or tuple(dict.fromkeys(str(name) for name in table.flat))
    return torch.tensor([[names.index(str(name)) for name in row] for row in table]), names


def _table(what: str, found: Any, count: tuple[int, int]) -> Array | None:
    """One entry an image and output, from one for each, one an output, or a single one."""
    if found is None:
        return None
    array = _array(found)
    if array.size == count[0] * count[1]:
        return array.reshape(count)
    if array.size in (1, count[1]):
        return np.broadcast_to(array.reshape(-1), count)
    raise ExplainerError(f"{what} of shape {array.shape} do not fit {count[0]} images and {count[1]} outputs")


def _array(found: Any) -> Array:
    return found.detach().cpu().numpy() if isinstance(found, Tensor) else np.asarray(found)
