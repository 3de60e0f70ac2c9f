"""Results that are made once: kept under a key of all that they depend on, and read again where nothing changed.

A result is written with `data.written_files.written`, under a name that holds its key, or with the key inside; what is
read is that result or nothing. Trials of a cure, findings of a diagnosis and explanations are kept in this way.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

Result = TypeVar("Result")
# What reading a file raises that is damaged, or was written by something else.
DAMAGED = (OSError, ValueError, KeyError, TypeError, AttributeError, pa.ArrowException)


def digest(content: Any) -> str:
    """sha256 of plain content (lists, dicts, numbers, texts): the same for the same content."""
    return hashlib.sha256(json.dumps(content, default=str, sort_keys=True).encode()).hexdigest()


def kept(path: Path, read: Callable[[Path], Result | None]) -> Result | None:
    """What `read` makes of a file or folder; None where there is nothing, or something damaged, to be made again."""
    try:
        return read(path)
    except DAMAGED:
        return None
