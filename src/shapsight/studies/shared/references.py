"""The references of a model that was just trained: a few, chosen from what it was trained on."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from shapsight.attribution.references import choose_references
from shapsight.attribution.references.of_pool import By
from shapsight.data.manifest import Manifest
from shapsight.errors import ExplainerError
from shapsight.models.bundle import Bundle

BY: By = "features and outputs"
MOST = 10_000  # training images to choose from; more would take longer and change little


def with_chosen_references(
    bundle: Bundle,
    manifest: Manifest,
    images: UInt8[Tensor, "images 3 size size"],
    count: int,
    *,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Bundle, tuple[str, ...]]:
    """The bundle with `count` references that stand for its training images; and notes on what was done.

    Every environment, of a classification every class, gets one at least where `count` suffices. The card says from
    how many they were chosen, and by what. Where the model answers some training image with NaN, they stay as drawn.
    """
    rows = manifest.rows("train")
    if len(rows) > MOST:
        rows = np.sort(np.random.default_rng([seed, 3]).choice(rows, MOST, replace=False))
    groups = manifest.table["label" if manifest.class_names else "environment"].to_numpy()[rows].tolist()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # they are among the notes
        try:
            found = choose_references(
                bundle, _Rows(images, rows), count, by=BY, groups=groups, seed=seed, progress=progress
            )
        except ExplainerError as error:
            return bundle, (f"references are drawn, since none could be chosen: {error}",)
    missing = [
        str(name) for name in dict.fromkeys(manifest.class_names or manifest.train_on) if name not in groups
    ]
    lost = f"no reference stands for {', '.join(missing)}: none of the {len(rows)} images to choose from is of it"
    how = {"references": len(found), "references_chosen_from": len(rows), "references_chosen_by": BY}
    return bundle.with_references(found, **how), (*found.notes, *[lost] * bool(missing))


class _Rows:
    """Some rows of a tensor, without a copy of them all."""

    def __init__(self, images: Tensor, rows: np.ndarray) -> None:
        self.images, self.rows = images, torch.from_numpy(rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: slice) -> Tensor:
        return self.images[self.rows[rows]]
