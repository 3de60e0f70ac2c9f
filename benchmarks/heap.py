"""What keeping freed memory is worth, and what it costs: time, page faults and memory of long explanations.

    OMP_NUM_THREADS=1 python benchmarks/heap.py deep             # and with --keep
    OMP_NUM_THREADS=1 python benchmarks/heap.py partition --evals 4000

Each in a process of its own, since what malloc is told lasts as long as the process.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import torch
import torchvision

from shapsight import DeepShap, PartitionShap
from shapsight.attribution.shared import heap


def resident() -> float:
    """MB of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("method", choices=("deep", "partition"))
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--evals", type=int, default=4000)
    parser.add_argument("--size", type=int, default=224)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if asked.keep:
        heap.keep_freed_memory()
    model = torchvision.models.squeezenet1_1(weights=None).eval()
    images = torch.rand(2, 3, asked.size, asked.size)
    if asked.method == "deep":
        explainer = DeepShap(model, torch.rand(16, 3, asked.size, asked.size))
        explainer(images[:1], [0])
    else:
        explainer = PartitionShap(model, "blur(16,16)", max_evals=asked.evals)
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    at_first = resident()
    explainer(images if asked.method == "deep" else images[:1], [0])
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
    print(
        f"{asked.method}, {'freed memory is kept' if asked.keep else 'malloc as it is'}: {seconds:.1f} s "
        f"(system {after.ru_stime - before.ru_stime:.1f} s), {after.ru_minflt - before.ru_minflt:,} page faults, "
        f"most {after.ru_maxrss / 1000:,.0f} MB, afterwards {resident() - at_first:+,.0f} MB"
    )


if __name__ == "__main__":
    main()
