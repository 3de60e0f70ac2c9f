"""Every variant of some images, as the model sees it: asked about once, measured for each target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int, UInt8
from numpy import ndarray
from torch import Tensor

from shapsight.diagnosis.changes import Effects, effect_table, effects_on_classes, effects_on_number
from shapsight.diagnosis.interventions import (
    CONTROL,
    MIXED_RAND,
    MIXED_SAME,
    ORIGINAL,
    REGION_RAND,
    REGION_SAME,
    VARIANTS,
    Cut,
    changed_alone,
    cut,
    draw_partners,
    most_alike,
)
from shapsight.studies.diagnose.case import Case

LABEL = "label"
BATCH = 64
PAIRED = (CONTROL, MIXED_SAME, MIXED_RAND, REGION_SAME, REGION_RAND)
ALONE = tuple(name for name in VARIANTS if name not in PAIRED)
Pairs = list[tuple[int, int]]


@dataclass(frozen=True, eq=False)
class Swapping:
    """Some rows of a case, cut into region and scene, and whose scene each gets.

    Attributes
        numbers: positions of the rows in the case.
        groups: what "same" and "another group" are about: environments, or the labels of classes.
        partners: variant -> `(draws, images)` positions among these rows, -1 where there is none.
    """

    case: Case
    numbers: Int[ndarray, "images"]
    pieces: Cut
    groups: tuple[str, ...]
    partners: dict[str, Int[ndarray, "draws images"]]

    @property
    def rows(self) -> pd.DataFrame:
        """The table's rows of these images."""
        return self.case.rows.iloc[self.numbers]

    @property
    def environments(self) -> ndarray:
        """Where each image is from."""
        return self.rows["environment"].to_numpy(str)

    def pairs(self, variant: str, draw: int) -> tuple[Int[ndarray, "n"], Int[ndarray, "n"]]:
        """Whose region stands on whose scene, for the images that have a partner."""
        partner = self.partners[variant][draw]
        own = np.flatnonzero(partner >= 0)
        is_region_swapped = variant in (REGION_SAME, REGION_RAND)
        return (partner[own], own) if is_region_swapped else (own, partner[own])

    def picture(self, variant: str, image: int) -> UInt8[Tensor, "3 size size"] | None:
        """One image in a variant, as the model sees it in the first draw; None where there is none."""
        if variant == ORIGINAL:
            return self.pieces.images[image]
        if variant in ALONE:
            pieces, at = self.pieces, image
            if variant != "mean scene":
                pieces, at = Cut(*(each[image : image + 1] for each in vars(pieces).values())), 0
            return changed_alone(variant, pieces, seed=self.case.seed)[at]
        partner = int(self.partners[variant][0, image])
        if partner < 0:
            return None
        is_region_swapped = variant in (REGION_SAME, REGION_RAND)
        return self.pieces.paste(*([partner], [image]) if is_region_swapped else ([image], [partner]))[0]


def swapping(case: Case, numbers: Int[ndarray, "images"], draws: int) -> Swapping:
    """Cut some rows of a case and draw whose scenes they get; the case must have masks, which can be cut."""
    assert case.masks is not None
    pieces = cut(case.images[torch.from_numpy(numbers)], case.masks[numbers])
    rows = case.rows.iloc[numbers]
    groups = tuple(rows[LABEL if case.bundle.card.class_names else "environment"].astype(str))
    generator = np.random.default_rng([case.seed, len(numbers)])
    same = draw_partners(groups, draws, generator, same=True)
    other = draw_partners(groups, draws, generator, same=False)
    alike = most_alike(pieces, list(rows["environment"].astype(str)))[None]
    partners = {CONTROL: alike, MIXED_SAME: same, MIXED_RAND: other, REGION_SAME: same, REGION_RAND: other}
    return Swapping(case, numbers, pieces, groups, partners)


def predict_variants(
    swaps: Swapping, done: Callable[[int], None] = lambda _: None
) -> dict[str, Float[ndarray, "draws images outputs"]]:
    """What the model says of every variant, the original first; NaN where an image has none.

    `done` is called with the number of images that were asked about since the last call.
    """
    original = _asked(swaps.case, swaps.pieces.images, done)
    said = {ORIGINAL: original[None]}
    for variant in VARIANTS:
        if variant in ALONE:
            changed = changed_alone(variant, swaps.pieces, seed=swaps.case.seed)
            said[variant] = _asked(swaps.case, changed, done)[None]
            continue
        partners = swaps.partners[variant]
        if (partners < 0).all():
            continue
        found = np.full((len(partners), *original.shape), np.nan)
        for draw in range(len(partners)):
            regions, scenes = swaps.pairs(variant, draw)
            own = np.flatnonzero(partners[draw] >= 0)
            found[draw, own] = predict_pairs(swaps, regions, scenes, done)
        said[variant] = found
    return said


def predict_pairs(
    swaps: Swapping,
    regions: Int[ndarray, "pairs"],
    scenes: Int[ndarray, "pairs"],
    done: Callable[[int], None] = lambda _: None,
) -> Float[ndarray, "pairs outputs"]:
    """What the model says of regions on scenes; pasted batch by batch."""
    found = []
    for start in range(0, len(regions), BATCH):
        part = slice(start, start + BATCH)
        found.append(swaps.case.predict(swaps.pieces.paste(regions[part], scenes[part])))
        done(len(found[-1]))
    return np.concatenate(found)


def measure_variants(swaps: Swapping, said: dict[str, ndarray]) -> dict[str, dict[str, Effects]]:
    """Target -> variant -> what it did; for classes the one target is called "label"."""
    rows, card = swaps.rows, swaps.case.bundle.card
    if card.class_names:
        number = {name: n for n, name in enumerate(card.class_names)}
        label = np.array([number.get(name, -1) for name in rows[LABEL]])
        before = said[ORIGINAL][0]
        return {LABEL: {name: effects_on_classes(before, after, label) for name, after in said.items()}}
    measured = {}
    for target in swaps.case.targets:
        column = card.output_names.index(target)
        measured[target] = {
            name: effects_on_number(
                said[ORIGINAL][0, :, column],
                after[:, :, column],
                rows[target].to_numpy(float),
                middle=middle_of(swaps.case, target),
            )
            for name, after in said.items()
        }
    return measured


def middle_of(case: Case, target: str) -> float | None:
    """0 for a target that takes both signs; None for one without two sides."""
    values = case.manifest.table[target]
    return 0.0 if float(values.min()) < 0 < float(values.max()) else None


def variant_table(measured: dict[str, dict[str, Effects]], swaps: Swapping) -> pd.DataFrame:
    """`effect_table` of every target, with a column `target`."""
    tables = [
        effect_table(effects, swaps.environments, seed=swaps.case.seed).assign(target=target)
        for target, effects in measured.items()
    ]
    return pd.concat(tables, ignore_index=True)


def asked_in_all(swaps: Swapping) -> int:
    """How many images `predict_variants` asks about."""
    paired = sum(int((partners >= 0).sum()) for partners in swaps.partners.values())
    return paired + len(swaps.pieces) * (1 + len(ALONE))


def _asked(
    case: Case, images: UInt8[Tensor, "n 3 size size"], done: Callable[[int], None]
) -> Float[ndarray, "n outputs"]:
    found = []
    for batch in torch.split(images, BATCH):
        found.append(case.predict(batch))
        done(len(batch))
    return np.concatenate(found)
