"""Several stores of the same model become one, such as those that jobs on machines without a common disk wrote."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shapsight.errors import StoreError
from shapsight.store import arrays
from shapsight.store.card import read_card
from shapsight.store.rows import read_plan, read_rows, records
from shapsight.store.writer import Row, Writer


@dataclass(frozen=True)
class Merged:
    """How many images were added, how many the target had already, and which of these are other pictures there."""

    added: int
    known: int
    differing: tuple[str, ...] = ()


def merge(target: str | os.PathLike[str], sources: Sequence[str | os.PathLike[str]]) -> Merged:
    """Put all finished images of some stores into one, which is made if there is none.

        merge("all.zarr", ["machine_1.zarr", "machine_2.zarr"])

    An image that the target has stays as it is. It can be killed and started again. Raises `StoreError` where the
    stores are of other settings, naming each that differs.
    """
    if not sources:
        raise StoreError("merge needs at least one store to take from")
    paths = [Path(source) for source in sources]
    cards = [read_card(path) for path in paths]
    for path, card in zip(paths, cards, strict=True):
        if difference := cards[0].difference(card):
            raise StoreError(f"{paths[0]} and {path} cannot be merged: {difference}")
    plans = dict.fromkeys(name for path in paths for name in read_plan(path))
    writer = Writer.begin(target, cards[0], list(plans))
    added = known = 0
    differing: list[str] = []
    for path in paths:
        blocks: dict[int, list[Row]] = {}
        for row in records(read_rows(path)):
            blocks.setdefault(writer.block_of(row["path"]), []).append(row)
        for block, rows in blocks.items():
            with writer.claimed(block, is_patient=True):
                there = {row["path"]: row["pixels"] for row in writer.rows(block)}
                new = [row for row in rows if row["path"] not in there]
                differing += [
                    row["path"] for row in rows if there.get(row["path"], row["pixels"]) != row["pixels"]
                ]
                if new:
                    content = arrays.read(path, [int(row["position"]) for row in new])
                    placed = [{**row, "position": writer.positions[row["path"]]} for row in new]
                    writer.write(block, placed, content)
            added += len(new)
            known += len(rows) - len(new)
    return Merged(added, known, tuple(differing))
