"""The columns that are learned: targets as numbers on their scales, or labels that are classes."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from shapsight.data.rules import Rule, column_by_rule, refuse_lists
from shapsight.data.scale import PIXELS, SIDES, Scale
from shapsight.data.sources.listing import Listing
from shapsight.errors import DataError

COUNTING = re.compile(
    r"unnamed: ?\d+|level_\d+|_.*|(.*_)?(index|idx|id|timestamp|time|date|frame|frame_number|row|seconds|ms|ns)"
    r"(_(s|ms|us|ns|utc))?",
    re.IGNORECASE,
)
YEAR_2001 = 1e9  # in seconds since 1970
PIXEL_SIDES = {"width": "wide", "height": "high"}


def target_columns(
    table: pd.DataFrame,
    targets: Sequence[str] | None,
    scales: Mapping[str, Scale | str],
    listing: Listing,
) -> tuple[dict[str, Scale | None], list[str | None]]:
    """Make the target columns of `table` numbers, pixels scaled by their own image, in place.

    Returns each target's scale (None: over the training images' range) and, for each row, why it cannot be used.
    Raises `DataError` for a target that is not there or holds no number at all, and for a scale of something else.
    """
    names = tuple(targets) if targets is not None else listing.numeric
    _refuse_unknown(names, table, scales)
    reasons: list[str | None] = [None] * len(table)
    found: dict[str, Scale | None] = {}
    for name in names:
        given = scales.get(name)
        side = given if given in PIXELS else listing.pixels.get(name) if given is None else None
        refuse_lists(table, name)
        raw = table[name].copy()
        table[name] = _numbers(name, raw)
        found[name] = _half(name, table) if given is None and side is None else _scale(given, side)
        _note_missing(name, raw, table[name], reasons)
        if isinstance(side, str):
            _note_outside(name, raw, table, side, reasons)
            table[name] = 2 * table[name] / table[side].where(table[side] > 0) - 1
    return found, reasons


def _half(name: str, table: pd.DataFrame) -> Scale | None:
    """Of x and y whose x run over the image from -1 to +1: what is left and right of 0 is known then.

    Their range would have another middle, about which a mirror image would be taken.
    """
    if name not in SIDES or "x" not in table.columns:
        return None
    both = [pd.to_numeric(table[side], errors="coerce") for side in SIDES if side in table.columns]
    runs_over = all(values.abs().max() <= 1 for values in both)
    return Scale() if runs_over and both[0].min() < 0 < both[0].max() else None


def numeric_targets(table: pd.DataFrame, but: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The columns of numbers that may be targets, and those that only count the rows or tell the time.

    numeric_targets(table, but=["path"])        # (("steering", "speed"), ("Unnamed: 0", "timestamp"))
    """
    numeric = [str(n) for n in table.columns if n not in but and pd.api.types.is_numeric_dtype(table[n])]
    counting = tuple(name for name in numeric if COUNTING.fullmatch(name) or _is_time(table[name]))
    return tuple(name for name in numeric if name not in counting), counting


def _is_time(values: pd.Series) -> bool:
    """Seconds, milliseconds or nanoseconds since 1970 that never go back."""
    known = values.dropna().astype(float)
    return len(known) > 1 and bool(known.is_monotonic_increasing and known.min() > YEAR_2001)


def range_scales(found: Mapping[str, Scale | None], training: pd.DataFrame) -> dict[str, Scale]:
    """Scales for all targets; one that was not given runs over the training images' range."""
    scales = {}
    for name, scale in found.items():
        low, high = float(training[name].min()), float(training[name].max())
        if scale is not None:
            scales[name] = scale
        elif math.isfinite(low) and low < high:
            scales[name] = Scale(low, high)
        else:
            scales[name] = Scale(low - 1, low + 1) if math.isfinite(low) else Scale()
    return scales


def label_column(
    table: pd.DataFrame, rule: Rule | None, listing: Listing
) -> tuple[pd.Series[str], list[str | None]]:
    """Each row's label, and why it cannot be used where it has none. Raises `DataError` without a rule."""
    if rule is None:
        raise DataError(
            f"nothing says which class the images of {listing.root} belong to: give label=, such as folder:1 or "
            "column:NAME"
        )
    labels = column_by_rule(rule, table, listing.outermost, of_rows=listing.is_of_rows)
    return labels, [None if label else "there is no label" for label in labels]


def _refuse_unknown(names: Sequence[str], table: pd.DataFrame, scales: Mapping[str, Scale | str]) -> None:
    columns = [str(name) for name in table.columns if name not in ("path", "width", "height")]
    if not names:
        raise DataError(
            f"there is no column of numbers to predict; the columns are {', '.join(columns) or 'none'} (in Python, "
            "targets=[] reads images without targets)"
        )
    for name in names:
        if name not in columns:
            near = difflib.get_close_matches(name, columns, n=6, cutoff=0)
            raise DataError(f"there is no target column {name!r}; there are {', '.join(near) or 'none'}")
    for name in scales:
        if name not in names:
            raise DataError(
                f"a scale was given for {name!r}, which is no target; these are {', '.join(names)}"
            )


def _numbers(name: str, raw: pd.Series) -> pd.Series[float]:
    numbers = pd.to_numeric(raw, errors="coerce").astype(float)
    with np.errstate(over="ignore"):  # targets are learned in float32, which ends at 3e38
        numbers = numbers.where(np.isfinite(numbers.astype(np.float32)))
    if len(numbers) and numbers.isna().all():
        raise DataError(
            f"the target {name!r} holds no numbers: the first of its values is {_shown(raw.iloc[0])}"
        )
    return numbers


def _scale(given: Scale | str | None, side: object) -> Scale | None:
    if isinstance(side, str):
        return PIXELS[side]
    if given == "half":
        return Scale()
    return Scale.parse(given) if isinstance(given, str) else given


def _note_missing(name: str, raw: pd.Series, numbers: pd.Series, reasons: list[str | None]) -> None:
    for row in np.flatnonzero(numbers.isna().to_numpy()):
        value = raw.iloc[row]
        is_empty = value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))
        said = f"{name} is missing" if is_empty else f"{name} = {_shown(value)} is no finite number"
        reasons[row] = reasons[row] or said


def _shown(value: object) -> str:
    return repr(value) if isinstance(value, str) else str(value)


def _note_outside(
    name: str, raw: pd.Series, table: pd.DataFrame, side: str, reasons: list[str | None]
) -> None:
    outside = (table[name] < 0) | (table[name] > table[side])
    for row in np.flatnonzero(outside.to_numpy()):
        axis = name.upper() if name in ("x", "y") else name
        extent = f"{table[side].iloc[row]} pixels {PIXEL_SIDES[side]}"
        reasons[row] = reasons[row] or f"{axis} = {raw.iloc[row]} lies outside the image, which is {extent}"
