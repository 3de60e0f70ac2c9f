"""Folders of images: names that hold targets, `{x}_{y}_{id}.jpg`, or folders that are classes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from shapsight.data.image_files import find_images, left_out_by_kind
from shapsight.data.rules import NOWHERE, Rules
from shapsight.data.sources.listing import Listing
from shapsight.data.sources.names import (
    IDS,
    WORDS,
    X_Y,
    compile_pattern,
    key_of_taking,
    likely_pattern,
)
from shapsight.data.splits import split_names
from shapsight.data.stored import bare
from shapsight.errors import DataError, NoImagesError

EXPECTED = (
    "Expected: a folder of environments, each a folder of images whose names begin with the pixel to drive "
    "to, X_Y_anything.jpg, such as DATA/room_1/112_98_a.jpg (also .png, .tif and other images); or, with "
    "--task classification, a folder of images for each class. In Python, targets=[] reads images without targets."
)
PERCENT = (
    "The names are JetBot's, xy_X_Y_id, and were read as pixels, but no number is above 100: if they are percent of "
    "the image, as JetBot's first notebooks wrote them, add --scale x=0:100 --scale y=0:100."
)
NONE_GIVEN = Rules()


@dataclass(frozen=True)
class SplitFolders:
    """The level of folders, from 0, that are splits; empty names where there is none."""

    level: int = -1
    names: dict[str, str] = field(default_factory=dict)

    def of(self, path: str) -> str | None:
        """The split of an image."""
        folders = PurePosixPath(path).parts[:-1]
        return self.names.get(folders[self.level]) if 0 <= self.level < len(folders) else None


def are_classes(root: Path, rules: Rules = NONE_GIVEN) -> bool:
    """Whether the folders are classes: two or more hold images, and their names hold no targets.

    Raises `DataError` where that is not clear.
    """
    found, _ = _found(root)
    splits = find_splits(found, rules)
    level = _first_level(found, splits)
    folders = {name for path in found if (name := _folder(path, level)) is not None}
    stems = [bare(path).name for path in found]
    matching = sum(X_Y.fullmatch(stem) is not None for stem in stems)
    if len(folders) > 1 and 0 < matching < len(stems) / 2:
        raise DataError(
            f"{matching} of the {len(stems)} names in {root} begin with two numbers, X_Y_, and the others do not: say "
            "--task regression to learn these numbers, or --task classification if the folders are classes"
        )
    if not matching:
        _refuse_targets_unread(root, stems)
    return len(folders) > 1 and not matching


def list_names(root: Path, pattern: str | None, rules: Rules = NONE_GIVEN) -> Listing:
    """Images whose names hold their targets; those whose names do not are left out with a reason."""
    found, left_alone = _found(root)
    stems = [bare(path).name for path in found]
    if pattern is None and not any(map(X_Y.fullmatch, stems)):
        _refuse_targets_unread(root, stems)
    compiled = X_Y if pattern is None else compile_pattern(pattern)
    fields = [name for name in compiled.groupindex if not name.startswith("_")]
    splits = SplitFolders() if "split" in fields else find_splits(found, rules)
    rows, skipped, keys = [], [], []
    for path in found:
        whole = str(bare(path))
        is_whole = bool(pattern and "/" in pattern)
        match = compiled.fullmatch(whole if is_whole else bare(path).name)
        reason = _unreadable_name(path) or _unsplit(path, splits) or _reason(pattern)
        if _unreadable_name(path) or _unsplit(path, splits) or match is None:
            skipped.append({"path": _printable(path), "reason": reason})
            continue
        rows.append({"path": path} | match.groupdict() | _split_column(path, splits))
        targets = [] if is_whole else [match.span(name) for name in fields if name not in (*WORDS, *IDS)]
        keys.append(key_of_taking(path, targets))
    numeric = tuple(name for name in fields if name not in (*WORDS, *IDS))
    columns = ["path", *fields, *(["split"] if splits.names else [])]
    level = _first_level(found, splits)
    return Listing(
        root,
        pd.DataFrame(rows, columns=columns),
        root.resolve().name,
        environment="column:environment" if "environment" in fields else f"folder:{level + 1}",
        split="column:split" if "split" in columns else None,
        label="column:label" if "label" in fields else None,
        numeric=numeric,
        pixels={name: side for name, side in {"x": "width", "y": "height"}.items() if name in numeric},
        skipped=tuple(skipped),
        left_alone=left_alone,
        notes=_percent(rows) if pattern is None else (),
        order=_ranks(keys),
        expected=EXPECTED,
        targets_from=f"the names, {pattern or 'X_Y_anything'}",
        splits_from=_said(splits),
    )


def list_classes(root: Path, rules: Rules = NONE_GIVEN) -> Listing:
    """A folder of images for each class; `train`, `val` and `test` folders above or below them are the splits.

    With a rule of the user's own for the label, images need not lie in a class folder.
    """
    found, left_alone = _found(root)
    splits = find_splits(found, rules)
    level = _first_level(found, splits)
    kept: list[str] = []
    skipped = []
    for path in found:
        reason = _unreadable_name(path) or _unsplit(path, splits)
        if reason is None and rules.label is None and _folder(path, level) is None:
            reason = "it lies in no class folder"
        if reason is None:
            kept.append(path)
        else:
            skipped.append({"path": _printable(path), "reason": reason})
    return Listing(
        root,
        pd.DataFrame(
            {"path": kept} | ({"split": [splits.of(path) for path in kept]} if splits.names else {})
        ),
        root.resolve().name,
        label=f"folder:{level + 1}",
        environment=NOWHERE,
        split="column:split" if splits.names else None,
        skipped=tuple(skipped),
        left_alone=left_alone,
        order=_ranks([key_of_taking(path, ()) for path in kept]),
        expected=EXPECTED,
        splits_from=_said(splits),
    )


def list_images(root: Path, rules: Rules = NONE_GIVEN) -> Listing:
    """A folder of images of which nothing is to be learned; its folders are environments."""
    listing = list_classes(root, replace(rules, label=rules.label or NOWHERE))
    return replace(listing, label=None, environment=listing.label or NOWHERE)


def find_splits(paths: Sequence[str], rules: Rules = NONE_GIVEN) -> SplitFolders:
    """The folders that are splits: `train` and `test` in any spelling, at the first level where there are such.

    Beside them, in the outermost folder, others may lie that are no splits. A level that is the user's label or
    environment is not looked at, and where the user has a rule for the splits, that one holds.
    """
    depth = max((path.count("/") for path in paths), default=0)
    is_outermost = True
    for level in range(depth):
        names = {name for path in paths if (name := _folder(path, level)) is not None}
        rule = f"folder:{level + 1}"
        if rules.split == rule:
            return SplitFolders(level, {name: name for name in names})
        found = split_names(names)
        is_whole = found.keys() == names and all(path.count("/") > level for path in paths)
        is_clear = len(set(found.values())) > 1 and (is_outermost or is_whole)
        are_all = bool(found) and found.keys() == names and level == 0
        if rules.split is None and rule not in (rules.label, rules.environment) and (is_clear or are_all):
            return SplitFolders(level, found)
        is_outermost &= len(names) == 1
    return SplitFolders()


def _found(root: Path) -> tuple[list[str], Counter[str]]:
    try:
        found, left_alone = find_images(root)
    except DataError as error:
        raise NoImagesError(f"{error}. {EXPECTED}") from error
    if not found:
        only = f" (only {left_out_by_kind(left_alone)})" if left_alone else ""
        raise NoImagesError(f"there is no image in {root}{only}. {EXPECTED}")
    return found, left_alone


def _first_level(paths: Sequence[str], splits: SplitFolders) -> int:
    """The level of the folders that are classes or environments: below or above those that are splits."""
    if not splits.names:
        return 0
    inside = [path for path in paths if splits.of(path) is not None]
    levels = []
    for level in range(max(path.count("/") for path in inside)):
        names = {name for path in inside if (name := _folder(path, level)) is not None}
        if level != splits.level and len(set(split_names(names).values())) < 2:
            levels.append((level, len(names)))
    several = [level for level, count in levels if count > 1]
    below = [level for level, _ in levels if level > splits.level]
    return (several or below or [splits.level + 1])[0]


def _folder(path: str, level: int) -> str | None:
    folders = PurePosixPath(path).parts[:-1]
    return folders[level] if level < len(folders) else None


def _split_column(path: str, splits: SplitFolders) -> dict[str, str]:
    return {"split": splits.of(path) or ""} if splits.names else {}


def _unsplit(path: str, splits: SplitFolders) -> str | None:
    if not splits.names or splits.of(path) is not None:
        return None
    return f"it lies beside the split folders {', '.join(sorted(splits.names))}, in none of them"


def _printable(path: str) -> str:
    return path.encode(errors="backslashreplace").decode()


def _unreadable_name(path: str) -> str | None:
    is_text = path.encode(errors="replace").decode() == path  # otherwise bytes that no table can hold
    return None if is_text else "the file name is not valid UTF-8"


def _said(splits: SplitFolders) -> str:
    return f"the folders {', '.join(sorted(splits.names))}" if splits.names else ""


def _ranks(keys: Sequence[tuple[object, ...]]) -> tuple[int, ...]:
    """Each row's place in the order of the keys."""
    order = sorted(range(len(keys)), key=lambda row: keys[row])
    return tuple(int(place) for place in np.argsort(order))


def _percent(rows: Sequence[dict[str, str]]) -> tuple[str, ...]:
    is_jetbot = all(re.match("xy_", PurePosixPath(str(row["path"])).name, re.I) for row in rows)
    return (
        (PERCENT,)
        if rows and is_jetbot and all(float(row[name] or 0) <= 100 for row in rows for name in ("x", "y"))
        else ()
    )


def _refuse_targets_unread(root: Path, stems: Sequence[str]) -> None:
    """Names that seem to hold targets, in another way than X_Y_, are not taken for anything else."""
    pattern = likely_pattern(stems)
    if pattern is not None:
        raise DataError(
            f"the names in {root} look as if they held targets, such as {stems[0]}, but do not begin with X_Y_: read "
            f"them with --pattern '{pattern}', or say --task classification if the folders are classes"
        )


def _reason(pattern: str | None) -> str:
    if pattern is None:
        return "the name does not begin with two numbers, X_Y_, such as 112_98_a.jpg"
    return f"the name does not fit the pattern {pattern}"
