"""A table of images: CSV, Parquet or JSON lines, with a column of paths and columns of targets or labels."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa

from shapsight.data.sources.listing import Listing
from shapsight.errors import DataError

SUFFIXES = (".csv", ".tsv", ".parquet", ".jsonl", ".ndjson")
PATH_COLUMNS = ("path", "file", "filename", "file_name", "image", "image_path")
LABEL_COLUMNS = ("label", "class", "category")
WORDS = ("environment", "split", "group", "roi", "width", "height", "id", "index")


def list_table(path: Path, *, path_column: str | None, allow_outside: bool) -> Listing:
    """Read a table whose paths are relative to its own folder.

    Raises `DataError` for a table that cannot be read, without rows, or without a column of paths.
    """
    table = _read(path)
    if table.empty:
        raise DataError(f"{path} has no rows ({len(table.columns)} columns)")
    column = _path_column(path, table, path_column)
    root = path.parent
    rows, skipped = [], []
    for row, given in enumerate(table[column]):
        where, reason = _inside(root, given, allow_outside)
        if reason:
            skipped.append({"path": str(given), "reason": f"{reason} (row {row + 1})"})
        else:
            rows.append((row, where))
    kept = table.iloc[[row for row, _ in rows]].reset_index(drop=True)
    if column != "path" and "path" in kept.columns:
        kept = kept.drop(columns="path")
    kept = kept.drop(columns=column).assign(path=[where for _, where in rows])
    label = next((name for name in LABEL_COLUMNS if name in kept.columns), None)
    numeric = tuple(
        str(name)
        for name in kept.columns
        if name not in (*WORDS, "path", label) and pd.api.types.is_numeric_dtype(table[name])
    )
    sides = {"x": "width", "y": "height"}
    return Listing(
        root,
        kept,
        path.stem,
        label=None if label is None else f"column:{label}",
        environment="column:environment" if "environment" in kept.columns else "folder:1",
        split="column:split" if "split" in kept.columns else None,
        numeric=numeric,
        pixels={name: side for name, side in sides.items() if name in numeric and not _is_scaled(kept[name])},
        skipped=tuple(skipped),
    )


def _is_scaled(values: pd.Series[float]) -> bool:
    """Fractions between -1 and 1 are no pixels: they run over the image already."""
    known = values.dropna()
    return bool(known.abs().max() <= 1 and (known % 1 != 0).any())


def _read(path: Path) -> pd.DataFrame:
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        if path.suffix in (".jsonl", ".ndjson"):
            return pd.read_json(path, lines=True)
        return pd.read_csv(path, sep="\t" if path.suffix == ".tsv" else ",", skipinitialspace=True)
    except pd.errors.EmptyDataError as error:
        raise DataError(f"{path} has no rows: the file is empty") from error
    except (ValueError, OSError, pa.ArrowException) as error:
        raise DataError(
            f"{path} cannot be read as {path.suffix[1:]}: {str(error).splitlines()[0]}"
        ) from error


def _path_column(path: Path, table: pd.DataFrame, wanted: str | None) -> str:
    names = PATH_COLUMNS if wanted is None else (wanted,)
    found = next((name for name in names if name in table.columns), None)
    if found is None:
        raise DataError(
            f"{path} has no column {' or '.join(names)} with the images' paths; its columns are "
            f"{', '.join(map(str, table.columns))}. Name it with path_column="
        )
    return found


def _inside(root: Path, given: object, allow_outside: bool) -> tuple[str, str]:
    """The path relative to the table's folder, or why it is not used."""
    if not isinstance(given, str) or not given.strip():
        return "", "there is no path"
    path = Path(given.strip())
    home = root.resolve()
    whole = (home / path).resolve()
    if whole.is_relative_to(home):
        inside = path.relative_to(home) if path.is_absolute() and path.is_relative_to(home) else path
        return (whole.relative_to(home) if inside.is_absolute() else inside).as_posix(), ""
    if allow_outside:
        return whole.as_posix(), ""
    return "", "the path leads outside the table's folder, which is followed only with --allow-outside"
