"""Modules that users name, such as `my_networks:Steering`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType


def imported(module_name: str) -> ModuleType:
    """A module, looked for as Python does, and in the working folder first. Raises `ModuleNotFoundError`."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        return importlib.import_module(module_name)
    finally:
        sys.path.remove(here)
