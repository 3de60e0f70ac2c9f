"""Several machines that work on one store: Ray Data hands out blocks, and gives those of whatever dies to others.

Where a block goes, how many wait at a worker, and what is tried again is Ray's; a worker does what a process of
`--workers` does, and an image's values are the same. What travels are numbers of blocks, not pixels: the job, with the
network and its references, lies once in each machine's object store, and workers write into the store themselves.
"""

from __future__ import annotations

import logging
import os
import pickle
import platform
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from shapsight.data.given_files import is_file
from shapsight.errors import MissingDependency, ModelError, SettingError, ShapsightError, StoreError
from shapsight.studies.dataset.job import Job
from shapsight.studies.dataset.work import Done, Work
from shapsight.studies.dataset.workers import sent
from shapsight.studies.shared.subject import on_device

TURNS = 64  # tasks of a worker, at least, where there are blocks enough: the last ones end at nearly the same time
LARGEST = 16  # blocks of a task, at most: what a worker that dies leaves to be looked at again
RESTARTS = 50  # of each worker: Ray itself would go on for ever
SMALLEST_STORE = 200 << 20  # bytes of the object store of a Ray of our own
RAISED = re.compile(r"[\w.]*(Error|Exception)\b.*: ")
WAIT = 5.0  # seconds in which whatever listens at an address answers


def by_ray(job: Job, blocks: Sequence[int], address: str, workers: int | None) -> Iterator[Done | str]:
    """The work on some blocks by workers of a Ray cluster, as it is done, and sentences for the user.

    `address` is "local" for a Ray of our own on this machine, "auto" for the one that runs here (or RAY_ADDRESS), or
    HOST:PORT. Workers take a GPU each where the cluster has any, else share its CPUs; `workers` is how many, by default
    all. Raises what a worker raised, `SettingError` where no Ray runs or takes part, and `StoreError` where workers die
    again and again.
    """
    content = sent(_placed(job), _cloudpickle().dumps)
    with _cluster(address, len(content)) as ray:
        shares = _shares(ray.nodes(), job.settings.device, workers)
        yield f"{shares.workers} workers of Ray, {shares.said}"
        yield from _handed_out(ray, content, blocks, shares)


@dataclass(frozen=True)
class Shares:
    """How many workers there are, and what each of them has."""

    workers: int
    device: str
    cpus: int
    gpus: int

    @property
    def said(self) -> str:
        """What each has, in words."""
        each = "each with a GPU" if self.gpus else f"each with {self.cpus} of the CPUs"
        return f"{each} ({self.device})"


class Worker:
    """What Ray keeps in a process of its own, and calls with numbers of blocks."""

    def __init__(self, content: Any, shares: Shares) -> None:
        self.content, self.shares = content, shares

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, list[bytes]]:
        """Do some blocks; what came of each, or what was raised: Ray would wrap that beyond recognition."""
        try:
            with on_device(self.work.job.model.bundle, self.shares.device):
                found: list[Any] = list(self.work.on(batch["item"].tolist()))
        except ShapsightError as error:
            found = [error]
        return {"done": [pickle.dumps(each) for each in found]}

    @cached_property
    def work(self) -> Work:
        """The job, once for all blocks."""
        import ray

        torch.set_num_threads(self.shares.cpus)
        content = ray.get(self.content)
        try:
            job: Job = pickle.loads(content)  # our own, from the process that asked for it
        except (ImportError, AttributeError) as error:
            raise ModelError(
                f"the machine {platform.node()} of the cluster cannot import what the model is made of ({error}): "
                "install it there, or define the model in the script itself"
            ) from error
        _refuse_unseen(job)
        return Work(job)


def _handed_out(ray: Any, content: bytes, blocks: Sequence[int], shares: Shares) -> Iterator[Done | str]:
    import ray.data as ray_data
    from ray.exceptions import RayError

    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what it has to say is said here
    ray_data.DataContext.get_current().enable_progress_bars = False
    size = min(max(len(blocks) // (shares.workers * TURNS), 1), LARGEST)
    tasks = ray_data.from_items(list(blocks), override_num_blocks=-(-len(blocks) // size))
    found = tasks.map_batches(
        Worker,
        fn_constructor_args=(ray.put(content), shares),
        batch_size=None,  # a task each
        concurrency=shares.workers,
        num_cpus=shares.cpus,
        num_gpus=shares.gpus,
        max_restarts=RESTARTS,
    )
    try:
        for row in found.iter_rows():
            each = pickle.loads(row["done"])
            if isinstance(each, ShapsightError):
                raise each
            yield each
    except RayError as error:
        raise StoreError(
            f"Ray gave up: {_why(error)}. What is finished is safe, and the same command goes on"
        ) from error


def _why(error: Exception) -> str:
    """What Ray says, in a line: what was raised last, not what was made of it and how that could be tried again."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    if raised := [line for line in lines if RAISED.match(line) and not line.startswith("ray.")]:
        return raised[-1]
    if "died" in type(error).__name__.lower():
        return f"a worker ended by itself more than {RESTARTS} times, which is usually memory: use fewer --workers"
    return lines[0]


@contextmanager
def _cluster(address: str, size: int) -> Iterator[Any]:
    """Ray, connected; a user's own connection is used as it is, and stays."""
    # Ray tells its makers how it is used unless told otherwise before it starts.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray = _ray()
    if ray.is_initialized():
        yield ray
        return
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == "local":
        memory = max(SMALLEST_STORE, 4 * size)
        options |= {"object_store_memory": memory, "include_dashboard": False}
    else:
        _refuse_silent(address)
    try:
        ray.init(address=address, **options)
    except Exception as error:  # of many kinds, and Exception itself where its start took too long
        why = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise SettingError(
            f"Ray did not start here ({why}): try again, or use --workers without --ray"
            if address == "local"
            else f"Ray cannot be used ({why}): {_no_ray(address)}"
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _shares(nodes: Sequence[dict[str, Any]], device: str, workers: int | None) -> Shares:
    """What each worker gets, of what the machines have. Raises `SettingError` where that is less than is asked."""
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    gpus, cpus = (sum(int(node.get(kind, 0)) for node in alive) for kind in ("GPU", "CPU"))
    if "," in device or device.startswith("cuda:"):
        raise SettingError(
            f"--device {device} names GPUs of one machine; with --ray each worker takes one: --device cuda"
        )
    has_gpus = device == "cuda" or (device == "auto" and gpus > 0)
    there, kind = (gpus, "GPUs") if has_gpus else (cpus, "CPUs")
    if there < (workers or 1):
        raise SettingError(f"Ray has {there} {kind}, which is not enough for --workers {workers or 1}")
    count = workers or there
    if has_gpus:
        return Shares(count, "cuda", 1, 1)
    fitting = (
        size
        for size in range(cpus // count, 0, -1)
        if sum(int(n.get("CPU", 0)) // size for n in alive) >= count
    )
    return Shares(count, device, next(fitting), 0)


def _placed(job: Job) -> Job:
    """The job with whole paths: a worker's folder is another."""
    return replace(
        job, store=job.store.resolve(), manifest=replace(job.manifest, root=job.manifest.root.resolve())
    )


def _refuse_unseen(job: Job) -> None:
    """Raise `StoreError` on a machine that does not see the store or the images."""
    needed = [job.store, *([] if job.manifest.pictures is not None else [job.manifest.root])]
    for path in needed:
        if not path.exists():
            raise StoreError(
                f"the machine {platform.node()} of the cluster sees nothing at {path}: store and images must lie where "
                "all machines find them by the same path, such as a network disk"
            )


def _refuse_silent(address: str) -> None:
    """Raise `SettingError` where nobody listens, which Ray itself would find out after minutes."""
    given = os.environ.get("RAY_ADDRESS") or _started_last() if address == "auto" else address
    if "://" in given:
        raise SettingError(
            f"--ray {given} would connect from outside the cluster: start the command on one of its machines with "
            "--ray auto, or by ray job submit"
        )
    host, colon, port = given.rpartition(":")
    if given == "auto":
        return
    if not colon or not port.isdecimal():
        raise SettingError(f"--ray {given} is none of auto, local and HOST:PORT")
    try:
        socket.create_connection((host, int(port)), WAIT).close()
    except (OSError, OverflowError) as error:
        raise SettingError(f"{_no_ray(given)} ({error})") from error


def _started_last() -> str:
    """The address that `ray start` left on this machine, also where it has ended since; "auto" where there is none."""
    file = Path(os.environ.get("RAY_TMPDIR", "/tmp")) / "ray" / "ray_current_cluster"
    return (file.read_text().strip() if is_file(file) else "") or "auto"


def _no_ray(address: str) -> str:
    where = "on this machine" if address == "auto" else f"at {address}"
    return (
        f"no Ray runs {where}: start one with `ray start --head`, give its HOST:PORT, or use --ray local for one that "
        "is started and ended with the command"
    )


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise MissingDependency("--ray needs Ray: pip install 'shapsight[ray]'") from error
    return ray


def _cloudpickle() -> Any:
    _ray()
    from ray import cloudpickle

    return cloudpickle
