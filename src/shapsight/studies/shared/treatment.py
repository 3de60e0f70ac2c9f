"""What remedies need to be applied: regions of interest and photographs at the size that the model sees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, UInt8
from numpy import ndarray
from torch import Tensor

from shapsight.data.decoding import decode_image
from shapsight.data.image_files import find_images
from shapsight.data.images import cropped_square
from shapsight.data.manifest import Manifest
from shapsight.data.remedies.recipes import read_recipe
from shapsight.data.remedies.sample import Places
from shapsight.data.remedies.treatment import Treatment
from shapsight.data.roi import Roi, read_roi
from shapsight.errors import DataError
from shapsight.studies.shared.settings import TrainingSettings


def treatment_for(settings: TrainingSettings, manifest: Manifest, size: int) -> Treatment | None:
    """The remedies of a training, as its settings name them; None without any.

    Raises `DataError` for a remedy that cannot be read or needs what is not there.
    """
    if settings.remedies is None:
        return None
    recipe = read_recipe(settings.remedies)
    if recipe.has("more-environments"):
        raise DataError("more-environments is a matter of what is trained on: name them with --train-on")
    recipe.check(Places.of(manifest), has_roi=settings.roi is not None)
    masks = None
    if settings.roi is not None:
        masks = torch.from_numpy(region_masks(read_roi(settings.roi), manifest.table, size))
    scenes = None if settings.scenes is None else photographs(settings.scenes, size)
    return Treatment(recipe, masks, scenes)


def region_masks(roi: Roi, rows: pd.DataFrame, size: int) -> Bool[ndarray, "images size size"]:
    """The region of interest of some rows, at the size that the model sees."""
    return np.stack([roi.mask(row, size) for row in rows.to_dict("records")])


def photographs(folder: Path, size: int) -> UInt8[Tensor, "scenes 3 size size"]:
    """The middle square of every picture in a folder, sub-folders included. Raises `DataError` for none."""
    paths, _ = find_images(folder)
    if not paths:
        raise DataError(f"there is no picture in {folder} whose scene could be pasted in")
    return torch.stack([cropped_square(decode_image(folder / path), size) for path in paths])
