"""A small case for a diagnosis: a network that was trained to find a bright square, and DeepSHAP of it."""

import functools

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from shapsight import DeepShap, TopK
from shapsight.data.manifest import Manifest
from shapsight.models.bundle import Bundle
from shapsight.models.card import Card
from shapsight.studies.diagnose.case import Case
from small_networks import convolutional

SIDE, SQUARE = 24, 7
CLASSES = ("left", "middle", "right")


def squares(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """8-bit pictures of a bright square on noise, and where its centre is, from -1 to +1."""
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 90, (count, 3, SIDE, SIDE)).astype(np.uint8)
    corners = generator.integers(0, SIDE - SQUARE + 1, (count, 2))
    for image, (x, y) in zip(images, corners, strict=True):
        image[:, y : y + SQUARE, x : x + SQUARE] = generator.integers(200, 256, (3, 1, 1))
    centres = (corners + SQUARE / 2) / SIDE * 2 - 1
    return torch.from_numpy(images), torch.from_numpy(centres).float()


@functools.cache
def trained(task: str) -> Bundle:
    """A network that finds the square, a few seconds of training away."""
    images, centres = squares(512, seed=1)
    names = CLASSES if task == "classes" else ("x", "y")
    torch.manual_seed(0)
    model = convolutional(outputs=len(names)).train()
    model[6] = nn.AdaptiveAvgPool2d(6)
    model[8] = nn.Linear(8 * 36, len(names))
    card = Card(
        "tiny", names, {}, SIDE, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25),
        task="classification" if task == "classes" else "regression", class_names=names if task == "classes" else (),
    )  # fmt: skip
    bundle = Bundle(model, card, images[:12])
    labels = _labels(centres)
    optimizer = torch.optim.Adam(model.train().parameters(), lr=0.01)
    for step in range(120):
        rows = torch.arange(32) + 32 * (step % 16)
        said = model(bundle.prepare(images[rows]))
        loss = (
            nn.functional.cross_entropy(said, labels[rows])
            if task == "classes"
            else (said - centres[rows]).square().mean()
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    return bundle


def a_case(task: str = "regression", targets: tuple[str, ...] = ("x",), count: int = 6) -> Case:
    """Some pictures of two places, explained by DeepSHAP: targets, or the predicted class."""
    bundle = trained(task)
    return case_of(bundle, targets if task == "regression" else (), count)


def case_of(bundle: Bundle, targets: tuple[str, ...], count: int = 6) -> Case:
    """The same of a bundle of one's own."""
    images, centres = squares(count, seed=2)
    rows = pd.DataFrame(
        {"path": [f"{n}.png" for n in range(count)], "environment": ["here", "there"] * (count // 2)}
    )
    rows = rows.assign(
        split="unseen", width=SIDE, height=SIDE, x=centres[:, 0].numpy(), y=centres[:, 1].numpy()
    )
    rows = rows.assign(label=[CLASSES[n] for n in _labels(centres).tolist()])
    skipped = pd.DataFrame({"path": [], "reason": []})
    manifest = Manifest(
        root=".", table=rows, targets=() if bundle.card.class_names else ("x", "y"), skipped=skipped,
        class_names=bundle.card.class_names,
    )  # fmt: skip
    explainer = DeepShap(
        bundle.model, bundle.prepare(bundle.references), output_names=bundle.card.output_names
    )
    outputs = list(targets) if targets else TopK(1)
    explanation = explainer(bundle.prepare(images), outputs, show=images.float() / 255)
    if bundle.card.class_names:
        rows["predicted_label"] = [explanation.name_of(number, 0) for number in range(count)]
    masks = images.float().mean(1).numpy() > 150  # the square is brighter than the noise ever gets
    return Case(bundle, manifest, rows, images, masks, explanation, targets)


def _labels(centres: Tensor) -> Tensor:
    return torch.bucketize(centres[:, 0].contiguous(), torch.tensor([-0.25, 0.25]))
