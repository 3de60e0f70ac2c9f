"""One process's work on a store: images are read ahead, explained and written at the same time, block by block."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd
import psutil
import torch
from jaxtyping import Bool, Shaped
from numpy import ndarray
from torch import Tensor

from shapsight.data.manifest import Manifest
from shapsight.errors import DataError, ExplainerError, StoreError
from shapsight.store.writer import Writer, taken
from shapsight.studies.dataset.job import SHARING, Block, Job

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
    pictures: Shaped[Tensor, "images channels *sides"]
    known: Sequence[Mapping[str, Any]]
    regions: Bool[ndarray, "images height width"] | None
    done: Done
    deaths: int  # of processes that were killed while they explained it


class Work:
    """A job as one process does it.

        for done in Work(job).on(blocks): ...

    Blocks that another process works on are left for the end, and then waited for: should that process die, its block
    is done here.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.writer = Writer(job.store, job.card)
        self.most = job.together  # images that are explained at a time
        self.has_explained = False
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

        writing: Future[list[Done]] | None = None
        with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as scribe:
            # A patient one waits for others, who may wait for what is held here: one block at a time.
            found = _ahead(take, blocks, 0 if is_patient else AHEAD, reader)
            for some in self._joined(found, is_alone=is_patient):
                if isinstance(some, int):
                    later.append(some)
                    continue
                if not len(some[0].rows):
                    self._release(some[0], held)
                    yield some[0].done
                    continue
                explained = self._explained(some)
                if writing is not None:
                    yield from writing.result()
                writing = scribe.submit(self._write, some, explained, held)
            if writing is not None:
                yield from writing.result()

    def _joined(self, found: Iterable[_Taken | int], *, is_alone: bool) -> Iterator[list[_Taken] | int]:
        """Blocks that are explained in one call; those of which nothing is to be explained alone, and at once."""
        waiting: list[_Taken] = []
        for each in found:
            if isinstance(each, int):
                yield each
                continue
            if not len(each.rows):
                yield [each]
                continue
            if each.deaths:
                self.most = min(self.most, max(1, self.job.together >> each.deaths))
            waiting.append(each)
            if is_alone or sum(len(one.rows) for one in waiting) >= self.most:
                yield waiting
                waiting = []
        if waiting:
            yield waiting

    def _explained(self, some: Sequence[_Taken]) -> Block:
        """Blocks, explained; fewer images at a time where processes were killed while they did.

        Raises `StoreError` where a process was killed with one image at a time, and `ExplainerError` where no image at
        all can be explained.
        """
        rows = pd.concat([found.rows for found in some])
        known = [each for found in some for each in found.known]
        deaths = max(found.deaths for found in some)
        if deaths >= self.job.together.bit_length():
            self.writer.forget_deaths()
            raise StoreError(_deadly(rows, self.job, deaths))
        with self.writer.begun([found.block for found in some]):
            pictures = torch.cat([found.pictures for found in some])
            drawn = [found.regions for found in some if found.regions is not None]
            regions = np.concatenate(drawn) if drawn else None
            block = self.job.explained(rows, pictures, known, regions, self.most)
        self.has_explained |= bool(block.rows) or any(found.done.known for found in some)
        if not self.has_explained:
            raise ExplainerError(next(iter(block.failed.values())))
        if not deaths:
            return block
        return replace(block, notes=(_went_on(self.job, self.most), *block.notes))

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
        done = Done(block, 0, before, failed, changed)
        regions = self.job.regions(table)
        return _Taken(block, lock, table, stack, known, regions, done, self.writer.deaths(block))

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

    def _write(self, some: Sequence[_Taken], explained: Block, held: set[Any]) -> list[Done]:
        done = []
        for found in some:
            mine = [
                n for n, row in enumerate(explained.rows) if self.writer.block_of(row["path"]) == found.block
            ]
            if mine:
                arrays = {name: array[mine] for name, array in explained.arrays.items()}
                self.writer.write(found.block, [explained.rows[n] for n in mine], arrays)
            self._release(found, held)
            paths = set(found.rows["path"])
            failed = {path: reason for path, reason in explained.failed.items() if path in paths}
            notes = explained.notes if found is some[0] else ()
            failed = {**found.done.failed, **failed}
            done.append(Done(found.block, len(mine), found.done.known, failed, found.done.changed, notes))
        return done

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


def _went_on(job: Job, most: int) -> str:
    """What is said of images whose process was killed before."""
    how = f"went on with {most} images at a time, and the same values"
    how = how if job.settings.method in SHARING else "its images were done again"
    return f"a process was killed while it explained, as the system does where memory runs out: {how}"


def _deadly(rows: pd.DataFrame, job: Job, deaths: int) -> str:
    """What is said of images that process after process died of."""
    memory = psutil.virtual_memory()
    sides = " × ".join(map(str, job.framing.size))
    last = ", the last with one image at a time" if job.settings.method in SHARING else ""
    return (
        f"{deaths} processes were killed one after the other{last}, while they explained images of {sides} from "
        f"{rows['path'].iloc[0]} on, which is usually memory ({memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} "
        "GB are free now): use fewer --workers, a machine with more memory, or a model of smaller images. What is "
        "finished is safe, and the same command goes on"
    )


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
