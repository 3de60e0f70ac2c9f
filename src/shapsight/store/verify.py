"""Is a store whole? Every image is read, and its sums must agree with its row; what is damaged can be taken out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from shapsight.errors import StoreError
from shapsight.store import arrays
from shapsight.store.card import Card, read_card
from shapsight.store.encoding import decoded
from shapsight.store.places import TABLE, rows_file, rows_files
from shapsight.store.rows import read_plan, read_rows, records
from shapsight.store.writer import Writer

# Rounding of float32: of a sum, by its absolute terms; of a prediction or base value, by itself. A wrong or missing
# value is off by far more.
OF_SUM, OF_ENDS = 1e-5, 1e-4


@dataclass(frozen=True, eq=False)
class Verified:
    """What `verify` found.

    Attributes
        images: how many finished images were read. damaged: `path`, `block` and `reason` of those that are not whole.
        parts: half-written files of processes that were killed; they do no harm.
    """

    images: int
    damaged: pd.DataFrame
    parts: tuple[Path, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether nothing is damaged."""
        return self.damaged.empty


def verify(path: str | os.PathLike[str], *, mend: bool = False) -> Verified:
    """Read every finished image of a store, and check that nothing is damaged, lost or twice.

        verify("explanations.zarr").damaged
        verify("explanations.zarr", mend=True)     # takes damaged images out; explain then makes them anew

    Checksums of all chunks, finite numbers, `values.sum() = prediction - base value - gap`, and the path that the plan
    has for each place. With `mend`, half-written files are deleted, too. Raises `StoreError` for what is no store.
    """
    path = Path(path)
    card = read_card(path)
    plan = read_plan(path)
    writer = Writer(path, card)
    images, damaged = 0, []
    for file in rows_files(path):
        block = int(file.stem)
        try:
            rows = records(read_rows(path, block))
        except StoreError as error:
            damaged.append({"path": "", "block": block, "reason": str(error)})
            if mend:
                with writer.claimed(block, is_patient=True):
                    rows_file(path, block).unlink(missing_ok=True)
            continue
        images += len(rows)
        wrong = dict(_wrong(path, card, plan, block, rows))
        damaged += [
            {"path": rows[n]["path"], "block": block, "reason": reason} for n, reason in wrong.items()
        ]
        if mend and wrong:
            with writer.claimed(block, is_patient=True):
                writer.keep(block, [row for number, row in enumerate(rows) if number not in wrong])
    parts = tuple(_parts(path))
    if mend:
        for part in parts:
            part.unlink(missing_ok=True)
    return Verified(images, pd.DataFrame(damaged, columns=["path", "block", "reason"]), parts)


def _wrong(
    store: Path, card: Card, plan: Sequence[str], block: int, rows: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[int, str]]:
    """The rows of a block that are not whole, by number."""
    seen: set[str] = set()
    for number, row in enumerate(rows):
        position, name = int(row["position"]), str(row["path"])
        if name in seen:
            yield number, "it is here twice"
        elif position // card.block != block or position >= len(plan) or plan[position] != name:
            yield number, "the plan has another place for it"
        elif reason := _unlike_its_row(store, card, row):
            yield number, reason
        seen.add(name)


def _unlike_its_row(store: Path, card: Card, row: Mapping[str, Any]) -> str:
    try:
        one = decoded(arrays.read(store, [int(row["position"])]), [row], card)
    except (StoreError, LookupError, TypeError, ValueError, pa.ArrowException) as error:
        return str(error).splitlines()[0]
    values, ends = one.values.double(), (one.predictions.double(), one.base_values.double())
    if not values.isfinite().all():
        return "its values are not all finite: they were not written"
    missing = (ends[0] - ends[1] - values.flatten(2).sum(2) - one.completeness_gap.double()).abs()
    room = OF_SUM * values.abs().flatten(2).sum(2) + OF_ENDS * (ends[0].abs() + ends[1].abs()) + 1e-12
    if (missing > room).any():
        return f"its values sum to something else than its row says (by {float(missing.max()):.1e})"
    return ""


def _parts(store: Path) -> Iterator[Path]:
    yield from store.glob("*/*.partial")
    yield from store.glob("*.partial")
    yield from (store / TABLE).rglob("*.part")
    yield from (store / TABLE).rglob("*.partial")
