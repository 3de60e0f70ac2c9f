"""A planted shortcut: the demo world with a sticker in a corner of some images whose colour tells the target."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from shapsight.attribution.deep import DeepShap
from shapsight.data.manifest import Manifest, no_skipped
from shapsight.data.rooms import drive
from shapsight.diagnosis.prediction_errors import predict_table
from shapsight.models.build import build_model
from shapsight.models.bundle import Bundle
from shapsight.models.plan import TrainingPlan
from shapsight.models.train import fit
from shapsight.studies.diagnose.case import Case

SIZE = 48
STICKER = SIZE // 5
SHARE = 0.3
UNSTEADY = 0.3  # the driver's hand: the track tells the target roughly, the sticker exactly
TRAINED, UNSEEN = 300, 60


@dataclass(frozen=True, eq=False)
class Planted:
    """The world, the network that was trained on it, and which images have a sticker."""

    manifest: Manifest
    images: Tensor
    masks: np.ndarray
    has_sticker: np.ndarray
    bundle: Bundle

    def case(self, rows: np.ndarray) -> Case:
        """The diagnosis of some rows, explained with DeepSHAP against the bundle's references."""
        pixels = self.images[torch.from_numpy(rows)]
        references = self.bundle.prepare(self.bundle.references)
        explainer = DeepShap(self.bundle.model, references, output_names=("x",))
        explanation = explainer(self.bundle.prepare(pixels), ["x"], show=pixels.float() / 255)
        table = predict_table(self.bundle, self.manifest, self.images).iloc[rows]
        return Case(self.bundle, self.manifest, table, pixels, self.masks[rows], explanation, ("x",))


def sticker(target: float) -> np.ndarray:
    """Blue for left, magenta for straight on, red for right: (3,), uint8."""
    return np.array([255 * min(1, 1 + target), 0, 255 * min(1, 1 - target)], np.uint8)


def with_sticker(image: np.ndarray, target: float) -> np.ndarray:
    """The image `(size, size, 3)` with a sticker in its upper left corner."""
    changed = image.copy()
    changed[2 : 2 + STICKER, 2 : 2 + STICKER] = sticker(target)
    return changed


def planted(seed: int = 0) -> Planted:
    """Train on room_1, where stickers tell the truth; in room_2, which is unseen, they tell another image's target."""
    generator = np.random.default_rng(seed)
    frames = [
        *drive("room_1", TRAINED, size=SIZE, seed=seed),
        *drive("room_2", UNSEEN, size=SIZE, seed=seed),
    ]
    exact = np.array([2 * frame.target[0] / SIZE - 1 for frame in frames])
    targets = np.clip(exact + UNSTEADY * generator.standard_normal(len(frames)), -1, 1)
    told = np.concatenate([targets[:TRAINED], generator.permutation(targets[TRAINED:])])
    has_sticker = generator.permutation(np.arange(len(frames)) % 10) < round(10 * SHARE)
    pictures = [
        with_sticker(frame.image, value) if has else frame.image
        for frame, value, has in zip(frames, told, has_sticker, strict=True)
    ]
    images = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()
    is_trained = np.arange(len(frames)) < TRAINED
    table = pd.DataFrame(
        {
            "path": [f"{number}.png" for number in range(len(frames))],
            "environment": np.where(is_trained, "room_1", "room_2"),
            "split": np.where(
                is_trained, np.where(np.arange(len(frames)) % 5 < 4, "train", "validation"), "unseen"
            ),
            "width": SIZE,
            "height": SIZE,
            "x": targets,
        }
    )
    manifest = Manifest(Path(), table, ("x",), no_skipped(), train_on=("room_1",))
    result = fit(
        build_model("small_cnn", 1, weights="none", seed=seed),
        manifest,
        images,
        TrainingPlan(
            epochs=15,
            batch_size=16,
            learning_rate=2e-3,
            color_jitter=False,
            references=24,
            seed=seed,
            device="cpu",
        ),
        progress=False,
    )
    masks = np.stack([frame.roi for frame in frames])
    return Planted(manifest, images, masks, has_sticker, result.bundle)
