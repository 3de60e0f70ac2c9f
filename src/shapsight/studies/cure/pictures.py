"""Pictures of remedies: what each does to training images."""

from __future__ import annotations

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from shapsight.data.remedies.batches import RecipeSamples
from shapsight.data.remedies.recipes import Recipe
from shapsight.data.turns import in_turn
from shapsight.drawing.viewer import Mark, Shown, channels_last
from shapsight.studies.cure.facts import Cure
from shapsight.studies.cure.trials import treatment_of

AFTER = 4  # pictures of each image after a remedy
TRIES = (
    60  # a remedy leaves some images as they are: so many draws are looked through for ones that it changes
)

Drawn = tuple[ndarray, ndarray, ndarray]  # an image, points in it, its region of interest


def changed_images(recipe: Recipe, cured: Cure) -> list[Shown]:
    """Training images of two environments, each before and after a recipe; none for one that changes no image."""
    # Every environment is trained on here, so that scenes of others can be shown.
    names = (cured.turns.wider or cured.turns.plain)[0]
    budget, material = cured.budget, cured.material
    manifest = in_turn(
        material.manifest, names, seed=budget.split_seed, validation_share=budget.validation_share
    )
    samples = treatment_of(recipe.name, budget, material).samples(manifest, material.images)
    training = manifest.rows("train")
    environments = manifest.table["environment"].to_numpy()
    shown: list[Shown] = []
    for name in map(str, names[:2]):
        of_name = training[environments[training] == name]
        row = int(of_name[len(of_name) // 2])
        found = [_before(samples, row)]
        for number in range(TRIES):
            after = _after(samples, number, row)
            is_new = not any(np.array_equal(after[0], each[0]) for each in found)
            if is_new and len(found) <= AFTER:
                found.append(after)
        has_roi = material.masks is not None
        shown += [_shown(recipe.name, name, at, *each, has_roi=has_roi) for at, each in enumerate(found)]
    return shown if len(shown) > len(names[:2]) else []


def _before(samples: RecipeSamples, row: int) -> Drawn:
    image, places = samples.images[row], samples.places
    size = (image.shape[-2], image.shape[-1])
    points = places.points(samples.targets[row], size) if places.across else torch.zeros(0, 2)
    return image.numpy(), points.numpy(), samples.masks[row].numpy()


def _after(samples: RecipeSamples, number: int, row: int) -> Drawn:
    changed = samples.changed(number, row)
    image, points, roi = (changed[name].as_subclass(Tensor).numpy() for name in ("image", "points", "roi"))
    return image, points, roi


def _shown(
    recipe: str, place: str, at: int, image: ndarray, points: ndarray, roi: ndarray, *, has_roi: bool
) -> Shown:
    return Shown(
        f"{place}, {f'after {recipe}, draw {at}' if at else 'as it is'}",
        channels_last(image),
        marks=tuple(Mark("target", *point) for point in points.tolist()),
        caption=f"after {recipe}" if at else f"{place}, as it is",
        group=place,
        key=f"{recipe}|{place}|{at}",
        outline=roi if has_roi else None,
        beside=f"{recipe}|{place}|0" if at else "",
    )
