"""Where the parts of a store lie.

explanations.zarr/
  zarr.json                      the Zarr group; its attributes are the card
  values/ images/ ...            Zarr arrays, the image first; a file holds a block of images, each a chunk by itself
  table/zarr.json                a group without arrays, so that readers of Zarr pass it over
  table/plan.parquet             the path of every image, in the order of the arrays
  table/rows/00000012.parquet    a row for each finished image of block 12; written last, so what has a row is whole
  table/skipped.csv              images that could not be used in the last run
  table/locks/                   who works on what
  table/begun/00000012           a byte for each process that was killed while it explained block 12
"""

from __future__ import annotations

from pathlib import Path

TABLE = "table"


def plan_file(store: Path) -> Path:
    """The path of every image, in the order of the arrays."""
    return store / TABLE / "plan.parquet"


def rows_file(store: Path, block: int) -> Path:
    """The rows of a block's finished images."""
    return store / TABLE / "rows" / f"{block:08}.parquet"


def rows_files(store: Path) -> list[Path]:
    """Those of all blocks that have any, in order."""
    return sorted((store / TABLE / "rows").glob("[0-9]*.parquet"))


def skipped_file(store: Path) -> Path:
    """Images that could not be used."""
    return store / TABLE / "skipped.csv"


def lock_file(store: Path, name: str) -> Path:
    """What a process holds while it works on a part."""
    return store / TABLE / "locks" / name


def begun_file(store: Path, block: int) -> Path:
    """What tells that a process explains a block, or was killed while it did."""
    return store / TABLE / "begun" / f"{block:08}"
