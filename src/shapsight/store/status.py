"""How far a store is, in numbers."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from shapsight.store.places import skipped_file
from shapsight.store.rows import read_plan
from shapsight.store.store import Store

MOST = 12  # outputs that are named


@dataclass(frozen=True, eq=False)
class Status:
    """How far a store is.

    Attributes
        finished, planned: images. bytes: on disk, per finished image in `bytes_per_image`.
        environments: `environment`, `finished`, and the mean `error` where errors are known.
        largest_gap: largest completeness gap. stored_error: how far values are off, as a share of their largest.
        skipped: images that could not be used in the last run.
        explained: the outputs or targets that are explained, the commonest first where that differs by image.
    """

    finished: int
    planned: int
    bytes: int
    environments: pd.DataFrame
    largest_gap: float
    stored_error: float
    skipped: int
    explained: tuple[str, ...] = ()

    @property
    def bytes_per_image(self) -> float:
        """On disk."""
        return self.bytes / self.finished if self.finished else 0.0


def status(store: Store) -> Status:
    """How far a store is, how large and how exact."""
    images = store.images
    gaps = [abs(gap) for row in images["completeness_gap"] for gap in row]
    by = images.groupby("environment") if "environment" in images else None
    found = pd.DataFrame() if by is None else by.size().rename("finished").reset_index()
    if by is not None and "error" in images:
        found["error"] = by["error"].mean().to_numpy()
    file = skipped_file(store.path)
    return Status(
        len(store),
        len(read_plan(store.path)),
        sum(entry.stat().st_size for entry in _files(store.path)),
        found,
        max(gaps, default=0.0),
        float(images["stored_error"].max()) if len(images) else 0.0,
        len(pd.read_csv(file)) if file.is_file() else 0,
        tuple(
            name
            for name, _ in Counter(name for names in images["output"] for name in names).most_common(MOST)
        ),
    )


def _files(folder: Path) -> list[Path]:
    return [Path(top) / name for top, _, names in os.walk(folder) for name in names]
