"""Slices of volumes: which are drawn, and a row for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from shapsight.drawing.panels import Heat, Row
from shapsight.errors import ExplainerError

MOST = 3  # slices that are drawn of a volume unless they are chosen


def in_slices(rows: Sequence[Row], slices: int | Sequence[int] | None = None) -> list[Row]:
    """Rows of volumes as rows of some of their slices, which share a scale; rows of images stay."""
    return [part for row in rows for part in _of_volume(row, slices)]


def chosen_slices(
    heats: Float[ndarray, "maps depth height width"], slices: int | Sequence[int] | None, most: int = MOST
) -> list[int]:
    """The slices asked for, or those with the most absolute attribution, in their order.

    Raises `ExplainerError` for a slice that is not there.
    """
    depth = heats.shape[1]
    if slices is None:
        sizes = np.nan_to_num(np.abs(heats)).sum((0, 2, 3))
        return sorted(np.argsort(-sizes, kind="stable")[:most].tolist())
    wanted = [int(number) for number in np.atleast_1d(np.asarray(slices))]
    if not wanted or not all(-depth <= number < depth for number in wanted):
        raise ExplainerError(f"slices={slices!r}: this volume has slices 0 to {depth - 1}")
    return [number % depth for number in wanted]


def _slice_of(heat: Heat, number: int) -> Heat:
    return replace(heat, values=heat.values[number], about=None if heat.about is None else heat.about[number])


def _of_volume(row: Row, slices: int | Sequence[int] | None) -> list[Row]:
    heats = [heat.values for heat in row.heats]
    if heats[0].ndim == 2:
        return [row]
    numbers = chosen_slices(np.stack(heats), slices)
    depth = len(heats[0])
    alike = tuple(values[number] for values in heats for number in numbers)
    return [
        replace(
            row,
            picture=row.picture[number],
            caption=" · ".join(said for said in (row.caption, f"slice {number} of 0 to {depth - 1}") if said),
            heats=tuple(_slice_of(heat, number) for heat in row.heats),
            outline=None if row.outline is None else row.outline[number],
            alike=alike,
        )
        for number in numbers
    ]
