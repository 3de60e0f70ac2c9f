"""An explanation as an xarray.Dataset: dimensions and coordinates with names."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from shapsight.attribution.explanation.storage import plain
from shapsight.errors import MissingDependency

if TYPE_CHECKING:
    import xarray

    from shapsight.attribution.explanation.explanation import Explanation

OF_OUTPUT = ("base_values", "predictions", "completeness_gap", "output_index")


def to_xarray(explanation: Explanation) -> xarray.Dataset:
    """See `Explanation.to_xarray`."""
    try:
        import xarray
    except ImportError as error:
        raise MissingDependency("to_xarray needs xarray: pip install 'shapsight[xarray]'") from error

    shape = explanation.values.shape
    sides = ("depth", "height", "width")[6 - len(shape) :]
    of_output, of_map = ("image", "output"), ("image", "output", *sides)
    of_values = ("image", "output", "channel", *sides)
    dimensions_of = {
        **dict.fromkeys(OF_OUTPUT, of_output),
        "std_errors": of_values,
        "unresolved": of_map,
        "above_noise": of_map,
    }
    names = np.array(explanation.names(), dtype=np.str_).reshape(shape[:2])
    own = zip(of_values[2:], explanation.images.shape[1:], shape[2:], strict=False)
    # An image may have other channels than its heatmaps; its dimension has a name of its own then.
    of_images = ("image", *(name if one == two else f"image_{name}" for name, one, two in own))
    variables: dict[str, tuple[tuple[str, ...], Any]] = {
        "shap_values": (of_values, explanation.values.detach().cpu().numpy()),
        "images": (of_images, explanation.images.detach().cpu().numpy()),
        "output_name": (of_output, names),
    }
    for name, dimensions in dimensions_of.items():
        if (tensor := getattr(explanation, name)) is not None:
            variables[name] = (dimensions, tensor.detach().cpu().numpy())
    coordinates: dict[str, Any] = {name: np.arange(size) for name, size in zip(of_values, shape, strict=True)}
    if len(names) and (names == names[0]).all() and len(set(names[0])) == len(names[0]):
        coordinates["output"] = names[0]
    about = {
        "method": explanation.method,
        "model_name": explanation.model_name,
        "output_names": json.dumps(explanation.output_names),
        "settings": json.dumps(dict(explanation.settings), default=plain),
    }
    return xarray.Dataset(variables, coordinates, about)
