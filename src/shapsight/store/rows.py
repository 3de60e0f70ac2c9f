"""The rows of finished images: Parquet files, one a block, each whole or not there at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from shapsight.data.given_files import read_parquet
from shapsight.data.written_files import written
from shapsight.errors import StoreError
from shapsight.store.places import plan_file, rows_file, rows_files

NEEDED = (
    "position",
    "path",
    "pixels",
    "output",
    "prediction",
    "base_value",
    "completeness_gap",
    "output_index",
)


def read_rows(store: Path, block: int | None = None) -> pd.DataFrame:
    """The rows of a block, or of all, by position. Raises `StoreError` where a file is damaged."""
    files = rows_files(store) if block is None else [rows_file(store, block)]
    tables = [_read(file) for file in files if block is None or file.is_file()]
    if not tables:
        return pd.DataFrame(columns=list(NEEDED))
    table: pd.DataFrame = pa.concat_tables(tables, promote_options="permissive").to_pandas()
    return table.sort_values("position", ignore_index=True, kind="stable")


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as mappings."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def write_rows(store: Path, block: int, rows: Sequence[Mapping[str, Any]]) -> None:
    """The rows of a block, in place of those that it has."""
    file = rows_file(store, block)
    file.parent.mkdir(parents=True, exist_ok=True)
    if not rows:
        file.unlink(missing_ok=True)
        return
    with written(file) as part:
        pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), part)


def read_plan(store: Path) -> list[str]:
    """The path of every image, in the order of the arrays."""
    file = plan_file(store)
    return list(_read(file)["path"].to_pylist()) if file.is_file() else []


def write_plan(store: Path, paths: Sequence[str]) -> None:
    """See `read_plan`."""
    with written(plan_file(store)) as part:
        pq.write_table(pa.table({"path": list(paths)}), part)


def _read(file: Path) -> pa.Table:
    try:
        return read_parquet(file)
    except (pa.ArrowException, OSError) as error:
        raise StoreError(
            f"{file} is damaged or not a Parquet file: {error}. "
            "shapsight store verify --mend makes the store whole again"
        ) from error
