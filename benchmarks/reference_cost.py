"""What choosing references costs, and what it saves.

    python benchmarks/reference_cost.py clock --runs runs   # 12 photographs by 100 drawn references and by 25 chosen
    python benchmarks/reference_cost.py large               # choosing 25 of 100,000 images: seconds and memory

The clock takes the run squeeze_room1 of docs/references.md. Drawn and chosen take turns, three times, each with other
seeds; errors are those of `references.py`, against all 1,218 training photographs as references.
"""

from __future__ import annotations

import argparse
import resource
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from reference_cases import CASES, Case
from references import AT, KINDS, views
from torch import Tensor, nn

from shapsight import DeepShap, choose_references
from shapsight.attribution.trees import region_map
from shapsight.models.small_cnn import SmallCnn


def clock(case: Case) -> None:
    _, truth = explained(case, case.pool)
    for seed in range(3):
        drawn = case.pool[np.random.default_rng(seed).permutation(len(case.pool))[:100]]
        seconds, chosen = timed(lambda seed=seed: choose_references(case.model, case.pool, AT, seed=seed))
        print(f"choosing {seconds}")
        for name, references in (("100 drawn", drawn), ("25 chosen", chosen)):
            seconds, found = explained(case, references)
            said = ", ".join(f"{kind} {error(found, truth, kind):.3f}" for kind in KINDS)
            print(f"{name}: {len(truth)} images {seconds}; errors of {said}", flush=True)


def timed(what: Callable[[], Any]) -> tuple[str, Any]:
    """Seconds of the clock, and of the processor: the same on a machine that nobody shares."""
    clock, processor = time.perf_counter(), time.process_time()
    found = what()
    clock, processor = time.perf_counter() - clock, time.process_time() - processor
    return f"{clock:.1f} s, {processor:.1f} of the processor", found


def explained(case: Case, references: Any) -> tuple[str, list[dict[str, Tensor]]]:
    """The seconds, and all numbers of every image."""
    seconds, found = timed(lambda: DeepShap(case.model, references)(case.images, case.outputs))
    maps = found.values.sum(2)
    regions = [region_map(picture.double(), 100) for picture in case.pictures]
    each = zip(maps, regions, case.inside, found.base_values, strict=True)
    return seconds, [views(*of_image) for of_image in each]


def error(found: list[dict[str, Tensor]], truth: list[dict[str, Tensor]], kind: str) -> float:
    """Relative to the truth's root mean square; the mean over images and outputs."""
    squares = [
        (one[kind] - true[kind]).square().mean(1) / true[kind].square().mean(1)
        for one, true in zip(found, truth, strict=True)
    ]
    return float(torch.cat(squares).sqrt().mean())


class Waves:
    """100,000 smooth images that nobody holds: each is made when it is asked for."""

    def __len__(self) -> int:
        return 100_000

    def __getitem__(self, rows: slice) -> Tensor:
        number = torch.arange(*rows.indices(len(self)), dtype=torch.float64)[:, None]
        coarse = torch.sin(number * torch.arange(1, 49).sqrt() * 997).float().view(-1, 3, 4, 4)
        return nn.functional.interpolate(coarse, size=32, mode="bicubic")


def large() -> None:
    torch.manual_seed(0)
    model, before = SmallCnn(10).eval(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds, _ = timed(lambda: choose_references(model, Waves(), AT))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"25 of 100,000: {seconds}; {after / 2**20:.2f} GiB at most, {before / 2**20:.2f} before")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["clock", "large"])
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if options.what == "clock":
        clock(CASES["squeeze_room1"](options.runs, each=4))
    else:
        large()


if __name__ == "__main__":
    main()
