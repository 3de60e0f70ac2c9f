"""How much of a training's time is spent in the network, and how much in changing its pictures.

    python benchmarks/training.py --images 1500 --epochs 1
    python benchmarks/training.py --images 64 --arch squeezenet1_1 --remedies

Pictures are written as JPEG first, then read, checked, decoded and trained on, as `shapsight train` does. In the
network means forward and backward passes, loss and optimiser, by a stopwatch around Adam's step, inside which
Lightning runs them, and around validation. Colour jitter is timed where it is drawn and applied, and beside it
torchvision's, image by image, on as many images; with `--remedies` each remedy, image by image, too. Shares are of the
process's CPU seconds, which other programs on the machine change little.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import v2

from shapsight.data.images import load_images
from shapsight.data.manifest import Manifest
from shapsight.data.readers import read_dataset
from shapsight.data.remedies import REMEDIES, ColorJitter, read_recipe
from shapsight.data.remedies.batches import RecipeSamples
from shapsight.models import loop
from shapsight.models.build import build_model
from shapsight.models.plan import TrainingPlan
from shapsight.models.train import fit


def write_pictures(folder: Path, count: int, size: int) -> None:
    """Smooth noise, which compresses as photographs do."""
    generator = np.random.default_rng(0)
    folder.mkdir()
    for number in range(count):
        x, y = generator.integers(size, size=2)
        coarse = Image.fromarray(generator.integers(0, 256, (size // 8, size // 8, 3), dtype=np.uint8))
        coarse.resize((size, size), Image.Resampling.BICUBIC).save(
            folder / f"{x}_{y}_{number:05}.jpg", quality=90
        )


class Stopwatch:
    """Adds up the seconds, by the clock and of the process's CPUs, inside what it watches."""

    def __init__(self) -> None:
        self.seconds = self.cpu_seconds = 0.0

    def __enter__(self) -> None:
        self.before = time.perf_counter(), time.process_time()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self.before[0]
        self.cpu_seconds += time.process_time() - self.before[1]

    def watched(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return run


def measure(images: int, size: int, epochs: int, batch_size: int, arch: str, *, has_remedies: bool) -> None:
    reading, training, network, steps, jitter = (Stopwatch() for _ in range(5))
    with tempfile.TemporaryDirectory() as name:
        write_pictures(Path(name) / "room", images, size)
        with reading:
            manifest = read_dataset(name)
            pixels = load_images(manifest, list(manifest.table["path"]), size)
        built = build_model(arch, 2, weights="none")
        # Lightning runs forward and backward inside the optimiser's step, so that step holds all of a batch.
        step, validation = torch.optim.Adam.step, loop.Regression.validation_step
        with ExitStack() as watching, training:
            for place, attribute, watched in (
                (torch.optim.Adam, "step", network.watched(steps.watched(step))),
                (loop.Regression, "validation_step", network.watched(validation)),
                (ColorJitter, "drawn", jitter.watched(ColorJitter.drawn)),
                (loop, "recoloured", jitter.watched(loop.recoloured)),
            ):
                watching.enter_context(patch.object(place, attribute, watched))
            fit(built, manifest, pixels, TrainingPlan(epochs=epochs, batch_size=batch_size))
    total = reading.seconds + training.seconds
    print(f"{arch}, {images} images of {size} × {size}, {epochs} epochs in batches of {batch_size}")
    print(f"reading, decoding and resizing {reading.seconds:.1f} s, training {training.seconds:.1f} s")
    print(
        f"in the network {network.seconds:.1f} s: {network.seconds / training.seconds:.1%} of the training, "
        f"{network.seconds / total:.1%} of everything"
    )
    shown = epochs * len(manifest.rows("train"))
    print("| change of the pictures | CPU ms an image | of a step |\n| --- | --- | --- |")
    line = "| {} | {:.2f} | {:.1%} |".format
    own = jitter.cpu_seconds / shown
    of_step = steps.cpu_seconds / shown
    print(line("colour jitter by batches", 1e3 * own, own / (own + of_step)))
    theirs = seconds_an_image(lambda row: v2.ColorJitter(0.2, 0.2, 0.2, 0.05)(pixels[row]), images)
    print(line("torchvision's, image by image", 1e3 * theirs, theirs / (theirs + of_step)))
    for remedy in REMEDIES.values() if has_remedies else ():
        if remedy.make is not None:
            changed = seconds_an_image(samples(manifest, pixels, remedy.name), images)
            print(line(f"the remedy {remedy.name}", 1e3 * changed, changed / (changed + of_step)))


def seconds_an_image(change: Callable[[int], Any], count: int) -> float:
    """CPU seconds, after a first image that is not counted."""
    change(0)
    watch = Stopwatch()
    with watch:
        for row in range(count):
            change(row)
    return watch.cpu_seconds / count


def samples(manifest: Manifest, pixels: torch.Tensor, remedy: str) -> Callable[[int], Any]:
    """A training sample of a row under a remedy; the region is the lower half."""
    masks = torch.zeros(len(pixels), *pixels.shape[2:], dtype=torch.bool)
    masks[:, pixels.shape[2] // 2 :] = True
    drawn = RecipeSamples(manifest, pixels, read_recipe(remedy), masks=masks)
    return lambda row: drawn[row, row]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--arch", default="resnet18")
    parser.add_argument("--remedies", action="store_true", help="time every remedy, too")
    options = parser.parse_args()
    measure(
        options.images,
        options.size,
        options.epochs,
        options.batch_size,
        options.arch,
        has_remedies=options.remedies,
    )


if __name__ == "__main__":
    main()
