"""`shap.links`: only the identity, in which values are in the unit of the output."""

from __future__ import annotations

from typing import Any

from shapsight.compat.shap.not_offered import not_offered


def identity(x: Any) -> Any:
    """The same number."""
    return x


def __getattr__(name: str) -> Any:
    raise not_offered(__name__, "shap.links", name)
