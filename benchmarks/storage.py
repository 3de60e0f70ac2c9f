"""Saving and loading explanations beside writing and reading the same bytes to the same disk.

    python benchmarks/storage.py --images 1000 --folder runs

Every file is flushed to the disk (fsync) before the clock stops, and put out of the page cache before it is read; what
is read is summed, so that mapped pages are really fetched. All ways are timed in turn, and the median is reported.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from shapsight import Explanation


def random_explanation(images: int) -> Explanation:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(images, 1, 3, 224, 224, generator=generator) * 1e-3
    base = torch.zeros(images, 1)
    total = values.sum((2, 3, 4))
    pictures = torch.rand(images, 3, 224, 224, generator=generator)
    return Explanation(values, base, total, base, base.long(), pictures, ("x",), method="DeepSHAP")


def flushed(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def forgotten(path: Path) -> None:
    """Out of the page cache, so that the next read comes from the disk."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def write_raw(explanation: Explanation, path: Path) -> None:
    with path.open("wb") as file:
        for tensor in (explanation.values, explanation.images):
            file.write(memoryview(tensor.numpy()).cast("B"))


def read_raw(path: Path) -> float:
    return float(np.fromfile(path, dtype=np.float32).sum())


def read_ours(path: Path) -> float:
    found = Explanation.load(path)
    return float(found.values.sum() + found.images.sum())


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=None, help="on the disk to be measured")
    options = parser.parse_args()
    explanation = random_explanation(options.images)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        paths = {name: Path(folder) / name for name in ("raw", "float32", "float16")}
        writes: dict[str, Callable[[], object]] = {
            "raw": lambda: write_raw(explanation, paths["raw"]),
            "float32": lambda: explanation.save(paths["float32"]),
            "float16": lambda: explanation.save(paths["float16"], dtype="float16"),
        }
        times: dict[tuple[str, str], list[float]] = {}
        for _ in range(options.rounds):
            for name, write in writes.items():
                path = paths[name]
                times.setdefault(("write", name), []).append(seconds(lambda: (write(), flushed(path))))  # noqa: B023
                forgotten(path)
                read = read_raw if name == "raw" else read_ours
                times.setdefault(("read", name), []).append(seconds(lambda: read(path)))  # noqa: B023
        sizes = {name: path.stat().st_size for name, path in paths.items()}
        report(options.images, times, sizes, Explanation.load(paths["float16"]))


def report(
    images: int, times: dict[tuple[str, str], list[float]], sizes: dict[str, int], half: Explanation
) -> None:
    print(f"{images} explanations of 3 × 224 × 224, with their images")
    for (what, name), found in times.items():
        median, raw = statistics.median(found), statistics.median(times[what, "raw"])
        print(
            f"{what:5} {name:8} {sizes[name] / 1e6:7.0f} MB {median:6.2f} s {sizes[name] / 1e6 / median:6.0f} MB/s "
            f"{median / raw:5.2f} × raw"
        )
    print(half)


if __name__ == "__main__":
    main()
