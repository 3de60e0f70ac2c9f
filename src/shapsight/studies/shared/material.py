"""A dataset in memory: its decoded images, where their regions of interest lie, and scenes to paste in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, UInt8
from numpy import ndarray
from torch import Tensor

from shapsight.data.framing import Framing, framing_of
from shapsight.data.images import load_images
from shapsight.data.manifest import Manifest
from shapsight.data.remedies.recipes import read_recipe
from shapsight.data.remedies.sample import Places
from shapsight.data.remedies.scenes import photographs
from shapsight.data.remedies.treatment import Treatment
from shapsight.data.roi import Roi, read_roi
from shapsight.errors import DataError
from shapsight.models.bundle import Bundle
from shapsight.studies.shared.narrator import Narrator
from shapsight.studies.shared.settings import TrainingSettings

NO_ROI = "none"


@dataclass(frozen=True, eq=False)
class Material:
    """What a study works on and does not change.

        material = Material.decoded(manifest, 224, narrator, roi=roi_of("below:112"))

    Attributes
        images: one for each row of the manifest's table, as the model sees it.
        framing: how it sees them.
        roi: where the region of interest lies; None where that is not known.
        masks: the region of every row; scenes: photographs whose scenes can be pasted in.
    """

    manifest: Manifest
    images: UInt8[Tensor, "images 3 height width"]
    framing: Framing
    roi: Roi | None = None
    masks: Bool[Tensor, "images size size"] | None = None
    scenes: UInt8[Tensor, "scenes 3 size size"] | None = None

    @classmethod
    def decoded(
        cls,
        manifest: Manifest,
        size: int | Framing,
        narrator: Narrator,
        *,
        roi: Roi | None = None,
        scenes: Path | str | None = None,
    ) -> Material:
        """Decode every image; regions are drawn before, so that a missing one is found at once."""
        framing = framing_of(size)
        masks = None if roi is None else torch.from_numpy(region_masks(roi, manifest.table, framing))
        with narrator.step(f"Decoding {len(manifest)} images") as report:
            images = load_images(manifest, list(manifest.table["path"]), framing, progress=report)
        pasted = None if scenes is None else photographs(Path(scenes), framing.size[0])
        return cls(manifest, images, framing, roi, masks, pasted)

    def seen_by(self, bundle: Bundle) -> Material:
        """The same images and regions as another model sees them."""
        if bundle.seen == self.framing:
            return self
        masks = (
            None
            if self.roi is None
            else torch.from_numpy(region_masks(self.roi, self.manifest.table, bundle.seen))
        )
        return replace(self, images=bundle.load(self.manifest), framing=bundle.seen, masks=masks)

    def of(self, rows: pd.DataFrame) -> UInt8[Tensor, "rows 3 height width"]:
        """The images of some rows of the manifest's table."""
        return self.images[torch.tensor(rows.index.to_numpy(np.int64))]

    def regions(self, rows: pd.DataFrame) -> Bool[ndarray, "rows size size"] | None:
        """The regions of interest of some rows of the manifest's table."""
        return None if self.roi is None else region_masks(self.roi, rows, self.framing)

    def treatment(self, settings: TrainingSettings) -> Treatment | None:
        """The remedies that a training's settings name; None without any.

        Raises `DataError` for a remedy that cannot be read or needs what is not there.
        """
        if settings.remedies is None:
            return None
        recipe = read_recipe(settings.remedies)
        if recipe.has("more-environments"):
            raise DataError("more-environments is a matter of what is trained on: name them with --train-on")
        recipe.check(Places.of(self.manifest), has_roi=self.masks is not None)
        return Treatment(recipe, self.masks, self.scenes)


def roi_of(*given: Any) -> Roi | None:
    """The first region of interest that is given: a text, a function of a row or a `Roi`; "none" is none."""
    spec = next((each for each in given if each is not None), NO_ROI)
    return None if spec == NO_ROI else read_roi(spec)


def region_masks(roi: Roi, rows: pd.DataFrame, size: int | Framing) -> Bool[ndarray, "images size size"]:
    """The region of interest of some rows, as the model sees them."""
    return np.stack([roi.mask(row, size) for row in rows.to_dict("records")])
