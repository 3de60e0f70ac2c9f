"""Training images before and after a recipe, for its picture in the report."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from shapsight.data.remedies.batches import RecipeSamples
from shapsight.data.remedies.recipes import Recipe
from shapsight.data.turns import in_turn
from shapsight.studies.cure.facts import Cured
from shapsight.studies.cure.pictures import BeforeOrAfter
from shapsight.studies.cure.trials import treatment_of

AFTER = 4  # pictures of each image after a remedy
TRIES = (
    60  # a remedy leaves some images as they are: so many draws are looked through for ones that it changes
)


def changed_images(recipe: Recipe, cured: Cured) -> list[list[BeforeOrAfter]]:
    """Training images of two environments before and after a recipe; none for one that changes no image."""
    # Every environment is trained on here, so that scenes of others can be shown.
    names = (cured.turns.wider or cured.turns.plain)[0]
    budget, material = cured.budget, cured.material
    manifest = in_turn(
        material.manifest, names, seed=budget.split_seed, validation_share=budget.validation_share
    )
    samples = treatment_of(recipe.name, budget, material).samples(manifest, material.images)
    training = manifest.rows("train")
    environments = manifest.table["environment"].to_numpy()
    pictures = []
    for name in names[:2]:
        of_name = training[environments[training] == name]
        row = int(of_name[len(of_name) // 2])
        found = [_before(samples, row, str(name), has_roi=material.masks is not None)]
        for number in range(TRIES):
            after = _after(samples, number, row)
            is_new = not any(np.array_equal(after.image, shown.image) for shown in found)
            if is_new and len(found) <= AFTER:
                found.append(after)
        pictures.append(found)
    return pictures if any(len(found) > 1 for found in pictures) else []


def _before(samples: RecipeSamples, row: int, title: str, *, has_roi: bool) -> BeforeOrAfter:
    image, places = samples.images[row], samples.places
    size = (image.shape[-2], image.shape[-1])
    points = places.points(samples.targets[row], size) if places.across else torch.zeros(0, 2)
    return BeforeOrAfter(
        image.numpy(), points.numpy(), samples.masks[row].numpy() if has_roi else None, title
    )


def _after(samples: RecipeSamples, number: int, row: int) -> BeforeOrAfter:
    changed = samples.changed(number, row)
    image, points, roi = (changed[name].as_subclass(Tensor).numpy() for name in ("image", "points", "roi"))
    return BeforeOrAfter(image, points, roi)
