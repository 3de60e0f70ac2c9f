"""Lightning's loggers, by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from shapsight.errors import MissingDependency, ModelError

LOGGERS = ("csv", "tensorboard")


def logger_option(name: str | None, checkpoints: Path | None) -> dict[str, Any]:
    """What Lightning's Trainer is given for "csv" or "tensorboard": a log in `logs` beside the checkpoints.

    Raises `ModelError` for another name, `MissingDependency` where TensorBoard is not installed.
    """
    if name is None:
        return {}
    if name not in LOGGERS:
        raise ModelError(f"there is no logger called {name!r}, only {' and '.join(LOGGERS)}")
    from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

    folder = (checkpoints.parent if checkpoints is not None else Path()) / "logs"
    try:
        return {"logger": (CSVLogger if name == "csv" else TensorBoardLogger)(folder, name="")}
    except ModuleNotFoundError as error:
        raise MissingDependency(f"--logger {name} needs a library: pip install tensorboard") from error
