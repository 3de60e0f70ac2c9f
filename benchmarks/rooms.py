"""How many photographs of the demo world are rendered a second, on one core.

    OMP_NUM_THREADS=1 python benchmarks/rooms.py [--size 128] [--images 100]

Counts everything that makes a `Frame`: 2 × 2 rays a pixel, light, noise, target and ROI mask. Building a room happens
once in a process and is told apart. Both clocks are shown: they part ways when other programs use the same core.
"""

from __future__ import annotations

import argparse
import time

from shapsight.data.rooms import ROOMS, drive


def measured(room: str, size: int, images: int) -> tuple[float, float, float]:
    """Seconds to build the room, and images a second by the wall clock and by processor time."""
    start = time.perf_counter()
    next(drive(room, 1, size=size))
    built = time.perf_counter() - start
    wall, processor = time.perf_counter(), time.process_time()
    for _ in drive(room, images, size=size):
        pass
    return built, images / (time.perf_counter() - wall), images / (time.process_time() - processor)


def main() -> None:
    """Print a line a room."""
    options = argparse.ArgumentParser()
    options.add_argument("--size", type=int, default=128)
    options.add_argument("--images", type=int, default=100)
    chosen = options.parse_args()
    print(f"{chosen.images} images of {chosen.size} × {chosen.size} pixels, 4 rays a pixel")
    for room in ROOMS:
        built, wall, processor = measured(room, chosen.size, chosen.images)
        print(f"{room}: {wall:.0f} images/s ({processor:.0f} by processor time); built in {built:.1f} s")


if __name__ == "__main__":
    main()
