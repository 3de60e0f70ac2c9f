"""`shap.sample` and `shap.utils`: a random choice of images, such as the references of an explainer."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

from shapsight.compat.shap.not_offered import not_offered
from shapsight.compat.shap.operations import OpChain

__all__ = ["OpChain", "sample"]
Images = TypeVar("Images")


def sample(X: Images, nsamples: int = 100, random_state: int = 0) -> Images:  # noqa: N803 (shap's name)
    """Some rows of an array or tensor, drawn without replacement; all of them if there are no more.

        background = shap.sample(X, 100)

    The same rows as `shap.sample` with the same `random_state`.
    """
    rows: Any = X
    if nsamples >= len(rows):
        return X
    order = np.arange(len(rows))
    np.random.RandomState(random_state).shuffle(order)
    chosen = order[:nsamples]
    if isinstance(X, list):
        return [rows[row] for row in chosen]  # type: ignore[return-value]
    result: Images = rows[chosen]
    return result


def __getattr__(name: str) -> Any:
    raise not_offered(__name__, "shap.utils", name)
