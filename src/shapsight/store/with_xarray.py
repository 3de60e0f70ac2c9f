"""A store as an xarray.Dataset: the finished images, read when they are computed with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from shapsight.attribution.explanation.storage import SCALE
from shapsight.errors import MissingDependency

if TYPE_CHECKING:
    import xarray

    from shapsight.store.store import Store

SCALARS = {"predictions": "prediction", "base_values": "base_value", "completeness_gap": "completeness_gap"}
COORDINATES = ("path", "environment", "split", "label")
BY_OUTPUT = ("image", "output")


def to_xarray(store: Store) -> xarray.Dataset:
    """See `Store.to_xarray`."""
    try:
        import dask.array  # noqa: F401 (products of what is on disk wait until they are computed)
        import xarray
    except ImportError as error:
        raise MissingDependency("to_xarray needs xarray and dask: pip install 'shapsight[store]'") from error
    whole: xarray.Dataset = xarray.open_zarr(store.path, chunks={})
    found = whole.isel(image=store.images["position"].to_numpy(int))
    scales = [name for name in found if SCALE.format(name) in found]
    found = found.assign({name: found[name] * found[SCALE.format(name)] for name in scales})
    found = found.drop_vars([SCALE.format(name) for name in scales]).rename({"values": "shap_values"})
    names = np.array([list(row) for row in store.images["output"]], np.str_)
    variables: dict[str, Any] = {"output_name": (BY_OUTPUT, names)}
    for name, column in SCALARS.items():
        variables[name] = (BY_OUTPUT, np.array([list(row) for row in store.images[column]], float))
    coordinates = {
        name: ("image", store.images[name].to_numpy(np.str_)) for name in COORDINATES if name in store.images
    }
    if (names == names[0]).all() and len(set(names[0])) == len(names[0]):
        coordinates["output"] = ("output", names[0])
    result: xarray.Dataset = found.assign(variables).assign_coords(coordinates)
    return result
