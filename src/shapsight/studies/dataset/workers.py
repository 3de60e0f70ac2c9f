"""Several processes that work on one store: each on a device, none on what another one works on."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import queue
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.process import BaseProcess
from threading import Thread
from typing import Any

import torch

from shapsight.errors import ModelError, ShapsightError, StoreError
from shapsight.studies.dataset.job import Job
from shapsight.studies.dataset.work import Done, Work
from shapsight.studies.shared.subject import on_device

CHECK = 0.5  # seconds between looks at whether the processes still live


def by_processes(job: Job, blocks: Sequence[int], devices: Sequence[str], count: int) -> Iterator[Done | str]:
    """The work on some blocks by `count` processes, as it is done, and sentences about processes that died.

    What a process leaves that died is done by the others. Raises what a process raised, `ModelError` for a model that
    cannot be sent to one, and `StoreError` where all of them died.
    """
    content = sent(job)
    context = multiprocessing.get_context(
        "spawn"
    )  # a copy of a process that holds threads or a GPU would hang
    found: Any = context.Queue()
    threads = max(1, torch.get_num_threads() // count)
    processes = [
        context.Process(
            target=_worker,
            args=(content, _turned(blocks, n, count), devices[n % len(devices)], threads, found),
            daemon=True,
        )
        for n in range(count)
    ]
    for process in processes:
        process.start()
    try:
        yield from _collected(processes, found)
    finally:
        for process in processes:
            process.terminate()
            process.join()
        found.close()


def _collected(processes: Sequence[BaseProcess], found: Any) -> Iterator[Done | str]:
    ended = 0
    gone: set[int] = set()
    while ended + len(gone) < len(processes):
        try:
            each = found.get(timeout=CHECK)
        except queue.Empty:
            for number, process in enumerate(processes):
                if process.exitcode not in (None, 0) and number not in gone:
                    gone.add(number)
                    yield (
                        f"process {number + 1} of {len(processes)} ended by itself (exit code {process.exitcode}; -9 "
                        "is usually memory): the others do its images. With fewer --workers there is more memory"
                    )
            continue
        if isinstance(each, ShapsightError):
            raise each
        if isinstance(each, Done):
            yield each
        else:
            ended += 1
    if not ended:
        raise StoreError("all processes ended by themselves, which is usually memory: use fewer --workers")


def _worker(content: bytes, blocks: Sequence[int], device: str, threads: int, found: Any) -> None:
    Thread(target=_end_with_parent, daemon=True).start()
    try:
        torch.set_num_threads(threads)
        job: Job = pickle.loads(content)  # our own, from the process that started this one
        with on_device(job.model.bundle, device):
            for done in Work(job).on(blocks):
                found.put(done)
        found.put(None)
    except ShapsightError as error:
        found.put(error)
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
