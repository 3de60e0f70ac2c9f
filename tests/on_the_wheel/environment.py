"""An environment that holds a wheel and what it asks for, and nothing else.

What it asks for is linked from the environment that this runs in, file by file as its libraries list them, so that
seven gigabytes are neither fetched nor copied. Only the wheel itself is installed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def empty(folder: Path, asked: Iterable[Requirement]) -> Path:
    """A virtual environment with some libraries, and all that these need."""
    venv.create(folder, with_pip=False)
    (site,) = folder.glob("lib/python*/site-packages")
    for library in needed(asked):
        for file in library.files or ():
            if ".." not in file.parts:  # commands are not needed
                target = site / file
                target.parent.mkdir(parents=True, exist_ok=True)
                if not target.exists():  # a file that several libraries bring
                    os.link(os.fspath(file.locate()), target)
    return folder


def install(wheel: Path, folder: Path) -> None:
    """Put a wheel into an environment, without looking anywhere for more."""
    command = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", "--quiet"]
    subprocess.run([*command, "--no-deps", "--no-index", str(wheel)], check=True)


def needed(asked: Iterable[Requirement]) -> Iterator[metadata.Distribution]:
    """Libraries as they are installed here, with those that they need, each once."""
    waiting, seen = [(need, extra) for need in asked for extra in ("", *need.extras)], set()
    while waiting:
        need, extra = waiting.pop()
        name = canonicalize_name(need.name)
        if (name, extra) in seen:
            continue
        library = metadata.distribution(name)
        if not any(name == other for other, _ in seen):
            yield library
        seen.add((name, extra))
        for line in library.requires or ():
            further = Requirement(line)
            if further.marker is None or further.marker.evaluate({"extra": extra}):
                waiting += [(further, each) for each in ("", *further.extras)]
