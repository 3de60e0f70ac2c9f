"""The photographs of jetracer_rooms with one label each: of room_3's pairs the one labelled far ahead, as elsewhere.

    python far_labels.py photographs photographs_far

room_3 holds every photograph twice, X_Y_photograph.jpg, with two labels (docs/story.md); the far one lies higher.
Copies ("... copy.jpg") are left out. Rooms 1 and 2 stay as they are.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path


def far_labels(photographs: Path) -> list[Path]:
    """The files that stay: of those with one photograph in their name the one with the smallest Y."""
    kept: dict[tuple[str, str], Path] = {}
    for path in sorted(photographs.rglob("*.jpg")):
        if "copy" in path.stem:
            continue
        photograph = (path.parent.name, path.stem.split("_", 2)[2])
        if photograph not in kept or height_of(path) < height_of(kept[photograph]):
            kept[photograph] = path
    return list(kept.values())


def height_of(path: Path) -> int:
    """The row of the label, in pixels from the top."""
    return int(path.stem.split("_")[1])


if __name__ == "__main__":
    source, destination = map(Path, sys.argv[1:])
    for path in far_labels(source):
        file = destination / path.relative_to(source)
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, file)
