"""Reports of many explained images: bytes, time to write and to open, and whether they scroll smoothly.

    python benchmarks/pages.py
    python benchmarks/pages.py --data PHOTOGRAPHS --weights squeezenet1_1_imagenet.safetensors --images 10 200 1000

Images of 224 pixels with one output each. With `--data`, photographs and DeepSHAP of SqueezeNet 1.1 with those ImageNet
weights, of which `--distinct` are explained and used again; otherwise rendered rooms
explained with the same network, untrained. A page is opened in the system's Chromium with a screen of 1200 × 800: until
`html[data-ready]`, then unfolded and scrolled through, a screen in 30 frames; frames are long beyond 50 ms.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from playwright.sync_api import Page as Tab
from playwright.sync_api import sync_playwright
from safetensors.torch import load_file
from torch import Tensor
from torchvision.models import squeezenet1_1

from shapsight import Bundle, explain
from shapsight.attribution.explanation.viewed import shown_images
from shapsight.data.rooms import write_world
from shapsight.drawing.viewer import Shown
from shapsight.report.page import Answer, Card, Page, Picture, Section
from shapsight.report.rendered import render_page
from shapsight.studies.shared.examples import MOST_CUT

SIZE = 224
LIMITS = {1000: 25e6, 200: 15e6}  # bytes; of fewer images 1.5 MB and 50 kB each
SCROLL = """async () => {
  for (const folded of document.querySelectorAll("details")) folded.open = true;
  await new Promise((next) => requestAnimationFrame(() => requestAnimationFrame(next)));
  const step = innerHeight / 30, frames = [];
  let last = performance.now();
  for (let top = 0; top < document.documentElement.scrollHeight - innerHeight; top += step) {
    scrollTo({ top, behavior: "instant" });
    await new Promise((next) => requestAnimationFrame(next));
    const now = performance.now();
    frames.push(now - last);
    last = now;
  }
  return frames;
}"""


def pictures(folder: Path, count: int) -> UInt8[np.ndarray, "images height width 3"]:
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".png"))
    chosen = [files[at] for at in np.linspace(0, len(files) - 1, min(count, len(files))).astype(int)]
    return np.stack([np.asarray(Image.open(path).convert("RGB").resize((SIZE, SIZE))) for path in chosen])


def network(weights: Path | None) -> torch.nn.Module:
    torch.manual_seed(0)
    model = squeezenet1_1()
    if weights is not None:
        model.load_state_dict({name: value.float() for name, value in load_file(weights).items()})
    return model.eval()


def explained(
    images: UInt8[np.ndarray, "images height width 3"], model: torch.nn.Module, *, regions: bool
) -> list[Shown]:
    pixels: Tensor = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    bundle = Bundle.wrap(
        model,
        outputs=[f"class {n}" for n in range(1000)],
        size=SIZE,
        task="classification",
        references=images[:4],
    )
    found = explain(bundle, list(images), outputs=[int(model(pixels[:1]).argmax())])
    return shown_images({"": found}, [f"{n}.jpg" for n in range(len(images))], has_regions=regions)


def many(shown: list[Shown], count: int) -> Iterator[Shown]:
    """So many images, explained ones used again under other names."""
    for n in range(count):
        own = shown[n % len(shown)]
        yield Shown(f"{n}.jpg", own.picture, own.maps, own.regions, own.details, group=f"room_{n % 3}")


def opened(tab: Tab, path: Path) -> tuple[float, list[float]]:
    """Seconds until the page is ready, and how long each frame takes while it is scrolled through, in ms."""
    start = time.perf_counter()
    tab.goto(path.as_uri())
    tab.wait_for_selector("html[data-ready]", state="attached", timeout=120_000)
    return time.perf_counter() - start, tab.evaluate(SCROLL)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="a folder of photographs")
    parser.add_argument("--weights", type=Path, help="of SqueezeNet 1.1, safetensors")
    parser.add_argument("--images", type=int, nargs="+", default=[10, 200, 1000])
    parser.add_argument("--distinct", type=int, default=60, help="images that are really explained")
    options: Any = parser.parse_args()
    program = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder, browser = (
            Path(name),
            playwright.chromium.launch(executable_path=program, args=["--no-sandbox"]),
        )
        data = options.data
        if data is None:
            data = folder / "world"
            write_world(data, images_per_room=max(1, options.distinct // 3), size=SIZE, seed=0)
        photographs, model = pictures(data, options.distinct), network(options.weights)
        kinds = {
            regions: explained(photographs, model, regions=regions)
            for regions in {n <= MOST_CUT for n in options.images}
        }
        print(f"{len(photographs)} images explained; {browser.version}")
        print("images   MB   limit   s to write   s until ready   frames   > 50 ms   longest ms")
        for count in options.images:
            images = list(many(kinds[count <= MOST_CUT], count))
            page = Page(
                f"{count} images",
                Answer("An answer.", cards=[Card(images[0], "At home"), Card(images[-1], "Elsewhere")]),
                [Section("Which pixels?", pictures=[Picture(images, "explained images")])],
            )
            start = time.perf_counter()
            path = render_page(page, folder / f"{count}.html")
            wrote, size = time.perf_counter() - start, path.stat().st_size
            tab = browser.new_page(viewport={"width": 1200, "height": 800})
            ready, frames = opened(tab, path)
            tab.close()
            limit = LIMITS.get(count, 1.5e6 + 50e3 * count)
            long = [each for each in frames if each > 50]
            row = f"{count:6d} {size / 1e6:5.1f} {limit / 1e6:6.1f} {wrote:12.1f} {ready:15.1f} {len(frames):8d}"
            print(f"{row} {len(long):9d} {max(frames, default=0):10.0f}", flush=True)
        browser.close()


if __name__ == "__main__":
    main()
