"""Maskers and explainers in a file: arrays and JSON in numpy's own format, and never a pickle, which could run code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shapsight.errors import ExplainerError

Array = NDArray[Any]
KIND = "kind"


def write(out_file: Any, kind: str, parts: Mapping[str, Array]) -> None:
    """Write arrays to an open binary file, with the name of what they make."""
    arrays: dict[str, Any] = {KIND: np.array(kind), **parts}
    np.savez(out_file, **arrays)


def read(in_file: Any, kind: str) -> dict[str, Array]:
    """The arrays that `write` wrote. Raises `ExplainerError` for whatever else the file holds, pickles among it."""
    try:
        with np.load(in_file, allow_pickle=False) as held:
            parts = dict(held)
    except Exception as error:
        raise ExplainerError(
            f"this is no {kind} saved by shapsight (shap's own are pickles, which may run code): {error}"
        ) from error
    found = str(parts.pop(KIND, "something else"))
    if found != kind:
        raise ExplainerError(f"the file holds {found}, not a {kind}")
    return parts
