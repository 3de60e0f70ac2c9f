"""Someone who copies the code of a page and runs it, beside photographs and models of their own.

    python reader.py README.md     # in an empty folder

Only what a user has is given: nothing of the checkout, and no library that is for tests.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torchvision.models import squeezenet1_1
from torchvision.transforms import v2

import shapsight as ss

SIDE = 128  # of the photographs: pages name row 112
SEEN = 32  # what the networks see of them
CLASSES = 1000
# Options that a reader has in a file, so that commands are copied as they are and trainings are short.
PROJECT = """
device = "cpu"
[debug]
arch = "small_cnn"
epochs = 1
image-size = 64
references = 4
explain = 2
[diagnose]
images = 2
references = 2
[cure]
explain = 1
references = 2
"""


def fenced(page: Path, *languages: str) -> list[str]:
    """The blocks of a page in some languages, also those inside lists and tabs."""
    kinds = "|".join(languages)
    text = page.read_text(encoding="utf-8")
    found = re.findall(rf"^( *)```(?:{kinds})\n(.*?)^\1```", text, re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(code) for _, code in found]


def write_things() -> None:
    """Photographs of three rooms, two classes of small pictures, a network's weights and a project's file."""
    generator = np.random.default_rng(0)
    for number in (1, 2, 3):
        for x, y, name in [(112, 98, "a"), *((*place, "b") for place in generator.integers(20, 108, (7, 2)))]:
            pixels = generator.integers(0, 40, (SIDE, SIDE, 3), np.uint8)
            pixels[:112, :, number - 1] += 120
            pixels[y - 8 : y + 8, x - 8 : x + 8] = 230
            file = Path("photos", f"room_{number}", f"{x}_{y}_{name}.jpg")
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(file)
    Image.open("photos/room_2/112_98_a.jpg").resize((224, 224)).save("egret.jpg")
    for part, count in {"train": 60, "t10k": 20}.items():
        _write_idx(Path("fashion", f"{part}-images-idx3-ubyte"), generator.integers(0, 256, (count, 28, 28)))
        _write_idx(Path("fashion", f"{part}-labels-idx1-ubyte"), np.arange(count) % 10)
    torch.manual_seed(0)
    save_file(squeezenet1_1().state_dict(), "squeezenet1_1.safetensors")
    Path("classes.json").write_text(json.dumps([f"class {number}" for number in range(CLASSES)]))
    Path("shapsight.toml").write_text(PROJECT)


def _write_idx(file: Path, numbers: np.ndarray) -> None:
    file.parent.mkdir(exist_ok=True)
    sizes = np.array(numbers.shape, ">i4").tobytes()
    file.write_bytes(bytes([0, 0, 8, numbers.ndim]) + sizes + numbers.astype(np.uint8).tobytes())


def network(outputs: int) -> nn.Module:
    """A few layers, for images of any size."""
    layers = [nn.Conv2d(3, 4, 5, 2), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(4), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(64, outputs))


def own() -> dict[str, Any]:
    """What pages take for given: a reader's own models and images."""
    torch.manual_seed(0)
    photographs = np.random.default_rng(0).integers(0, 256, (1, SEEN, SEEN, 3)).astype(float)
    pool = torch.rand(40, 3, SEEN, SEEN)
    roi = torch.zeros(SEEN, SEEN, dtype=torch.bool)
    roi[20:] = True
    scaled = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
    transform = v2.Compose([v2.Resize((SEEN, SEEN)), *scaled])
    return {
        "network": network(2), "model": network(8), "transform": transform, "pool": pool, "images": pool[:2],
        "roi": roi, "photographs": photographs, "predict": lambda given: given.reshape(len(given), -1)[:, :2000:300],
        "my_train": lambda photos, recipe, seed: ss.Bundle.wrap(network(2), transform, outputs=["x", "y"]),
    }  # fmt: skip


def main(page: Path) -> None:
    """Run the Python of a page, in order."""
    write_things()
    known = own()
    for code in fenced(page, "python", "py"):
        print(code)
        exec(compile(code, page.name, "exec"), known)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
