"""A store as an xarray.Dataset: the finished images, read when they are computed with."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from shapsight.attribution.explanation.storage import SCALE
from shapsight.errors import MissingDependency

if TYPE_CHECKING:
    import xarray

    from shapsight.store.store import Store

SCALARS = {"predictions": "prediction", "base_values": "base_value", "completeness_gap": "completeness_gap"}
COORDINATES = ("path", "environment", "split", "label")


def to_xarray(store: Store) -> xarray.Dataset:
    """See `Store.to_xarray`."""
    try:
        import xarray
    except ImportError as error:
        raise MissingDependency("to_xarray needs xarray: pip install 'shapsight[xarray]'") from error
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # without dask variables are read whole, which is said where it matters
        whole = xarray.open_zarr(store.path, chunks=None)
    found = whole.isel(image=store.images["position"].to_numpy(int))
    for name in [name for name in found if SCALE.format(name) in found]:
        # Numbers that are multiplied would be read; what is read is multiplied by whoever computes.
        found[name].attrs["multiply_by"] = SCALE.format(name)
    found = found.rename({"values": "shap_values"})
    variables: dict[str, Any] = {
        name: (("image", "output"), np.array([list(row) for row in store.images[column]], float))
        for name, column in SCALARS.items()
    }
    names = np.array([list(row) for row in store.images["output"]], np.str_)
    found = found.assign(variables, output_name=(("image", "output"), names))
    coordinates = {
        name: ("image", store.images[name].to_numpy(np.str_)) for name in COORDINATES if name in store.images
    }
    if (names == names[0]).all() and len(set(names[0])) == len(names[0]):
        coordinates["output"] = ("output", names[0])
    return found.assign_coords(coordinates)
