"""One process's work on a store: images are read ahead, explained and written at the same time, block by block."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import pandas as pd
import torch
from jaxtyping import UInt8
from torch import Tensor

from shapsight.data.manifest import Manifest
from shapsight.errors import DataError
from shapsight.store.writer import Writer, taken
from shapsight.studies.dataset.job import Job

if TYPE_CHECKING:
    from filelock import BaseFileLock

AHEAD = 2  # blocks that are read while one is explained
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Done:
    """What came of a block: how many images were explained, how many were finished before, and what went wrong.

    `changed` are images that were finished, but whose files are other pictures now.
    """

    block: int
    explained: int = 0
    known: int = 0
    failed: Mapping[str, str] = field(default_factory=dict)
    changed: Sequence[str] = ()
    notes: Sequence[str] = ()

    def after(self, earlier: Done | None) -> Done:
        """With what another process said of the same block: what that one explained is no longer found as known."""
        if earlier is None:
            return self
        explained = self.explained + earlier.explained
        known = self.explained + self.known - explained if self.known else earlier.known
        return Done(
            self.block,
            explained,
            max(known, 0),
            self.failed,
            [*earlier.changed, *self.changed],
            [*earlier.notes, *self.notes],
        )


@dataclass(frozen=True, eq=False)
class _Taken:
    """A block that this process works on, and the pictures that it still needs."""

    block: int
    lock: BaseFileLock | None
    rows: pd.DataFrame
    pictures: UInt8[Tensor, "images 3 height width"]
    known: Sequence[Mapping[str, Any]]
    done: Done


class Work:
    """A job as one process does it.

        for done in Work(job).on(blocks): ...

    Blocks that another process works on are left for the end, and then waited for: should that process die, its block
    is done here.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.writer = Writer(job.store, job.card)
        self.rows = {
            row["path"]: at for at, row in enumerate(job.manifest.table[["path"]].to_dict("records"))
        }
        self.wanted: dict[int, list[str]] = {}
        for path in job.paths:
            self.wanted.setdefault(self.writer.block_of(path), []).append(path)

    def on(self, blocks: Iterable[int]) -> Iterator[Done]:
        """The work on some blocks, as it is done."""
        held: set[Any] = set()
        try:
            later: list[int] = []
            yield from self._through(list(blocks), held, later, is_patient=False)
            yield from self._through(later, held, [], is_patient=True)
        finally:
            for lock in held:  # after Ctrl-C or an error; a process that is killed lets go by itself
                lock.release(force=True)

    def _through(
        self, blocks: Sequence[int], held: set[Any], later: list[int], *, is_patient: bool
    ) -> Iterator[Done]:
        def take(block: int) -> _Taken | int:
            lock = self.writer.lock(block)
            if not taken(lock, is_patient=is_patient):
                return block
            held.add(lock)
            return self._take(block, lock)

        writing: Future[Done] | None = None
        with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as scribe:
            # A patient one waits for others, who may wait for what is held here: one block at a time.
            for found in _ahead(take, blocks, 0 if is_patient else AHEAD, reader):
                if isinstance(found, int):
                    later.append(found)
                    continue
                if not len(found.rows):
                    self._release(found, held)
                    yield found.done
                    continue
                explained = self.job.explained(found.rows, found.pictures, found.known)
                if writing is not None:
                    yield writing.result()
                writing = scribe.submit(self._write, found, explained, held)
            if writing is not None:
                yield writing.result()

    def _take(self, block: int, lock: BaseFileLock) -> _Taken:
        """What is to be done in a block: images that are not finished, or that are other pictures now."""
        rows = {row["path"]: row for row in self.writer.rows(block)}
        wanted = self.wanted.get(block, [])
        open_paths = [path for path in wanted if not _is_as_before(rows.get(path), self._stamp(path))]
        pictures, failed = self._pictures(open_paths)
        changed, todo = [], []
        for path, picture in pictures.items():
            pixels = hashlib.sha256(picture.contiguous().numpy().tobytes()).hexdigest()
            if path in rows and rows[path]["pixels"] == pixels:
                continue
            if path in rows:
                changed.append(path)
            todo.append((path, picture, pixels))
        table = self.job.manifest.table.iloc[[self.rows[path] for path, _, _ in todo]]
        known = [
            {"position": self.writer.positions[path], "pixels": pixels, "stamp": self._stamp(path)}
            for path, _, pixels in todo
        ]
        stack = torch.stack([picture for _, picture, _ in todo]) if todo else torch.empty(0)
        before = len(wanted) - len(todo) - len(failed)
        return _Taken(block, lock, table, stack, known, Done(block, 0, before, failed, changed))

    def _pictures(self, paths: Sequence[str]) -> tuple[dict[str, Tensor], dict[str, str]]:
        """What the model sees of some images, and why some cannot be read."""
        bundle, manifest = self.job.model.bundle, self.job.manifest
        if not paths:
            return {}, {}
        try:
            return dict(zip(paths, bundle.load(manifest, paths), strict=True)), {}
        except DataError as error:
            if len(paths) == 1:
                return {}, {paths[0]: str(error)}
        found: dict[str, Tensor] = {}
        failed: dict[str, str] = {}
        for path in paths:
            one, why = self._pictures([path])
            found |= one
            failed |= why
        return found, failed

    def _write(self, found: _Taken, explained: Any, held: set[Any]) -> Done:
        self.writer.write(found.block, explained.rows, explained.arrays)
        self._release(found, held)
        done = found.done
        return Done(
            found.block,
            len(explained.rows),
            done.known,
            {**done.failed, **explained.failed},
            done.changed,
            explained.notes,
        )

    def _release(self, found: _Taken, held: set[Any]) -> None:
        if found.lock is not None:
            held.discard(found.lock)
            found.lock.release()

    def _stamp(self, path: str) -> str:
        return stamp(self.job.manifest, path)


def stamp(manifest: Manifest, path: str) -> str:
    """Size and time of a file, which tell quickly that it is the same; empty where an image is no file of its own."""
    if manifest.pictures is not None:
        return manifest.pictures.stamp(path)
    try:
        status = (manifest.root / path).stat()
    except OSError:
        return ""
    return f"{status.st_size}:{status.st_mtime_ns}"


def _is_as_before(row: Mapping[str, Any] | None, now: str) -> bool:
    return row is not None and now != "" and row["stamp"] == now


def _ahead(
    function: Callable[[Item], Result], items: Sequence[Item], most: int, pool: ThreadPoolExecutor
) -> Iterator[Result]:
    """Results in the order of the items, the next ones already being made."""
    if most == 0:
        yield from map(function, items)
        return
    running: deque[Future[Result]] = deque()
    try:
        for item in items:
            running.append(pool.submit(function, item))
            if len(running) > most:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        for future in running:
            future.cancel()
