"""What references are chosen for: networks, their pools and the images explained; the cases of `references.py`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torchvision.transforms import v2

from shapsight import TopK, load_bundle
from shapsight.data.images import load_images
from shapsight.data.roi import read_roi
from shapsight.models.build import build_model

SHARED = Path(os.environ.get("SHAPSIGHT_SHARED", Path(__file__).parents[2] / "shared"))
FASHION = Path(os.environ.get("SHAPSIGHT_FASHION_MNIST", "/usr/share/datasets/fashion-mnist"))


@dataclass(frozen=True, eq=False)
class Case:
    """What is explained, and the pool; `inside` is where the region of interest lies, `pictures` are to be cut."""

    model: nn.Module
    pool: Tensor
    images: Tensor
    outputs: Any
    inside: Tensor
    pictures: Tensor


def of_run(name: str, root: Path | None, runs: Path, each: int = 3, most: int | None = None) -> Case:
    """A run of `train` or `demo`: its training images, and some others of every environment."""
    run, random = runs / name, np.random.default_rng(0)
    bundle, table = load_bundle(run / "model"), pd.read_parquet(run / "manifest.parquet")
    training = table[table["split"] == "train"]
    training = training if most is None else training.iloc[np.sort(random.permutation(len(training))[:most])]
    others = table[table["split"] != "train"]
    rows = [
        others.loc[random.choice(others.index[others["environment"] == place], each, replace=False)]
        for place in sorted(set(others["environment"]))
    ]
    explained, size = pd.concat(rows), bundle.card.input_size
    pool, pictures = (
        load_images(root or run / "world" / "images", list(t["path"]), size) for t in (training, explained)
    )
    roi = json.loads((run / "run.json").read_text())["settings"]["roi"]
    inside = centre(len(explained), size)
    if roi is not None:
        drawn = read_roi(roi)
        inside = torch.stack([torch.from_numpy(drawn.mask(row, size)) for _, row in explained.iterrows()])
    return Case(bundle.model, bundle.prepare(pool), bundle.prepare(pictures), None, inside, pictures)


def of_imagenet(arch: str, folder: str, size: int, runs: Path, pool_size: int = 320) -> Case:
    """ImageNet weights, five photographs explained; of few others, random crops are the pool."""
    weights = SHARED / "models" / f"{arch.removeprefix('timm:')}_imagenet.safetensors"
    built = build_model(arch, 1000, weights=weights)
    paths = sorted(str(path.relative_to(SHARED)) for path in (SHARED / folder).glob("*.jpg"))
    paths = [paths[i] for i in np.random.default_rng(0).permutation(len(paths))]
    pictures = load_images(SHARED, paths[:5], size)
    if len(paths) > pool_size:
        pool = load_images(SHARED, paths[5 : pool_size + 5], size)
    else:
        torch.manual_seed(0)
        crop = v2.Compose([v2.RandomResizedCrop(size, antialias=True), v2.RandomHorizontalFlip()])
        sources = load_images(SHARED, paths[5:], 2 * size)
        pool = torch.stack([crop(sources[i % len(sources)]) for i in range(pool_size)])
    normal = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(built.mean, built.std)])
    inside = centre(len(pictures), size)
    if "rooms" in folder:
        inside[:] = torch.arange(size)[:, None] >= size * 48 // 224
    return Case(built.model.eval(), normal(pool), normal(pictures), TopK(4), inside, pictures)


def centre(count: int, size: int) -> Tensor:
    inside = torch.zeros(count, size, size, dtype=torch.bool)
    inside[:, size // 4 : -size // 4, size // 4 : -size // 4] = True
    return inside


ROOMS = SHARED / "data" / "jetracer_rooms"
CASES: dict[str, Callable[[Path], Case]] = {
    **{
        name: partial(of_run, name, ROOMS)
        for name in ("squeeze_room1", "resnet_room1", "lite_room1", "lite_trained")
    },
    "lite_imagenet_room2": partial(
        of_imagenet, "timm:tf_efficientnet_lite0", "data/jetracer_rooms/room_2", 96
    ),
    "fashion_small": partial(of_run, "fashion_small", FASHION, each=6, most=2000),
    "squeeze_imagenet": partial(of_imagenet, "squeezenet1_1", "data/imagenet50", 224),
    "lite_imagenet": partial(of_imagenet, "timm:tf_efficientnet_lite0", "data/imagenet50", 112),
    "demo_0": partial(of_run, "demo_0", None),
}
