"""Tubs, the folders in which Donkeycar records drives: an image with an angle and a throttle for each record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from shapsight.data.given_files import parsed_json, refuse_endless
from shapsight.data.sources.listing import Listing
from shapsight.data.sources.names import natural
from shapsight.errors import DataError

IMAGE = "cam/image_array"
TARGETS = {"user/angle": "angle", "user/throttle": "throttle"}
EXPECTED = "Expected: a tub of Donkeycar, whose records name an image, an angle and a throttle."
ALIKE = "Frames of one drive look alike: --group block:50 keeps neighbours in one split."


def is_tub(path: Path) -> bool:
    """A folder that Donkeycar recorded into, or one that holds such folders."""
    return bool(_tubs(path))


def list_tubs(path: Path) -> Listing:
    """The records of a tub, or of every tub in a folder: each tub is an environment.

    Records that were deleted in the tub are left out. Raises `DataError` for a damaged manifest.
    """
    rows: list[dict[str, Any]] = []
    skipped: list[dict[str, str]] = []
    for tub in _tubs(path):
        folder = tub / "images" if (tub / "images").is_dir() else tub
        deleted = _deleted(tub)
        for where, record in _records(tub):
            name = record.get(IMAGE) if isinstance(record, dict) else None
            if not isinstance(name, str):
                skipped.append({"path": where, "reason": f"the record names no image ({IMAGE})"})
            elif isinstance(record.get("_index"), int) and record["_index"] in deleted:
                skipped.append({"path": name, "reason": "it was deleted in the tub"})
            else:
                place = (folder / Path(name).name).relative_to(path).as_posix()
                values = {target: record.get(key) for key, target in TARGETS.items()}
                rows.append({"path": place, "environment": tub.resolve().name, **values})
    return Listing(
        path,
        pd.DataFrame(rows, columns=["path", "environment", *TARGETS.values()]),
        path.resolve().name,
        environment="column:environment",
        numeric=tuple(TARGETS.values()),
        skipped=tuple(skipped),
        notes=(ALIKE,),
        expected=EXPECTED,
        targets_from="a tub's user/angle and user/throttle",
    )


def _tubs(path: Path) -> list[Path]:
    if not path.is_dir():
        return []
    if _is_one(path):
        return [path]
    return sorted(folder for folder in path.iterdir() if folder.is_dir() and _is_one(folder))


def _is_one(folder: Path) -> bool:
    """catalog_0.catalog beside manifest.json, or record_1.json as older versions write."""
    return any(folder.glob("catalog_*.catalog")) or any(folder.glob("record_*.json"))


def _records(tub: Path) -> list[tuple[str, Any]]:
    """Each record, with where it stands; what is no JSON is None."""
    files = sorted(
        [*tub.glob("catalog_*.catalog"), *tub.glob("record_*.json")], key=lambda file: natural(file.name)
    )
    found = []
    for file in files:
        text = _text(file)
        lines = text.splitlines() if file.suffix == ".catalog" else [text]
        found += [
            (f"{file.name}, record {n}", _json(line)) for n, line in enumerate(lines, 1) if line.strip()
        ]
    return found


def _deleted(tub: Path) -> set[int]:
    """The numbers of deleted records, in the last line of the manifest."""
    manifest = tub / "manifest.json"
    if not manifest.is_file():
        return set()
    lines = _text(manifest).splitlines()
    last = _json(lines[-1]) if lines else None
    deleted = last.get("deleted_indexes", []) if isinstance(last, dict) else None
    if not isinstance(deleted, list):
        raise DataError(f"{manifest} is damaged: its last line does not say which records were deleted")
    return {number for number in deleted if isinstance(number, int)}


def _text(file: Path) -> str:
    """A file of records; bytes that are no text make a record unreadable, not all of them."""
    try:
        refuse_endless(file)
        return file.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise DataError(f"{file} cannot be opened: {(error.strerror or str(error)).lower()}") from error


def _json(text: str) -> Any:
    try:
        return parsed_json(text)
    except ValueError:
        return None
