"""Files and folders that are there whole or not at all, however a command ends."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def part_of(path: Path) -> Path:
    """Where a file or folder is written before it is whole."""
    return path.with_name(f".{path.name}.part")


@contextmanager
def written(path: Path, *, by_many: bool = False) -> Iterator[Path]:
    """A place beside `path` to write a file or a folder in; it is moved to `path` when the block ends well.

        with written(folder / "errors.parquet") as part:
            table.to_parquet(part)

    What was at `path` before stays until then, and for good where the block raises; the part is then removed.
    `by_many` is for files that several processes may write at the same time, each in a place of its own.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part") if by_many else part_of(path)
    remove(part)
    try:
        yield part
        if part.is_dir():
            remove(path)
        part.replace(path)
    except BaseException:
        remove(part)
        raise


def write_text(path: Path, text: str) -> None:
    """Write a text in UTF-8, whole or not at all."""
    with written(path) as part:
        part.write_text(text, encoding="utf-8")


def remove(path: Path) -> None:
    """Remove a file or a folder that may not be there, or not be ours to remove."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        try:
            path.unlink()
        except OSError:
            return
