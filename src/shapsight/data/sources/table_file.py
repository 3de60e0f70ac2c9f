"""A table of images: CSV, Parquet or JSON lines, with a column of paths and columns of targets or labels."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path, PurePosixPath, PureWindowsPath

import pandas as pd
import pyarrow as pa

from shapsight.data.columns import numeric_targets
from shapsight.data.decoding import PHOTOGRAPHS
from shapsight.data.given_files import is_file, read_parquet
from shapsight.data.scale import SIDES
from shapsight.data.sources.listing import Listing
from shapsight.errors import DataError

SUFFIXES = (".csv", ".tsv", ".parquet", ".jsonl", ".ndjson")
PATH_COLUMNS = ("path", "file", "filename", "file_name", "image", "image_path", "center")
LABEL_COLUMNS = ("label", "class", "category")
WORDS = ("environment", "split", "group", "roi", "width", "height", "id", "index")
UDACITY = ["center", "left", "right", "steering", "throttle", "brake", "speed"]  # of its driving_log.csv
EXPECTED = "Paths are relative to the table's own folder, and --path-column names the column that holds them."
TAILS = (3, 2, 1)  # how much of a path from another computer is looked for


def list_table(path: Path, *, path_column: str | None, allow_outside: bool) -> Listing:
    """Read a table whose paths are relative to its own folder.

    Raises `DataError` for a table that cannot be read, without rows, or without a column of paths.
    """
    table = _read(path)
    if table.empty:
        raise DataError(f"{path} has no rows ({len(table.columns)} columns)")
    column = path_column_of(str(path), table, path_column)
    return list_paths(table, column, path.parent, path.stem, allow_outside=allow_outside)


def list_paths(
    table: pd.DataFrame, column: str, root: Path, outermost: str, *, allow_outside: bool
) -> Listing:
    """The images that a column of paths names, relative to `root`, beside the other columns."""
    rows, skipped, moved = [], [], []
    for row, given in enumerate(table[column]):
        where, reason = _inside(root, given, allow_outside)
        if reason:
            skipped.append({"path": str(given), "reason": f"{reason} (row {row + 1})"})
            continue
        rows.append((row, where))
        is_shorter = len(PurePosixPath(where).parts) < len(_parts(str(given)))
        if is_shorter and not is_file(Path(str(given).strip())):
            moved.append(where)
    kept = table.iloc[[row for row, _ in rows]].reset_index(drop=True)
    if column != "path" and "path" in kept.columns:
        kept = kept.drop(columns="path")
    kept = kept.drop(columns=column).assign(path=[where for _, where in rows])
    return replace(
        list_columns(kept, root, outermost),
        skipped=tuple(skipped),
        notes=_on_moved(moved),
        expected=EXPECTED,
        targets_from=f"columns of numbers; the paths are in column {column}",
    )


def list_columns(table: pd.DataFrame, root: Path, outermost: str) -> Listing:
    """What the columns beside `path` are: a label, numbers that are targets, an environment, a split."""
    label = next((name for name in LABEL_COLUMNS if name in table.columns), None)
    numeric, counting = numeric_targets(table, (*WORDS, "path", str(label)))
    return Listing(
        root,
        table,
        outermost,
        label=None if label is None else f"column:{label}",
        environment="column:environment" if "environment" in table.columns else "folder:1",
        split="column:split" if "split" in table.columns else None,
        numeric=numeric,
        counting=counting,
        pixels={
            name: side for name, side in SIDES.items() if name in numeric and not _is_scaled(table[name])
        },
        targets_from="columns of numbers",
    )


def _is_scaled(values: pd.Series[float]) -> bool:
    """Fractions between -1 and 1 are no pixels: they run over the image already."""
    known = values.dropna()
    return bool(known.abs().max() <= 1 and (known % 1 != 0).any())


def _read(path: Path) -> pd.DataFrame:
    kind = path.suffix.lower()
    try:
        if kind == ".parquet":
            return without_categories(read_parquet(path).to_pandas())
        if kind in (".jsonl", ".ndjson"):
            return pd.read_json(path, lines=True, encoding="utf-8-sig")
        return _read_text(path, "\t" if kind == ".tsv" else ",")
    except pd.errors.EmptyDataError as error:
        raise DataError(f"{path} has no rows: the file is empty") from error
    except (ValueError, TypeError, OSError, RecursionError, OverflowError, pa.ArrowException) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path} cannot be read as {kind[1:]}: {said}") from error


def without_categories(table: pd.DataFrame) -> pd.DataFrame:
    """Categories as the values that they stand for: pandas refuses to ask of them what it can ask of texts."""
    kinds = {name: table[name].cat.categories.dtype for name in table.select_dtypes("category")}
    return table.astype({name: object if kind == "str" else kind for name, kind in kinds.items()})


def _read_text(path: Path, separator: str) -> pd.DataFrame:
    """A table with its header; a spreadsheet's semicolons and decimal commas are read, too."""
    table = pd.read_csv(path, sep=separator, skipinitialspace=True, encoding="utf-8-sig")
    other = next((mark for mark in ";\t," if mark != separator and mark in str(table.columns[0])), None)
    if len(table.columns) == 1 and other is not None:
        text = path.read_text(encoding="utf-8-sig")
        decimal = (
            "," if other != "," and re.search(rf"{other}\s*-?\d+,\d+\s*({other}|$)", text, re.M) else "."
        )
        table = pd.read_csv(path, sep=other, decimal=decimal, skipinitialspace=True, encoding="utf-8-sig")
        separator = other
    pictures = [_is_picture(name) for name in table.columns]
    if not any(pictures):
        return table.rename(columns=lambda name: str(name).strip())
    if pictures == [True] * 3 + [False] * 4:
        return pd.read_csv(
            path, sep=separator, header=None, names=UDACITY, skipinitialspace=True, encoding="utf-8-sig"
        )
    raise DataError(
        f"{path} has no header: its first line is a row already ({', '.join(map(str, table.columns[:4]))}). Put a line "
        "with the names of the columns above it, such as path,steering"
    )


def _is_picture(value: object) -> bool:
    return isinstance(value, str) and PureWindowsPath(value.strip()).suffix.lower() in PHOTOGRAPHS


def path_column_of(source: str, table: pd.DataFrame, wanted: str | None) -> str:
    """The column of paths: the named one, one of a usual name, or the only one of image names. Raises `DataError`."""
    names = PATH_COLUMNS if wanted is None else (wanted,)
    found = next((name for name in names if name in table.columns), None)
    looking = [str(name) for name in table.columns if table[name].map(_is_picture).all()]
    if found is None and wanted is None and len(looking) == 1:
        return looking[0]
    if found is None:
        raise DataError(
            f"{source} has no column {' or '.join(names)} with the images' paths; its columns are "
            f"{', '.join(map(str, table.columns))}. Name it with --path-column (path_column=)"
        )
    return found


def _inside(root: Path, given: object, allow_outside: bool) -> tuple[str, str]:
    """The path relative to the table's folder, or why it is not used."""
    if not isinstance(given, str) or not given.strip():
        return "", "there is no path"
    home = root.resolve()
    path = Path(given.strip())
    try:
        if not (home / path).exists():
            path = _from_elsewhere(home, given.strip()) or path
        whole = (home / path).resolve()
    except (
        OSError,
        RuntimeError,
        ValueError,
    ):  # too long, a link to itself (an error of both kinds), a null byte
        return "", "no file can be found under such a path"
    if whole.is_relative_to(home):
        inside = path.relative_to(home) if path.is_absolute() and path.is_relative_to(home) else path
        return (whole.relative_to(home) if inside.is_absolute() else inside).as_posix(), ""
    if allow_outside:
        return whole.as_posix(), ""
    return "", "the path leads outside the table's folder, which is followed only with --allow-outside"


def _from_elsewhere(home: Path, given: str) -> Path | None:
    r"""The end of a path from another computer, such as IMG\1.jpg of C:\drives\IMG\1.jpg, where that file is here."""
    parts = _parts(given)
    is_whole = len(parts) == len(PureWindowsPath(given).parts) and not PureWindowsPath(given).anchor
    tails = [parts] if is_whole else [parts[-count:] for count in TAILS if count <= len(parts)]
    return next((Path(*tail) for tail in tails if ".." not in tail and home.joinpath(*tail).is_file()), None)


def _parts(given: str) -> tuple[str, ...]:
    path = PureWindowsPath(given.strip())  # reads slashes as well
    return path.parts[1:] if path.anchor else path.parts


def _on_moved(moved: list[str]) -> tuple[str, ...]:
    if not moved:
        return ()
    return (f"{len(moved)} paths are those of another computer; their files were found as {moved[0]}.",)
