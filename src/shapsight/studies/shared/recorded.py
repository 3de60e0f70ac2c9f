"""A store of explanations in place of the model: what it says of each image, what parts contribute, and the values."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Shaped
from numpy import ndarray
from torch import Tensor

from shapsight.attribution.explanation import Explanation
from shapsight.diagnosis.contributions import PARTS, contributions_per_image, image_parts
from shapsight.errors import StoreError
from shapsight.models.references import ChosenReferences
from shapsight.store.store import PART, Store, open_store
from shapsight.studies.shared.contributions import PREDICTED
from shapsight.studies.shared.narrator import Narrator
from shapsight.studies.shared.outcome import Judged
from shapsight.studies.shared.subject import Subject
from shapsight.studies.shared.words import count
from shapsight.studies.tasks.task import task_of

BATCH = 32  # images that are read at a time


@dataclass(frozen=True, eq=False)
class Recorded:
    """A store as a study reads it.

        recorded = recorded_in("explanations.zarr", subject, narrator)
        recorded.judged(seed=0)                        # errors, of rows alone
        for rows, explanation in recorded.batches(rows, ("x",)): ...

    Attributes
        store: its images that the dataset has, too, in the dataset's order.
        subject: the model, and of the dataset what is in the store: row n of its table is image n of the store.
        predictions: as `predict_table` gives them.
    """

    store: Store
    subject: Subject
    predictions: pd.DataFrame

    @property
    def is_light(self) -> bool:
        """Whether it keeps small maps only."""
        return self.store.card.kind == "light"

    @property
    def roi(self) -> str | None:
        """The region of interest whose sums it keeps."""
        found = self.store.card.settings.get("roi")
        return None if found is None else str(found)

    def judged(self, seed: int) -> Judged:
        """The errors in each environment."""
        manifest = self.subject.manifest
        errors = task_of(manifest).measure(self.predictions, manifest, seed=seed)
        return Judged(name=self.subject.name, manifest=manifest, predictions=self.predictions, errors=errors)

    def pictures(self, rows: pd.DataFrame) -> Shaped[Tensor, "rows channels *sides"]:
        """What the model sees of some rows of the predictions: kept in the store, of a light one read again.

        Raises `StoreError` where an image is another one now than when it was explained.
        """
        bundle, manifest = self.subject.bundle, self.subject.manifest
        if not self.is_light:
            return (self.store[rows.index.tolist()].images * 255).round().to(torch.uint8)
        pictures = bundle.load(manifest, list(rows["path"]))
        kept = self.store.images["pixels"].iloc[rows.index.tolist()]
        for path, picture, before in zip(rows["path"], pictures, kept, strict=True):
            if hashlib.sha256(picture.contiguous().numpy().tobytes()).hexdigest() != before:
                raise StoreError(
                    f"{path} is another picture now than the one in {self.store.path}: run the explain command again"
                )
        return pictures

    def explanation(self, rows: pd.DataFrame, targets: Sequence[str]) -> Explanation:
        """Of some rows: of these targets, or without any of the class that each image is taken for."""
        found = self.store[rows.index.tolist()]
        if targets:
            return found.select(outputs=list(targets))
        said = zip(range(len(rows)), rows["predicted_label"], strict=True)
        return Explanation.concatenate([found.select(number, str(label)) for number, label in said])

    def batches(
        self, rows: pd.DataFrame, targets: Sequence[str]
    ) -> Iterator[tuple[pd.DataFrame, Explanation]]:
        """The same of many, some at a time."""
        for start in range(0, len(rows), BATCH):
            some = rows.iloc[start : start + BATCH]
            yield some, self.explanation(some, targets)

    def refuse_unexplained(self, targets: Sequence[str]) -> None:
        """Raise `StoreError` where the targets, or some classes that images are taken for, were not explained."""
        wanted = [list(targets)] * len(self.predictions) if targets else self._labels
        missing = [
            name
            for names, has in zip(wanted, self.store.images["output"], strict=True)
            for name in names
            if name not in list(has)
        ]
        if missing:
            hint = "--outputs all" if targets else "--outputs top1"
            raise StoreError(
                f"{self.store.path} holds no explanation of {missing[0]} for {count(len(missing), 'image')}: explain "
                f"with {hint} into another --store"
            )

    def refuse_other_method(self) -> None:
        """Raise `StoreError` where a diagnosis would explain otherwise than the store does."""
        bundle, card = self.subject.bundle, self.store.card
        usual = "deep" if bundle.has_gradients else "partition"
        if card.method != usual:
            raise StoreError(
                f"{self.store.path} was made with --method {card.method}; a diagnosis tests {usual} explanations of "
                f"this model: explain with --method {usual} into another --store"
            )
        own = None if usual == "partition" else digest_of(bundle.prepared_references())
        if own not in (None, card.settings.get("references")):
            raise StoreError(
                f"{self.store.path} was made with other references than {self.subject.name} has, which a diagnosis "
                "compares with: explain without --references into another --store"
            )

    def contributions(self, rows: pd.DataFrame, targets: Sequence[str]) -> pd.DataFrame | None:
        """`summed` of the sums over scene and region that it keeps of each image; None where it keeps none."""
        kept = self.store.images.iloc[rows.index.tolist()]
        if f"{PART}{PARTS[0]}" not in kept:
            return None
        outputs = [[name] * len(rows) for name in targets] or [list(rows["predicted_label"])]
        at = [
            [list(row).index(name) for row, name in zip(kept["output"], names, strict=True)]
            for names in outputs
        ]
        values = np.stack([np.stack([_picked(kept[f"{PART}{part}"], n) for part in PARTS], 1) for n in at], 1)
        base = np.stack([_picked(kept["base_value"], n) for n in at], 1)
        return summed(values, base, rows, targets)

    @cached_property
    def key(self) -> str:
        """A digest of what is finished: other images or values are another record."""
        known = self.store.images[["path", "pixels", "finished"]].to_csv(index=False)
        return hashlib.sha256(known.encode()).hexdigest()

    @property
    def _labels(self) -> list[list[str]]:
        return [[str(label)] for label in self.predictions["predicted_label"]]


def digest_of(references: ChosenReferences) -> str:
    """sha256 of the references, as a store's card names them."""
    return hashlib.sha256(references.references.cpu().contiguous().numpy().tobytes()).hexdigest()


def summed(
    values: Float[ndarray, "images outputs parts"],
    base_values: Float[ndarray, "images outputs"],
    rows: pd.DataFrame,
    targets: Sequence[str],
) -> pd.DataFrame | None:
    """`contributions_per_image` of sums over scene and region: of targets, or of the class that was said.

    What a class's label gets is not known, so `pull` and `target` are NaN of classes. Images whose region is empty or
    everything are left out: one of their sums has no pixels and is 0. None where none is left.
    """
    tables = []
    for number, name in enumerate(targets or [PREDICTED]):
        mine = values[:, number]
        counted = (mine != 0).all(1)
        some = rows[counted]
        if not counted.any():
            continue
        if not targets:
            tables.append(image_parts(mine[counted], some, name))
            continue
        known = {"base_value": base_values[counted, number], "target": some[name].to_numpy(float)}
        tables.append(contributions_per_image(mine[counted], some, name, **known))
    return pd.concat(tables, ignore_index=True) if tables else None


def recorded_in(path: Path, subject: Subject, narrator: Narrator) -> Recorded:
    """The explanations of a subject's model and dataset in a store.

    Images of the dataset that are not in it are left out, which is said. Raises `StoreError` for a store of another
    model, of none of these images, or that an earlier shapsight wrote without all predictions.
    """
    store, bundle, manifest = open_store(path), subject.bundle, subject.manifest
    if store.card.settings.get("model") != bundle.fingerprint:
        raise StoreError(
            f"{path} was made with another model than {subject.name} (other weights): explain with this one into "
            "another --store, or name the run that the store is of"
        )
    place = {str(name): at for at, name in enumerate(store.images["path"])}
    is_kept = manifest.table["path"].isin(place.keys()).to_numpy(bool)
    if not is_kept.any():
        raise StoreError(
            f"none of the {len(manifest)} images of {manifest.root} is in {path}, whose images are of "
            f"{store.card.root}: name the dataset that was explained"
        )
    table = manifest.table[is_kept].reset_index(drop=True)
    at = [place[name] for name in table["path"]]
    store = replace(store, images=store.images.iloc[at].reset_index(drop=True))
    said = ["predicted_label", "confidence", "probability"] if manifest.class_names else []
    said = said or [f"predicted_{name}" for name in bundle.card.output_names]
    missing = [name for name in said if name not in store.images or store.images[name].isna().any()]
    if missing:
        raise StoreError(
            f"{path} does not hold {', '.join(missing)} of every image, as stores of an earlier version: explain into "
            "another --store"
        )
    notes = [f"Read from {path}: {count(len(table), 'image')}, none of them explained again."]
    if left := len(manifest) - len(table):
        notes.append(
            f"{count(left, 'image')} of the dataset are not in {path} and are left out: shapsight explain --all "
            "--store explains all."
        )
    for sentence in notes:
        narrator.note(sentence)
    subject = replace(
        subject, manifest=replace(manifest, table=table, decoded=None), notes=(*subject.notes, *notes)
    )
    return Recorded(store, subject, table.assign(**{name: store.images[name].to_numpy() for name in said}))


def _picked(column: pd.Series[Any], at: Sequence[int]) -> Float[ndarray, "images"]:
    return np.array([float(row[n]) for row, n in zip(column, at, strict=True)])
