"""The references of a model that has none yet: a few, chosen from what it was trained on."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from shapsight.attribution.references import choose_references
from shapsight.attribution.references.of_pool import By
from shapsight.data.manifest import Manifest
from shapsight.errors import ExplainerError
from shapsight.models.bundle import Bundle
from shapsight.models.references import ChosenReferences
from shapsight.studies.shared.narrator import Narrator
from shapsight.studies.shared.subject import Subject

BY: By = "features and outputs"
REFERENCES = 25  # as many as a training chooses
SOME = 5  # names in a sentence
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

    Where the data have none that were trained on, they stand for all images.

    Every environment, of a classification every class, gets one at least where `count` suffices. The card says from
    how many they were chosen, and by what. Where the model answers some training image with NaN, they stay as drawn.
    """
    rows = pool_of(manifest)
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
            if not len(bundle.references):
                drawn = np.random.default_rng([seed, 4]).permutation(rows)[:count]
                bundle = bundle.with_references(ChosenReferences.drawn(images[torch.from_numpy(drawn)]))
            return bundle, (f"references are drawn, since none could be chosen: {error}",)
    missing = [
        str(name) for name in dict.fromkeys(manifest.class_names or manifest.train_on) if name not in groups
    ]
    named = ", ".join(missing[:SOME]) + (f" and {len(missing) - SOME} more" if len(missing) > SOME else "")
    lost = f"no reference stands for {named}: none of the {len(rows)} images to choose from is of it"
    how = {"references": len(found), "references_chosen_from": len(rows), "references_chosen_by": BY}
    return bundle.with_references(found, **how), (*found.notes, *[lost] * bool(missing))


def pool_of(manifest: Manifest) -> np.ndarray:
    """The rows that references are chosen from: what was trained on, or where nothing was, all."""
    rows = manifest.rows("train")
    return rows if len(rows) else np.arange(len(manifest))


def with_references(
    subject: Subject,
    images: UInt8[Tensor, "images 3 height width"],
    narrator: Narrator,
    *,
    count: int = REFERENCES,
    seed: int = 0,
) -> Subject:
    """A model without references gets some of the dataset's images, as `train` chooses them, and says so."""
    if len(subject.bundle.references):
        return subject
    pool = len(pool_of(subject.manifest))
    what = "training images" if len(subject.manifest.rows("train")) else "images"
    said = f"The model has no references: {min(count, pool)} were chosen among the {pool} {what}."
    with narrator.step("Choosing references") as report:
        bundle, notes = with_chosen_references(
            subject.bundle, subject.manifest, images, count, seed=seed, progress=report
        )
    for sentence in (said, *notes):
        narrator.note(sentence)
    return replace(subject, bundle=bundle, notes=(*subject.notes, said, *notes))


class _Rows:
    """Some rows of a tensor, without a copy of them all."""

    def __init__(self, images: Tensor, rows: np.ndarray) -> None:
        self.images, self.rows = images, torch.from_numpy(rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: slice) -> Tensor:
        return self.images[self.rows[rows]]
