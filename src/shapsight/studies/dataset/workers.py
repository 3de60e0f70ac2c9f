"""Several processes that work on one store: each on a device, none on what another one works on."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from threading import Thread
from typing import Any

import torch

from shapsight.errors import ModelError, ShapsightError, StoreError
from shapsight.studies.dataset.job import Job
from shapsight.studies.dataset.work import Done, Work
from shapsight.studies.shared.subject import on_device

# Of each process's place: deaths one after the other without an image explained, such as while loading.
IN_VAIN = 8
RAISED = 1  # the exit code of a process that printed an exception


@dataclass(frozen=True, eq=False)
class _Started:
    """A process, and what it tells by."""

    process: BaseProcess
    told: Connection


def by_processes(job: Job, blocks: Sequence[int], devices: Sequence[str], count: int) -> Iterator[Done | str]:
    """The work on some blocks by `count` processes, as it is done, and sentences about processes that died.

    For a process that died another one is started, which goes on with fewer images at a time. Raises what a process
    raised, `ModelError` for a model that cannot be sent to one, and `StoreError` where they die again and again.
    """
    content = sent(job)
    # a copy of a process that holds threads or a GPU would hang
    context = multiprocessing.get_context("spawn")
    threads = max(1, torch.get_num_threads() // count)

    def start(number: int) -> _Started:
        told, tell = context.Pipe(duplex=False)
        turned, device = _turned(blocks, number, count), devices[number % len(devices)]
        process = context.Process(target=_worker, args=(content, turned, device, threads, tell), daemon=True)
        process.start()
        tell.close()
        return _Started(process, told)

    started = {number: start(number) for number in range(count)}
    try:
        yield from _collected(started, start)
    finally:
        for each in started.values():
            each.process.terminate()
            each.process.join()
            each.told.close()


def _collected(started: dict[int, _Started], start: Callable[[int], _Started]) -> Iterator[Done | str]:
    """What processes tell until all have ended in order; each that dies is replaced by another."""
    running, deaths = set(started), 0
    while running:
        ready = wait([started[number].told for number in running])
        for number in [each for each in running if started[each].told in ready]:
            try:
                said = started[number].told.recv()
            except EOFError:
                code = _exit_code(started[number])
                if code == 0:
                    running.remove(number)
                    continue
                deaths += 1
                yield _died(number, len(started), code, deaths)
                started[number] = start(number)
                continue
            if isinstance(said, ShapsightError):
                raise said
            deaths = 0 if said.explained else deaths
            yield said


def _exit_code(ended: _Started) -> int | None:
    ended.told.close()
    ended.process.join()
    return ended.process.exitcode


def _died(number: int, count: int, code: int | None, deaths: int) -> str:
    """What is said of a process that ended by itself. Raises `StoreError` where another one would, too."""
    if code == RAISED:
        raise StoreError(
            f"process {number + 1} of {count} ended with the error that it has printed. What is finished is safe"
        )
    if deaths >= IN_VAIN * count:
        raise StoreError(
            f"{deaths} processes ended by themselves, one after the other, before any explained an image (exit code "
            f"{code}; -9 is usually memory): use fewer --workers"
        )
    return (
        f"process {number + 1} of {count} ended by itself (exit code {code}; -9 is usually memory): another one goes "
        "on. With fewer --workers there is more memory"
    )


def _worker(content: bytes, blocks: Sequence[int], device: str, threads: int, tell: Connection) -> None:
    Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # in order: not as if memory had run out
    try:
        torch.set_num_threads(threads)
        job: Job = pickle.loads(content)  # our own, from the process that started this one
        with on_device(job.model.bundle, device):
            for done in Work(job).on(blocks):
                tell.send(done)
    except ShapsightError as error:
        tell.send(error)
    except KeyboardInterrupt:
        return


def _end_with_parent() -> None:
    """Not to go on alone when the process that started this one was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def sent(job: Job, dumps: Callable[[Any], bytes] = pickle.dumps) -> bytes:
    """A job as other processes get it. Raises `ModelError` for a model that cannot be sent."""
    try:
        return dumps(job)
    except Exception as error:  # pickle raises what it likes
        raise ModelError(
            f"the model cannot be sent to other processes ({error}): define its class and its transform in a module "
            "that can be imported, or leave --workers and --ray out"
        ) from error


def _turned(blocks: Sequence[int], number: int, count: int) -> list[int]:
    """All blocks, beginning with an own share, so that processes meet only at the end."""
    shares = [list(blocks[start::count]) for start in range(count)]
    return [block for share in (*shares[number:], *shares[:number]) for block in share]
