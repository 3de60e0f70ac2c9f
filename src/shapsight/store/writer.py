"""Adding to a store: who does what is agreed by locks, and an image is finished when its row is there."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import ndarray

from shapsight.errors import MissingDependency, StoreError
from shapsight.store import arrays
from shapsight.store.card import GROUP, Card, read_card
from shapsight.store.places import begun_file, lock_file, plan_file, rows_file
from shapsight.store.rows import read_plan, read_rows, records, write_plan, write_rows

if TYPE_CHECKING:
    from filelock import BaseFileLock

Row = Mapping[str, Any]


class Writer:
    """A store that images are added to, by any number of processes at the same time.

        writer = Writer.begin("explanations.zarr", card, paths)
        with writer.claimed(12) as is_mine:          # nobody else works on block 12 meanwhile
            writer.write(12, rows, arrays)           # both of the same images, each row with its position

    What was written last of a block are its rows; whatever is killed before leaves the block as it was, to be made
    again. `positions` tells where in the arrays the image of a path lies.
    """

    def __init__(self, path: Path, card: Card) -> None:
        self.path, self.card = path, card
        self.positions = {name: number for number, name in enumerate(read_plan(path))}

    @classmethod
    def begin(cls, path: str | os.PathLike[str], card: Card, paths: Sequence[str]) -> Writer:
        """Make a store, or go on in one; images that it does not know yet come behind those that it does.

        Raises `StoreError` where something else is there, or the store was begun with other settings, naming each.
        """
        path = Path(path)
        _refuse_other(path)
        with naming_full_disk(path), _locked(path, "store"):
            arrays.discard_card_parts(path)
            if (path / GROUP).is_file():
                if difference := read_card(path).difference(card):
                    raise StoreError(
                        f"{path} was begun with other settings, and one store holds one kind of explanations: "
                        f"{difference}. Use the same settings, or another --store"
                    )
            else:
                arrays.create_group(path, card.as_attributes())
            known = read_plan(path)
            new = (
                list(dict.fromkeys(paths) - dict.fromkeys(known).keys())
                if known
                else list(dict.fromkeys(paths))
            )
            order = {name: at for at, name in enumerate(paths)}
            new.sort(key=lambda name: order[name])
            if new or not plan_file(path).is_file():
                write_plan(path, [*known, *new])
                arrays.resize(path, len(known) + len(new))
        return cls(path, card)

    @property
    def images(self) -> int:
        """How many images the store is planned for."""
        return len(self.positions)

    def blocks(self) -> range:
        """The numbers of all blocks."""
        return range(-(-self.images // self.card.block))

    def block_of(self, path: str) -> int:
        """The block in which the image of a path lies."""
        return self.positions[path] // self.card.block

    @contextmanager
    def claimed(self, block: int, *, is_patient: bool = False) -> Iterator[bool]:
        """Whether nobody else works on the block, and nobody will until the end; a patient one waits for its turn."""
        lock = self.lock(block)
        if not taken(lock, is_patient=is_patient):
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def lock(self, block: int) -> BaseFileLock:
        """What `claimed` holds; it goes with the process that holds it, however that ends."""
        return _lock(lock_file(self.path, str(block)))

    def rows(self, block: int) -> list[dict[str, Any]]:
        """The rows of the block's finished images, as they are on disk now."""
        return records(read_rows(self.path, block)) if rows_file(self.path, block).is_file() else []

    def deaths(self, block: int) -> int:
        """How many processes were killed one after the other while they explained this block."""
        file = begun_file(self.path, block)
        return file.stat().st_size if file.is_file() else 0

    @contextmanager
    def begun(self, blocks: Sequence[int]) -> Iterator[None]:
        """While this process explains claimed blocks: should it be killed meanwhile, `deaths` tells the next one."""
        files = [begun_file(self.path, block) for block in blocks]
        with naming_full_disk(self.path):
            for file in files:
                file.parent.mkdir(parents=True, exist_ok=True)
                with file.open("ab") as opened:
                    opened.write(b".")
        try:
            yield
        finally:
            for file in files:
                file.unlink(missing_ok=True)

    def forget_deaths(self) -> None:
        """Of all blocks: whoever comes next begins anew."""
        for file in begun_file(self.path, 0).parent.glob("*"):
            file.unlink(missing_ok=True)

    def keep(self, block: int, rows: Sequence[Row]) -> None:
        """Let the images of a claimed block that have none of these rows count as not finished."""
        write_rows(self.path, block, rows)

    def write(self, block: int, rows: Sequence[Row], content: Mapping[str, ndarray]) -> None:
        """Add images to a claimed block: first their arrays, then their rows, which make them finished.

        Raises `StoreError` where the disk is full; what is finished stays so.
        """
        with naming_full_disk(self.path):
            self._write(block, rows, content)

    def _write(self, block: int, rows: Sequence[Row], content: Mapping[str, ndarray]) -> None:
        at = [int(row["position"]) for row in rows]
        before = self.rows(block)
        if again := {row["position"] for row in before} & set(at):
            before = [row for row in before if row["position"] not in again]
            self.keep(block, before)
        arrays.discard_parts(self.path, block, whole=not before)
        start = block * self.card.block
        size = min(self.card.block, self.images - start)
        self._make_arrays(content)
        whole = self._whole(before, start, size, content)
        for name, array in content.items():
            whole[name][[position - start for position in at]] = array
        arrays.write(self.path, start, whole)
        write_rows(self.path, block, sorted([*before, *rows], key=lambda row: int(row["position"])))

    def _whole(
        self, before: Sequence[Row], start: int, size: int, content: Mapping[str, ndarray]
    ) -> dict[str, ndarray]:
        """Arrays of the whole block, with the images that were finished before."""
        whole = {
            name: np.full((size, *array.shape[1:]), arrays.empty(array.dtype), array.dtype)
            for name, array in content.items()
        }
        if before:
            kept = [int(row["position"]) for row in before]
            for name, array in arrays.read(self.path, kept).items():
                whole[name][[position - start for position in kept]] = array
        return whole

    def _make_arrays(self, content: Mapping[str, ndarray]) -> None:
        if set(content) <= set(arrays.names(self.path)):
            return
        with _locked(self.path, "store"):
            arrays.create_arrays(self.path, content, self.images, self.card.block)


def taken(lock: BaseFileLock, *, is_patient: bool = False) -> bool:
    """Whether the lock could be had."""
    from filelock import Timeout

    try:
        lock.acquire(timeout=-1 if is_patient else 0)
    except Timeout:
        return False
    return True


@contextmanager
def naming_full_disk(path: Path) -> Iterator[None]:
    """Say what to do where the disk is full or not to be written to."""
    try:
        yield
    except OSError as error:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        why = "the disk is full" if is_full else f"{error.strerror or error}"
        raise StoreError(
            f"{path} cannot be written to: {why}. What is finished is safe; make room and run the same command again"
            if is_full
            else f"{path} cannot be written to: {why}"
        ) from error


@contextmanager
def _locked(store: Path, name: str) -> Iterator[None]:
    file = lock_file(store, name)
    file.parent.mkdir(parents=True, exist_ok=True)
    with _lock(file):
        yield


def _lock(file: Path) -> BaseFileLock:
    try:
        from filelock import FileLock
    except ImportError as error:
        raise MissingDependency(
            "stores of explanations need filelock: pip install 'shapsight[store]'"
        ) from error
    # One thread takes a block, another writes it and lets it go.
    return FileLock(file, thread_local=False)


def _refuse_other(path: Path) -> None:
    if path.is_file():
        raise StoreError(f"{path} is a file; a store is a folder")
    holds = {each.name for each in path.iterdir()} if path.is_dir() else set()
    if holds and not holds <= {"table"} and GROUP not in holds:
        raise StoreError(f"{path} is not empty and no store of explanations; name another --store")
