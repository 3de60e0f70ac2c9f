"""How much of a training's time is spent in the network: ResNet-18 at 224 × 224, jitter on, decoding included.

    python benchmarks/training.py --images 1500 --epochs 1

Pictures are written as JPEG first, then read, checked, decoded and trained on, as `shapsight train` does. In the
network means forward and backward passes, loss and optimiser, by a stopwatch around Adam's step, inside which
Lightning runs them, and around validation.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from shapsight.data.images import load_images
from shapsight.data.readers import read_dataset
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
    """Adds up the seconds inside the functions that it watches."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def watched(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            before = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds += time.perf_counter() - before

        return run


def measure(images: int, size: int, epochs: int, batch_size: int, arch: str) -> None:
    watch = Stopwatch()
    with tempfile.TemporaryDirectory() as name:
        write_pictures(Path(name) / "room", images, size)
        started = time.perf_counter()
        manifest = read_dataset(name)
        read = time.perf_counter()
        pixels = load_images(manifest, list(manifest.table["path"]), size)
        loaded = time.perf_counter()
        built = build_model(arch, 2, weights="none")
        # Lightning runs forward and backward inside the optimiser's step, so that step holds all of a batch.
        step, validate = torch.optim.Adam.step, loop.Regression.validation_step
        torch.optim.Adam.step = watch.watched(step)
        loop.Regression.validation_step = watch.watched(validate)
        try:
            fit(built, manifest, pixels, TrainingPlan(epochs=epochs, batch_size=batch_size))
        finally:
            torch.optim.Adam.step, loop.Regression.validation_step = step, validate
        ended = time.perf_counter()
    print(f"{arch}, {images} images of {size} × {size}, {epochs} epochs in batches of {batch_size}")
    print(
        f"reading and decoding {read - started:.1f} s, resizing {loaded - read:.1f} s, training {ended - loaded:.1f} s"
    )
    print(
        f"in the network {watch.seconds:.1f} s: {watch.seconds / (ended - loaded):.1%} of the training, ",
        end="",
    )
    print(f"{watch.seconds / (ended - started):.1%} of everything")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--arch", default="resnet18")
    options = parser.parse_args()
    measure(options.images, options.size, options.epochs, options.batch_size, options.arch)


if __name__ == "__main__":
    main()
