"""Rules that say where a column of the manifest comes from: a folder level, a column, the name, or a count."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import pandas as pd

from shapsight.errors import DataError

Rule = str | Callable[[Any], Any]
ITEM_PATH = "item_path"  # the column of paths that items which are no files say they have
NOWHERE = "folder:99"  # no path is so deep: one environment, named after the dataset
GRAMMAR = (
    "A rule is folder:N (the nth folder below the dataset, folder:-1 the innermost), column:NAME (or NAME alone), "
    "name:REGEX (its first group, or all that it matches in the path), block:N (every N images in the order "
    "of taking), or a Python function of the path (of the row, where images have no paths)"
)


@dataclass(frozen=True)
class Rules:
    """The user's own rules; what is None is found out from the source."""

    label: Rule | None = None
    environment: Rule | None = None
    split: Rule | None = None
    group: Rule | None = None

    @property
    def columns(self) -> set[str]:
        """The columns of a table that they may be about."""
        given = (self.label, self.environment, self.split, self.group)
        return {rule.removeprefix("column:") for rule in given if isinstance(rule, str)}


def column_by_rule(
    rule: Rule, table: pd.DataFrame, outermost: str, order: Sequence[int] = (), *, of_rows: bool = False
) -> pd.Series[str]:
    """A column of text for every row of a table with a column `path`.

        column_by_rule("folder:1", table, "photos")            # "room_1" of "room_1/a/112_98.jpg"
        column_by_rule("name:_(day|night)_", table, "photos")  # "day" of "112_98_day_3.jpg"
        column_by_rule("column:camera", table, "photos")
        column_by_rule("block:50", table, "photos")            # "block 0" for the first fifty images

    `outermost` stands for a folder level that a path does not have; `order` holds each row's place for block:N, by
    default the table's own order. With `of_rows` a function gets a mapping of the row's columns instead of the path, or
    the path that the item itself says it has. Raises `DataError`, with the grammar, for a rule that cannot be read, a
    column that is not there, or a name that the expression does not match.
    """
    if callable(rule):
        if of_rows and ITEM_PATH not in table.columns:
            rows = table.drop(columns="path").to_dict("records")
            return pd.Series([_said(rule, row) for row in rows], index=table.index, dtype=object)
        return table[ITEM_PATH if of_rows else "path"].map(lambda path: _said(rule, path))
    kind, colon, rest = rule.partition(":")
    if kind == "folder" and re.fullmatch(r"-?[1-9]\d*", rest):
        return table["path"].map(lambda path: _folder(path, int(rest), outermost))
    if kind == "name" and rest:
        return _by_name(rest, table)
    if kind == "block" and rest.isdigit() and int(rest) > 0:
        places = pd.Series(order if len(order) else range(len(table)), index=table.index, dtype=int)
        return (places // int(rest)).map(lambda number: f"block {number}")
    name = rest if kind == "column" and colon else rule
    if name in table.columns:
        refuse_lists(table, name)
        return table[name].map(lambda value: "" if pd.isna(value) else _plain(value))
    if colon and kind != "column":
        raise DataError(f"{rule!r} cannot be read. {GRAMMAR}")
    near = difflib.get_close_matches(name, map(str, table.columns), n=5, cutoff=0) or ["none"]
    raise DataError(f"there is no column {name!r}; there are {', '.join(near)}. {GRAMMAR}")


def _said(function: Callable[[Any], Any], given: Any) -> str:
    """What a function of the user's says of a path or a row."""
    try:
        return str(function(given))
    except Exception as error:
        what = (
            f"a row with {', '.join(map(str, given)) or 'no columns'}" if isinstance(given, dict) else given
        )
        raise DataError(f"your function raised {type(error).__name__}: {error}, for {what}") from error


def refuse_lists(table: pd.DataFrame, name: str) -> None:
    """Raise `DataError` for a column with more than one value in a row, such as several labels of an image."""
    several = [value for value in table[name] if pd.api.types.is_list_like(value)]
    if several:
        raise DataError(
            f"the column {name!r} holds several values in one row, such as {str(several[0])[:60]}, where one is "
            "needed: add a column with one, or a column of 0 and 1 for each label and name these with --targets"
        )


def in_words(rule: Rule) -> str:
    """Where a rule looks: "column camera", "folder level 1"."""
    if callable(rule):
        return "your function"
    kind, colon, rest = rule.partition(":")
    words = {"folder": f"folder level {rest}", "column": f"column {rest}", "": f"column {rule}"}
    return words.get(kind if colon else "", rule)


def _plain(value: object) -> str:
    """1.0, which is what pandas makes of a 1 beside an empty cell, is the 1 that was written."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _folder(path: str, level: int, outermost: str) -> str:
    folders = PurePosixPath(path).parts[:-1]
    position = level - 1 if level > 0 else level
    return folders[position] if -len(folders) <= position < len(folders) else outermost


def _by_name(expression: str, table: pd.DataFrame) -> pd.Series[str]:
    try:
        pattern = re.compile(expression)
    except re.error as error:
        raise DataError(f"name:{expression} is no regular expression: {error}") from error

    def found(path: str) -> str:
        match = pattern.search(path)
        if match is None:
            raise DataError(f"name:{expression} does not match {path}, so this image would belong nowhere")
        return (match.group(1) if pattern.groups else match.group(0)) or ""

    return table["path"].map(found)
