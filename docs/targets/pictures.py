"""The pictures of docs/targets.md, from scikit-image's photograph of a cup and a network with ImageNet's weights.

    SHAPSIGHT_SHARED=../shared python docs/targets/pictures.py docs/targets

SqueezeNet scores every class at 13 × 13 places before it averages them, so it is a segmenter as it is; a box around the
places where a class scores high makes a detector of it, a function that returns boxes.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import skimage.data
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models import squeezenet1_1
from torchvision.transforms.v2 import functional as v2f

from shapsight import Explanation, PartitionShap
from shapsight.attribution.targets import Box, Contrast, Mask, Pixel, Similarity

SHARED = Path(os.environ.get("SHAPSIGHT_SHARED", "../shared"))
NAMES = json.loads((SHARED / "models/imagenet_classes.json").read_text())
MEAN, STD = ([[[number]] for number in numbers] for numbers in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
COFFEE = NAMES.index("espresso")
HIGH = 60.0  # a class's score at a place, from which on it is part of the box


class Places(nn.Module):
    """SqueezeNet's score of every class at every place."""

    def __init__(self) -> None:
        super().__init__()
        self.net = squeezenet1_1(weights=None)
        weights = load_file(SHARED / "models/squeezenet1_1_imagenet.safetensors")
        self.net.load_state_dict({name: value.float() for name, value in weights.items()})
        self.eval()

    def features(self, images: Tensor) -> Tensor:
        """What lies before the scores, `(N, 512, 13, 13)`."""
        mean, std = torch.tensor(MEAN), torch.tensor(STD)
        found: Tensor = self.net.features((images - mean) / std)
        return found

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """As torchvision's segmenters answer."""
        return {"out": self.net.classifier[:3](self.features(images))}


class Embedding(nn.Module):
    """The mean of SqueezeNet's last features."""

    def __init__(self, places: Places) -> None:
        super().__init__()
        self.places = places

    def forward(self, images: Tensor) -> Tensor:
        """`(N, 512)`."""
        return self.places.features(images).mean((2, 3))


def detector(places: Places) -> object:
    """A function of arrays that returns boxes: for each image rows of x1, y1, x2, y2, score, label."""

    def find(images: np.ndarray) -> list[np.ndarray]:
        with torch.no_grad():
            scores = places(torch.from_numpy(images).permute(0, 3, 1, 2))["out"][:, COFFEE : COFFEE + 1]
        found = []
        for score in F.interpolate(scores, size=images.shape[1:3], mode="bilinear")[:, 0]:
            rows, columns = ((score > HIGH).any(side).nonzero().flatten() for side in (1, 0))
            edges = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1] if len(rows) else []
            sure = torch.sigmoid((score.max() - 2 * HIGH) / 40)
            found.append(np.array([[*edges, sure, COFFEE]] if len(rows) else np.zeros((0, 6))))
        return found

    return find


def photograph(left: int, top: int, side: int) -> Tensor:
    """A square of scikit-image's coffee (600 × 400 pixels, CC0), `(1, 3, 224, 224)`."""
    pixels = torch.from_numpy(skimage.data.coffee()).permute(2, 0, 1)[:, top : top + side, left : left + side]
    return v2f.resize(pixels, [224, 224])[None].float() / 255


def main(folder: Path) -> None:
    """Write every picture."""
    places, cup = Places(), photograph(100, 0, 400)
    find = detector(places)
    box = Box.of(find(cup.permute(0, 2, 3, 1).numpy()), labels=NAMES)
    options = {"output_names": NAMES, "max_evals": 400}
    save(
        PartitionShap(find, "blur(64,64)", **options)(cup, box),
        folder / "box.png",
        "score of the detection",
    )

    inside = torch.zeros(224, 224, dtype=torch.bool)
    inside[50:110, 70:150] = True
    seen = Mask("espresso", inside)
    targets = [seen, Pixel("espresso", 150, 120), Contrast(seen, Mask("soup bowl", inside))]
    save(
        PartitionShap(places, "blur(64,64)", **options)(cup, targets), folder / "mask.png", "score", width=8.5
    )

    embedding = Embedding(places)
    with torch.no_grad():
        spoon = embedding(photograph(300, 150, 200))
    like = PartitionShap(embedding, "blur(64,64)", max_evals=400)(cup, Similarity(spoon))
    save(like, folder / "similarity.png", "cosine")


def save(explanation: Explanation, path: Path, unit: str, **options: float) -> None:
    """Draw it."""
    explanation.plot(unit=unit, **options).savefig(path, dpi=90)
    Image.open(path).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
        path, optimize=True
    )
    print(path, explanation.predictions.tolist(), explanation.base_values.tolist())


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
