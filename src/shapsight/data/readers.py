"""Reading datasets: a folder of environment folders of X_Y_anything.jpg becomes a manifest."""

from __future__ import annotations

import difflib
import os
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from shapsight.data.images import SUFFIXES, Inspection, Progress, inspect_images
from shapsight.data.manifest import Manifest, no_skipped
from shapsight.errors import DataError

NUMBER = r"[-+]?\d+(?:\.\d+)?"
NAME = re.compile(rf"({NUMBER})_({NUMBER})(?:[_\-. ].*)?", re.ASCII | re.DOTALL)
EXPECTED = (
    "Expected: a folder of environments, each a folder of images whose names begin with the pixel to drive "
    "to, X_Y_anything.jpg, such as DATA/room_1/112_98_a.jpg (also .jpeg, .png, .bmp, .webp)."
)


def read_dataset(
    source: str | os.PathLike[str],
    *,
    train_on: str | Sequence[str] = "all",
    validation_share: float = 0.2,
    seed: int = 0,
    progress: Progress | None = None,
) -> Manifest:
    """Read a folder of environments, each a folder of images named `X_Y_anything.jpg`.

        manifest = read_dataset("data")                            # trains on every environment
        manifest = read_dataset("data", train_on="room_1")         # the other environments stay unseen
        manifest.table[["path", "environment", "split", "x", "y"]]

    X and Y are the target in pixels of the stored image: `x = 2 X / width - 1` (-1 left edge, +1 right),
    `y = 2 Y / height - 1` (-1 top edge, +1 bottom); `0 <= X <= width` is inside. Images directly in `source`
    form one environment named after it. In each environment of `train_on`, `validation_share` of the images
    (at least one, where there are two) is drawn for validation with `seed`; the draw in one environment does
    not depend on the others. Every image is decoded once; `progress(done, total)` follows that.

    Images that cannot be used are listed in `Manifest.skipped` with a reason. Raises `DataError` if there is
    no folder, no usable image, or no environment of that name.
    """
    root = Path(source)
    if not 0 <= validation_share < 1:
        raise DataError(
            f"validation_share={validation_share} is not a share: it must be 0 or more and below 1"
        )
    found, left_alone = _find_images(root)
    if not found:
        raise DataError(f"there is no image in {root}{_kinds(left_alone, ' (only {})')}. {EXPECTED}")
    inspections = inspect_images(root, [path for path, _ in found], progress=progress)
    rows, skipped = [], []
    for (path, environment), inspection in zip(found, inspections, strict=True):
        target = _target(path, inspection)
        if isinstance(target, str):
            printable = path.encode(errors="backslashreplace").decode()
            skipped.append({"path": printable, "reason": target})
        else:
            rows.append((path, environment, "unseen", inspection.width, inspection.height, *target))
    if not rows:
        raise DataError(
            f"none of the {len(found)} images in {root} can be used: {_tally(skipped)}. {EXPECTED}"
        )
    table = pd.DataFrame(rows, columns=["path", "environment", "split", "width", "height", "x", "y"])
    trained = _environments_to_train_on(train_on, table, {environment for _, environment in found})
    table["split"] = _split(table["environment"].to_numpy(), trained, validation_share, seed)
    return Manifest(
        root=root,
        table=table,
        targets=("x", "y"),
        skipped=pd.DataFrame(skipped) if skipped else no_skipped(),
        notes=tuple(_notes(table, inspections, skipped, left_alone)),
        train_on=trained,
    )


def _find_images(root: Path) -> tuple[list[tuple[str, str]], Counter[str]]:
    """Each image's path with its environment, sorted, and how many other files there are by suffix."""
    if not root.exists():
        raise DataError(f"there is nothing at {root}. {EXPECTED}")
    if not root.is_dir():
        raise DataError(f"{root} is a file, not a folder. {EXPECTED}")
    found, left_alone = [], Counter[str]()
    for folder, environment in _folders(root):
        for file in folder.iterdir():
            if file.name.startswith(".") or file.is_dir():  # hidden: .DS_Store, ._112_98_a.jpg are no images
                continue
            if file.suffix.lower() in SUFFIXES:
                found.append((file.relative_to(root).as_posix(), environment))
            else:
                left_alone[file.suffix.lower() or "without a suffix"] += 1
    return sorted(found), left_alone


def _folders(root: Path) -> Iterator[tuple[Path, str]]:
    """Every folder to look into, with the environment that its images belong to."""
    yield root, root.resolve().name
    for entry in root.iterdir():  # may be links to folders elsewhere; deeper links are not followed
        if entry.is_dir() and not entry.name.startswith("."):
            for folder, subfolders, _ in os.walk(entry):
                subfolders[:] = [name for name in subfolders if not name.startswith(".")]
                yield Path(folder), entry.name


def _target(path: str, inspection: Inspection) -> tuple[float, float] | str:
    """The scaled target that the name gives, or why the image cannot be used."""
    if inspection.reason is not None:
        return inspection.reason
    if path.encode(errors="replace").decode() != path:  # undecodable bytes cannot be written to a table
        return "the file name is not valid UTF-8"
    match = NAME.fullmatch(Path(path).stem)
    if match is None:
        return "the name does not begin with two numbers, X_Y_, such as 112_98_a.jpg"
    scaled = []
    for axis, number, extent in zip("XY", match.groups(), (inspection.width, inspection.height), strict=True):
        if not 0 <= float(number) <= extent:
            side = "wide" if axis == "X" else "high"
            return f"{axis} = {number} lies outside the image, which is {extent} pixels {side}"
        scaled.append(2 * float(number) / extent - 1)
    return scaled[0], scaled[1]


def _environments_to_train_on(
    train_on: str | Sequence[str], table: pd.DataFrame, folders: set[str]
) -> tuple[str, ...]:
    usable = sorted(table["environment"].unique())
    if "all" in usable:
        raise DataError('no environment can be called "all", the word for every one: rename that folder')
    if train_on == "all":
        return tuple(usable)
    wanted = [train_on] if isinstance(train_on, str) else list(dict.fromkeys(train_on))
    if not wanted:
        raise DataError(f"train_on names no environment; there are {', '.join(usable)}")
    for name in wanted:
        if name not in usable:
            nearest = difflib.get_close_matches(name, usable, n=len(usable), cutoff=0)
            why = "has no usable image" if name in folders else "does not exist"
            raise DataError(
                f"the environment {name!r} to train on {why}; there are {', '.join(nearest)} (or all)"
            )
    return tuple(wanted)


def _split(environments: np.ndarray, trained: Sequence[str], share: float, seed: int) -> list[str]:
    splits = np.full(len(environments), "unseen", dtype=object)
    for environment in trained:
        rows = np.flatnonzero(environments == environment)
        held_out = min(max(round(share * len(rows)), int(share > 0)), len(rows) - 1)
        shuffled = np.random.default_rng([seed, zlib.crc32(environment.encode())]).permutation(rows)
        splits[shuffled[:held_out]] = "validation"
        splits[shuffled[held_out:]] = "train"
    return splits.tolist()


def _notes(
    table: pd.DataFrame,
    inspections: list[Inspection],
    skipped: list[dict[str, str]],
    left_alone: Counter[str],
) -> list[str]:
    notes = []
    if table["environment"].nunique() == 1:
        name = table["environment"].iloc[0]
        notes.append(f"There is one environment only ({name}): nothing unseen is left to test on.")
    elif not (table["split"] == "unseen").any():
        notes.append("Every environment is trained on: nothing unseen is left to test on.")
    if not (table["split"] == "validation").any():
        notes.append("There are no validation images, so the best epoch is judged by the training loss.")
    if skipped:
        notes.append(f"{_images(len(skipped))} left out: {_tally(skipped)}.")
    if rotated := sum(inspection.has_orientation for inspection in inspections):
        carry = "carries an" if rotated == 1 else "carry an"
        notes.append(
            f"{_images(rotated)} {carry} EXIF orientation, which is not applied: "
            "targets refer to the stored pixels."
        )
    sizes = Counter(zip(table["width"], table["height"], strict=True))
    if len(sizes) > 1:
        several = ", ".join(f"{width} × {height} ({n})" for (width, height), n in sizes.most_common(4))
        notes.append(
            f"The images have {len(sizes)} sizes, {several}: each target is scaled by its own image."
        )
    if left_alone:
        notes.append(f"Files that are no images were passed over: {_kinds(left_alone, '{}')}.")
    return notes


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count} images"


def _tally(skipped: list[dict[str, str]]) -> str:
    """Reasons with their number, the commonest first: "3 × the file is empty (0 bytes); 1 × …"."""
    reasons = Counter(entry["reason"] for entry in skipped).most_common()
    shown = "; ".join(f"{count} × {reason}" for reason, count in reasons[:3])
    return shown if len(reasons) <= 3 else f"{shown}; and {len(reasons) - 3} reasons more, see skipped.csv"


def _kinds(suffixes: Counter[str], template: str) -> str:
    listed = ", ".join(f"{count} {suffix}" for suffix, count in suffixes.most_common(4))
    return template.format(listed) if listed else ""
