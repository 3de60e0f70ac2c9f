"""What the demo comes to with other seeds: both verdicts, the errors of each remedy, and the time.

    OMP_NUM_THREADS=1 python benchmarks/demo.py runs/demos --seeds 10        # some 8 minutes of one core each

A seed draws the drives, the held-out images, the first weights and the order of images. A run that is there already is
not made again, so that a second call goes on where the first stopped. docs/demo.md has the table.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path

import torch

import shapsight
from shapsight.data.rooms import ROOMS
from shapsight.studies.demo.facts import Demo

FOUND = "found.json"
COLUMNS = (
    *("seed", "first verdict", "scene's share", "scene knows x: home, elsewhere"),
    *(f"MSE of x, {room}" for room in ROOMS),
    *("best remedy", *(f"its MSE, {room}" for room in ROOMS), "its scene's share", "last verdict", "CPU"),
)


def found_of(story: Demo, seconds: float) -> list[str]:
    """A row of the table; errors also as shares of the target's variance in the room."""
    target = story.manifest.targets[0]
    variances = story.manifest.table.groupby("environment")[target].var(ddof=0)

    def errors(recipe: str) -> list[str]:
        attempt = next(each for each in story.attempts if each.recipe == recipe)
        return [
            f"{error.value:.4f} ({error.value / float(variances[room]):.0%})"
            for room, error in attempt.errors.items()
        ]

    look, shares = (
        story.before.facts.look,
        [each.facts.why.scene_share for each in (story.before, story.after)],
    )
    share, after = (f"{each.value:.0%} ({each.low:.0%} to {each.high:.0%})" for each in shares)
    knows = f"{look.home.scene_knows.value:.2f}, {look.elsewhere.scene_knows.value:.2f}"
    return [
        *(f"**{story.before.verdict.level}**", share, knows, *errors("baseline")),
        *(story.best.recipe, *errors(story.best.recipe), after),
        *(f"**{story.after.verdict.level}**", f"{seconds:.0f} s"),
    ]


def main() -> None:
    """Print a row a seed."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("folder", type=Path)
    options.add_argument("--seeds", type=int, default=10)
    options.add_argument("--first", type=int, default=0)
    chosen = options.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    print("| " + " | ".join(COLUMNS) + " |\n|" + " --- |" * len(COLUMNS), flush=True)
    for seed in range(chosen.first, chosen.first + chosen.seeds):
        kept = chosen.folder / str(seed) / FOUND
        if not kept.is_file():
            started = time.process_time()
            story = shapsight.demo(kept.parent, seed=seed, device="cpu", overwrite=True, progress=False)
            kept.write_text(json.dumps(found_of(story, time.process_time() - started), ensure_ascii=False))
        print("| " + " | ".join([str(seed), *json.loads(kept.read_text())]) + " |", flush=True)


if __name__ == "__main__":
    main()
