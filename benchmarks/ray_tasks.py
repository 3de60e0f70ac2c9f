"""What handing out work costs Ray: workers that only sleep, in the way that `shapsight explain --ray` uses them.

    python benchmarks/ray_tasks.py --workers 8 --tasks 400 --sleep 0.01
    python benchmarks/ray_tasks.py --workers 64 --tasks 1280 --sleep 5      # as 64 GPUs would, some four minutes

Tells how long the workers took to start, how many tasks a second were handed out and came back, and how many of them
the driver's processor can do. A task is up to 16 blocks of 16 images.
"""

from __future__ import annotations

import argparse
import os
import time
from typing import Any

CPUS = (
    2  # that Ray is told of: workers that sleep share one of them, so that there may be many more than cores
)
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_BACKEND_LOG_LEVEL"] = "fatal"


class Sleeper:
    """A worker of no work."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        time.sleep(self.seconds)
        return {"done": batch["item"]}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--tasks", type=int, default=400)
    parser.add_argument("--sleep", type=float, default=0.01, help="seconds a task")
    given = parser.parse_args()

    import logging

    import ray
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    ray.init(
        "local",
        num_cpus=CPUS,
        object_store_memory=200 << 20,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    ray.data.DataContext.get_current().enable_progress_bars = False
    started = time.perf_counter()
    tasks = ray.data.from_items(list(range(given.tasks)), override_num_blocks=given.tasks)
    made = time.perf_counter() - started
    found = tasks.map_batches(
        Sleeper,
        fn_constructor_args=(given.sleep,),
        batch_size=None,
        concurrency=given.workers,
        num_cpus=CPUS / 2 / given.workers,
    )
    started = time.perf_counter()
    first, processor, count = 0.0, 0.0, 0
    for count, _ in enumerate(found.iter_rows(), 1):
        if count == 1:
            first, processor = time.perf_counter(), time.process_time()
    last, spent = time.perf_counter(), time.process_time() - processor
    print(
        f"{given.workers} workers, {given.tasks} tasks of {given.sleep} s: made in {made:.2f} s, first after "
        f"{first - started:.1f} s, then {(count - 1) / (last - first):.1f} tasks/s of "
        f"{given.workers / max(given.sleep, 1e-9):.0f}; {spent / count * 1000:.2f} ms of the driver's processor each",
        flush=True,
    )
    ray.shutdown()


if __name__ == "__main__":
    main()
