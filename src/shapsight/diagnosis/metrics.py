"""torchmetrics, where it is installed: what every figure of an evaluation comes from."""

from __future__ import annotations

from typing import Any

from shapsight.errors import MissingDependency


def functional() -> Any:
    """`torchmetrics.functional`. Raises `MissingDependency` without it."""
    try:
        import torchmetrics.functional as functions
    except ModuleNotFoundError as error:
        raise MissingDependency(
            "evaluation needs torchmetrics, which is not installed: pip install 'shapsight[train]'"
        ) from error
    return functions
