"""Files that people give: what never ends is not opened, and JSON is held against what it should say."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

if TYPE_CHECKING:
    import pyarrow as pa

LARGEST = 1e300  # beyond that sums and products overflow
Kind = Callable[[object], bool]


def refuse_endless(path: Path) -> None:
    """Raise `OSError` for a pipe, a socket or a device, which could keep a reader waiting for ever."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise OSError(errno.EINVAL, "it is a pipe, a socket or a device, not a file", str(path))


def is_file(path: Path) -> bool:
    """Whether there is such a file; not where no file can have such a name, which `Path.is_file` may raise on."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: Path) -> bool:
    """Whether there is such a folder, in the same way."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def read_text(path: Path) -> str:
    """A text in UTF-8, with or without a byte order mark. Raises `OSError`, or `ValueError` for other bytes."""
    refuse_endless(path)
    return path.read_text(encoding="utf-8-sig")


def read_json(path: Path) -> Any:
    """What a JSON file holds. Raises `OSError` or `ValueError`."""
    return parsed_json(read_text(path))


def parsed_json(text: str) -> Any:
    """What a text of JSON says. Raises `ValueError`, also where it is nested too deeply to be read."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def read_parquet(path: Path) -> pa.Table:
    """A Parquet file, wholly checked: of texts that are no UTF-8 Arrow complains only when they are looked at.

    Raises `OSError` or `pa.ArrowException`.
    """
    import pyarrow.parquet as pq  # explainers read JSON by this module too, and need no pyarrow

    refuse_endless(path)
    table = pq.read_table(path)
    table.validate(full=True)
    return table


def misfit(content: object, kinds: Mapping[str, Kind]) -> str | None:
    """The first field of a JSON object that is not of its kind, in words; None where all are.

        misfit({"size": "a"}, {"size": is_whole})        # "size is 'a'"

    A field that is missing counts as None.
    """
    if not isinstance(content, Mapping):
        return "it is no JSON object"
    wrong = next((name for name, is_right in kinds.items() if not is_right(content.get(name))), None)
    return None if wrong is None else f"{wrong} is {content.get(wrong)!r:.60}"


def is_text(value: object) -> bool:
    """A text that can be written as UTF-8."""
    return isinstance(value, str) and value.encode(errors="replace").decode() == value


def is_number(value: object) -> TypeGuard[int | float]:
    """A finite number that float64 can hold, no boolean."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < LARGEST  # which NaN is not


def is_whole(value: object) -> bool:
    """A whole number that fits 63 bits."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def is_count(value: object) -> bool:
    """A whole number of 0 or more."""
    return isinstance(value, int) and is_whole(value) and value >= 0


def is_mapping(value: object) -> bool:
    """An object of JSON."""
    return isinstance(value, Mapping)


def are(kind: Kind) -> Kind:
    """Lists of that kind."""
    return lambda value: isinstance(value, list | tuple) and all(map(kind, value))


def or_none(kind: Kind) -> Kind:
    """That kind, or null, or nothing."""
    return lambda value: value is None or kind(value)
