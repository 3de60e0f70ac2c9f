"""Folders of images: names that hold targets, `{x}_{y}_{id}.jpg`, or folders that are classes."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pandas as pd

from shapsight.data.decoding import SUFFIXES
from shapsight.data.sources.listing import Listing
from shapsight.data.splits import SPLIT_WORDS
from shapsight.errors import DataError

NUMBER = r"[-+]?\d+(?:\.\d+)?"
X_Y = re.compile(rf"(?P<x>{NUMBER})_(?P<y>{NUMBER})(?:[_\-. ].*)?", re.ASCII | re.DOTALL)
WORDS = ("environment", "split", "label", "group")  # fields that are what they are called
IDS = ("id", "name", "time", "_")
EXPECTED = (
    "Expected: a folder of environments, each a folder of images whose names begin with the pixel to drive "
    "to, X_Y_anything.jpg, such as DATA/room_1/112_98_a.jpg (also .jpeg, .png, .bmp, .webp); or, with "
    "--task classification, a folder of images for each class."
)


def are_classes(root: Path) -> bool:
    """Whether the folders are classes: two or more hold images, and no name begins with X_Y_."""
    found, _ = find_images(root)
    folders = {PurePosixPath(path).parts[0] for path in found if "/" in path}
    return len(folders) > 1 and not any(X_Y.match(PurePosixPath(path).stem) for path in found)


def list_names(root: Path, pattern: str | None) -> Listing:
    """Images whose names hold their targets; those whose names do not are left out with a reason."""
    found, left_alone = find_images(root)
    _refuse_none(root, found, left_alone)
    compiled = X_Y if pattern is None else compile_pattern(pattern)
    rows, skipped = [], []
    for path in found:
        if path.encode(errors="replace").decode() != path:  # bytes that no table can hold
            printable = path.encode(errors="backslashreplace").decode()
            skipped.append({"path": printable, "reason": "the file name is not valid UTF-8"})
            continue
        whole = str(PurePosixPath(path).with_suffix(""))
        match = compiled.fullmatch(whole if pattern and "/" in pattern else PurePosixPath(path).stem)
        if match is None:
            skipped.append({"path": path, "reason": _reason(pattern)})
        else:
            rows.append({"path": path} | match.groupdict())
    fields = [name for name in compiled.groupindex if not name.startswith("_")]
    numeric = tuple(name for name in fields if name not in (*WORDS, *IDS))
    return Listing(
        root,
        pd.DataFrame(rows, columns=["path", *fields]),
        root.resolve().name,
        environment="column:environment" if "environment" in fields else "folder:1",
        split="column:split" if "split" in fields else None,
        label="column:label" if "label" in fields else None,
        numeric=numeric,
        pixels={name: side for name, side in {"x": "width", "y": "height"}.items() if name in numeric},
        skipped=tuple(skipped),
        left_alone=left_alone,
    )


def list_classes(root: Path, *, has_rule: bool = False) -> Listing:
    """A folder of images for each class; `train`, `val` and `test` folders above them are the splits.

    With a rule of the user's own for the label, images need not lie in a class folder.
    """
    found, left_alone = find_images(root)
    _refuse_none(root, found, left_alone)
    table = pd.DataFrame({"path": found})
    first = {PurePosixPath(path).parts[0] for path in found if "/" in path}
    are_splits = bool(first) and first <= set(SPLIT_WORDS)
    level = 2 if are_splits else 1
    bare = [] if has_rule else [path for path in found if path.count("/") < level]
    reason = "it lies in no class folder"
    return Listing(
        root,
        table[~table["path"].isin(bare)].reset_index(drop=True),
        root.resolve().name,
        label=f"folder:{level}",
        environment=f"folder:{99}",  # no path is so deep: one environment, named after the dataset
        split="folder:1" if are_splits else None,
        skipped=tuple({"path": path, "reason": reason} for path in bare),
        left_alone=left_alone,
    )


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """The expression of a name pattern such as `{x}_{y}_{id}`; fields that are targets take numbers only.

    Raises `DataError` for a pattern without a field, or with one twice.
    """
    parts = re.split(r"\{(\w*)\}", pattern.removesuffix(".jpg").removesuffix(".png"))
    names = [name for name in parts[1::2] if name]
    if not parts[1::2] or len(set(names)) < len(names) or any(not name.isidentifier() for name in names):
        raise DataError(
            f"{pattern!r} is no name pattern: write fields in braces, each once, as in {{x}}_{{y}}_{{id}}"
        )
    text = ""
    for number, part in enumerate(parts):
        if number % 2 == 0:
            text += re.escape(part)
        elif part in WORDS or part in IDS or not part:
            text += f"(?P<{part}>.+?)" if part and not part.startswith("_") else ".+?"
        else:
            text += f"(?P<{part}>{NUMBER})"
    return re.compile(text, re.ASCII | re.DOTALL)


def find_images(root: Path) -> tuple[list[str], Counter[str]]:
    """Each image's path below `root`, sorted, and how many other files there are by suffix."""
    if not root.exists():
        raise DataError(f"there is nothing at {root}. {EXPECTED}")
    if not root.is_dir():
        raise DataError(f"{root} is a file, not a folder. {EXPECTED}")
    found, left_alone = [], Counter[str]()
    for folder in _folders(root):
        for file in folder.iterdir():
            if file.name.startswith(".") or file.is_dir():  # hidden: .DS_Store, ._112_98_a.jpg are no images
                continue
            if file.suffix.lower() in SUFFIXES:
                found.append(file.relative_to(root).as_posix())
            else:
                left_alone[file.suffix.lower() or "without a suffix"] += 1
    return sorted(found), left_alone


def _folders(root: Path) -> Iterator[Path]:
    yield root
    for entry in root.iterdir():  # may be links to folders elsewhere; deeper links are not followed
        if entry.is_dir() and not entry.name.startswith("."):
            for folder, subfolders, _ in os.walk(entry):
                subfolders[:] = [name for name in subfolders if not name.startswith(".")]
                yield Path(folder)


def _refuse_none(root: Path, found: list[str], left_alone: Counter[str]) -> None:
    if not found:
        only = ", ".join(f"{count} {suffix}" for suffix, count in left_alone.most_common(4))
        raise DataError(f"there is no image in {root}{f' (only {only})' if only else ''}. {EXPECTED}")


def _reason(pattern: str | None) -> str:
    if pattern is None:
        return "the name does not begin with two numbers, X_Y_, such as 112_98_a.jpg"
    return f"the name does not fit the pattern {pattern}"
