"""Remedies for a training loop of your own: torchvision v2 transforms that move targets and regions with the pixels.

    from shapsight import remedies

    transform = v2.Compose([
        remedies.Flip(),
        remedies.SwapScene("other_photographs"),
        remedies.Light(),
        v2.ToDtype(torch.float32, scale=True),
        v2.Lambda(remedies.from_points, tv_tensors.KeyPoints),
    ])
    points = remedies.as_points(torch.tensor([x, y]), mask.shape)
    image, mask, target = transform(tv_tensors.Image(image), tv_tensors.Mask(mask), points)

A sample is whatever such transforms take: a tuple, a dict, a list; the mask is the region of interest. They are what
`shapsight train --remedies` and `cure` apply. `right_reasons` is a term for the loss; `read_recipe` makes one transform
of several by name: `read_recipe("flip+swap-scene").transform(remedies.Scenes.of("other_photographs"))`.
"""

from shapsight.data.remedies.geometry import Flip
from shapsight.data.remedies.light import ColorJitter, Light
from shapsight.data.remedies.noise import JpegArtefacts, Noise, SensorNoise
from shapsight.data.remedies.recipes import REMEDIES, Recipe, read_recipe
from shapsight.data.remedies.remedy import Remedy
from shapsight.data.remedies.right_reasons import right_reasons
from shapsight.data.remedies.sample import as_points, from_points
from shapsight.data.remedies.scenes import EraseObjects, EraseScene, MixScenes, Scenes, SwapScene

__all__ = [
    "REMEDIES",
    "ColorJitter",
    "EraseObjects",
    "EraseScene",
    "Flip",
    "JpegArtefacts",
    "Light",
    "MixScenes",
    "Noise",
    "Recipe",
    "Remedy",
    "Scenes",
    "SensorNoise",
    "SwapScene",
    "as_points",
    "from_points",
    "read_recipe",
    "right_reasons",
]
