"""Remedies: named changes to what a model is trained on, each moving targets and region of interest with the pixels.

recipe = read_recipe("flip,swap-scene")
transform = recipe.transform(scenes)
transform(sample_of(image, targets, places, mask))
"""

from shapsight.data.remedies.recipes import REMEDIES, Recipe, read_recipe
from shapsight.data.remedies.remedy import Remedy
from shapsight.data.remedies.sample import Places, Sample, sample_of, targets_of
from shapsight.data.remedies.scenes import Scenes

__all__ = [
    "REMEDIES",
    "Places",
    "Recipe",
    "Remedy",
    "Sample",
    "Scenes",
    "read_recipe",
    "sample_of",
    "targets_of",
]
