"""Whole data sets: images a second beside the plain loop, memory over time, size on disk.

    python benchmarks/store.py rendered --count 10000          # 64 pixels, the small network
    python benchmarks/store.py photographs                     # 2,630 of 224 pixels, SqueezeNet with 25 references
    python benchmarks/store.py photographs --count 200 --workers 1,2 --light

The plain loop decodes 16 images, predicts all outputs, explains one with `DeepShap`, and writes nothing; the store does
the same work, up to 64 images in a call, and writes; what a call takes that finds everything finished is told apart.
Both run in turn on shares of
the images, so that what else the machine does falls on both. Memory is that of the process. The
references are 25 of the images.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import torch
from torch import nn

import shapsight as ss
from shapsight.data.manifest import Manifest
from shapsight.models.bundle import Bundle

BLOCK = 16
TURNS = 4  # of plain loop and store, one after the other


class Memory:
    """The memory of this process and of those that it started, each second."""

    def __init__(self) -> None:
        self.seen: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        process = psutil.Process()
        while not self._stop.wait(1.0):
            self.seen.append(process.memory_info().rss / 1e6)

    def tenths(self) -> str:
        """The largest of each tenth of the time."""
        step = max(1, len(self.seen) // 10)
        return " ".join(f"{max(self.seen[at : at + step]):.0f}" for at in range(0, len(self.seen), step))


def rendered(folder: Path, count: int) -> Manifest:
    """Rooms with a track, 64 pixels squared."""
    from PIL import Image

    from shapsight.data.rooms import ROOMS, drive

    for number, name in enumerate(ROOMS):
        share = count // len(ROOMS) + (number < count % len(ROOMS))
        (folder / name).mkdir(parents=True)
        for at, frame in enumerate(drive(name, share, size=64)):
            Image.fromarray(frame.image).save(folder / name / f"{at:06}.png")
    return ss.read_dataset(folder, for_training=False)


def networks(kind: str, manifest: Manifest, shared: Path) -> Bundle:
    torch.manual_seed(0)
    if kind == "rendered":
        from shapsight.models.small_cnn import SmallCnn

        size, network, outputs = 64, SmallCnn(2), ["x", "y"]
    else:
        from safetensors.torch import load_file
        from torchvision.models import squeezenet1_1

        network = squeezenet1_1()
        weights = load_file(shared / "models" / "squeezenet1_1_imagenet.safetensors")
        network.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
        network.classifier[1] = nn.Conv2d(512, 2, 1)
        size, outputs = 224, ["x", "y"]
    references = [
        str(manifest.root / path) for path in manifest.table["path"][:: max(1, len(manifest) // 25)][:25]
    ]
    return Bundle.wrap(network.eval(), outputs=outputs, size=size, references=references)


class Seconds(NamedTuple):
    """By the wall clock, and of the processor by all threads of this process: others may use the cores, too."""

    wall: float
    processor: float

    @classmethod
    def since(cls, start: Seconds) -> Seconds:
        return cls(time.perf_counter() - start.wall, time.process_time() - start.processor)

    @classmethod
    def now(cls) -> Seconds:
        return cls(time.perf_counter(), time.process_time())

    def plus(self, other: Seconds) -> Seconds:
        return Seconds(self.wall + other.wall, self.processor + other.processor)


def plain(bundle: Bundle, manifest: Manifest, paths: list[str], output: str) -> Seconds:
    """The loop that anybody would write."""
    explainer = ss.DeepShap(bundle)
    started = Seconds.now()
    for start in range(0, len(paths), BLOCK):
        pictures = bundle.load(manifest, paths[start : start + BLOCK])
        bundle.predict(pictures)
        explainer(pictures, [output])
    return Seconds.since(started)


def stored(bundle: Bundle, manifest: Manifest, store: Path, **options: Any) -> Seconds:
    started = Seconds.now()
    ss.explain_dataset(
        bundle, manifest, store=store, method="deep", outputs="x", device="cpu", progress=False, **options
    )
    return Seconds.since(started)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=("rendered", "photographs"))
    parser.add_argument("--count", type=int, help="images; by default 10000, or all photographs")
    parser.add_argument("--workers", default="1", help="numbers of processes to try, by comma")
    parser.add_argument("--light", action="store_true")
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("SHAPSIGHT_SHARED", "../shared")))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="shapsight-store-") as scratch:
        if given.kind == "rendered":
            manifest = rendered(Path(scratch) / "rooms", given.count or 10_000)
        else:
            manifest = ss.read_dataset(given.shared / "data" / "jetracer_rooms")
        manifest = replace(manifest, decoded=None)  # both decode what they explain
        if given.count:
            step = max(1, len(manifest) // given.count)
            manifest = replace(manifest, table=manifest.table[::step][: given.count].reset_index(drop=True))
        bundle = networks(given.kind, manifest, given.shared)
        paths = list(manifest.table["path"])
        print(f"{given.kind}: {len(paths)} images, {torch.get_num_threads()} threads", flush=True)
        in_one(bundle, manifest, paths, Path(scratch), light=given.light)
        for workers in [int(each) for each in given.workers.split(",") if int(each) > 1]:
            seconds = stored(
                bundle, manifest, Path(scratch) / f"{workers}.zarr", workers=workers, light=given.light
            )
            print(
                f"{workers} processes: {len(paths) / seconds.wall:.2f} images/s with their start", flush=True
            )
    return 0


def in_one(bundle: Bundle, manifest: Manifest, paths: list[str], scratch: Path, *, light: bool) -> None:
    """Turns of the plain loop and of a store that grows, in one process."""
    store, alone, together, starts = scratch / "one.zarr", Seconds(0, 0), Seconds(0, 0), Seconds(0, 0)
    share = -(-len(paths) // TURNS // BLOCK) * BLOCK
    plain(bundle, manifest, paths[:BLOCK], "x")
    with Memory() as memory:
        for turn in range(TURNS):
            mine = paths[turn * share : (turn + 1) * share]
            if not mine:
                break
            alone = alone.plus(plain(bundle, manifest, mine, "x"))
            together = together.plus(stored(bundle, manifest, store, limit=(turn + 1) * share, light=light))
            starts = starts.plus(stored(bundle, manifest, store, limit=(turn + 1) * share, light=light))
    opened = ss.open_store(store)
    size = sum(file.stat().st_size for file in store.rglob("*") if file.is_file())
    net = Seconds(together.wall - starts.wall, together.processor - starts.processor)
    for clock, one, other in (
        ("wall clock", alone.wall, net.wall),
        ("processor", alone.processor, net.processor),
    ):
        print(
            f"{clock}: plain loop {len(paths) / one:.2f} images/s, store {len(paths) / other:.2f}: {one / other:.3f}"
        )
    print(
        f"starting again on a finished store: {starts.wall / TURNS:.2f} s; {size / len(opened) / 1e3:.1f} kB an image, "
        f"{size / 1e6:.0f} MB; values off by {opened.images['stored_error'].max():.1e}"
    )
    print(f"memory (MB), largest of each tenth of the time: {memory.tenths()}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
