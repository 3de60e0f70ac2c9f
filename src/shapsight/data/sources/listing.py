"""What a source lists before any image is opened."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from shapsight.data.pictures import Pictures


@dataclass(frozen=True, eq=False)
class Listing:
    """The images that a source names, with all it says of them.

    Attributes
        root: the folder that paths are relative to.
        table: `path`, and a column for each thing that the source says.
        outermost: the name of an environment for images that belong to no folder.
        label: the rule that gives the class, where the source has one.
        environment: the rule that gives the environment.
        split: the rule that gives the split, where the source has one.
        numeric: columns that are targets unless the user says otherwise.
        counting: columns of numbers that count the rows or tell the time, and are no targets.
        pixels: targets in pixels, and the side that they run along, "width" or "height".
        class_names: in order, where the source knows them.
        skipped: `path` and `reason` of what is left out already.
        left_alone: files that are no images, by suffix.
        notes: sentences for the user.
        order: each row's place in the order of taking; empty where the rows are in that order already.
        expected: how the source should look, for the message where nothing in it can be used.
        targets_from, splits_from: in words, where these were found.
        pictures: the images, where they are no files; `path` holds their names, and functions are given rows.
        may_lack_targets: nothing to learn is no mistake here.
    """

    root: Path
    table: pd.DataFrame
    outermost: str
    label: str | None = None
    environment: str = "folder:1"
    split: str | None = None
    numeric: tuple[str, ...] = ()
    counting: tuple[str, ...] = ()
    pixels: dict[str, str] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()
    skipped: tuple[dict[str, str], ...] = ()
    left_alone: Counter[str] = field(default_factory=Counter)
    notes: tuple[str, ...] = ()
    order: tuple[int, ...] = ()
    expected: str = ""
    targets_from: str = ""
    splits_from: str = ""
    pictures: Pictures | None = None
    may_lack_targets: bool = False

    @property
    def is_of_rows(self) -> bool:
        """Whether functions are given rows, since `path` is a name that tells nothing."""
        return self.pictures is not None and not self.pictures.are_paths
