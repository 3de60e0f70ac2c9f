"""Changing the picture: the region of interest on other scenes, other regions in the same scene, and neither."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from numpy import ndarray
from torch import Tensor
from torch.nn import functional as F

from shapsight.data.remedies.scenes import FEATHER, feathered, fill, filled_in
from shapsight.errors import DataError

THUMBNAIL = 16  # pixels a side at which scenes are compared

ORIGINAL, CONTROL = "original", "control"
MIXED_SAME, MIXED_RAND = "mixed-same", "mixed-rand"
REGION_SAME, REGION_RAND = "region-same", "region-rand"
# What each variant is, in the order in which they are shown; hyphenated names follow the Backgrounds Challenge.
VARIANTS: Mapping[str, str] = {
    CONTROL: "its region on the scene that looks most like its own: what the cut costs",
    MIXED_SAME: "its region on the scene of another image of the same group",
    MIXED_RAND: "its region on the scene of an image of another group",
    "blurred scene": "its scene blurred",
    "mean scene": "its region on the mean of all scenes",
    "noise scene": "its region on noise",
    "grey scene": "its region on grey",
    "mean colour scene": "its region on the mean colour of its scene",
    "only-foreground": "its region on black",
    "only-background": "its region filled in with the colours around it",
    "no-foreground": "its region black",
    REGION_SAME: "another image's region, of the same group, in its scene",
    REGION_RAND: "the region of an image of another group in its scene",
}
KEEPS_REGION = (
    *(CONTROL, MIXED_SAME, MIXED_RAND, "blurred scene", "mean scene", "noise scene", "grey scene"),
    *("mean colour scene", "only-foreground"),
)
FILLED: Mapping[str, str] = {
    "blurred scene": "blur",
    "noise scene": "noise",
    "grey scene": "grey",
    "mean colour scene": "mean",
}


@dataclass(frozen=True, eq=False)
class Cut:
    """Images cut into region and scene, ready to be pasted together in any other way.

        pieces = cut(images, masks)
        pieces.paste([0, 1], [2, 2])        # the regions of images 0 and 1, both on the scene of image 2

    Attributes
        images, masks: as given.
        weights: how much of each pixel is the region: 1 inside it, falling to 0 around it.
        scenes: the images with their own region filled in from the colours around it.
    """

    images: UInt8[Tensor, "images 3 height width"]
    masks: Bool[Tensor, "images height width"]
    weights: Float[Tensor, "images height width"]
    scenes: UInt8[Tensor, "images 3 height width"]

    def __len__(self) -> int:
        return len(self.images)

    def paste(
        self, regions: Sequence[int] | ndarray, scenes: Sequence[int] | ndarray
    ) -> UInt8[Tensor, "pairs 3 height width"]:
        """The region of each first image on the scene of each second one; an image on its own scene is itself."""
        one, two = (torch.as_tensor(np.asarray(numbers, int)) for numbers in (regions, scenes))
        pasted = self._on(one, self.scenes[two])
        return torch.where((one == two)[:, None, None, None], self.images[one], pasted)

    def on(
        self, regions: Sequence[int] | ndarray, scenes: UInt8[Tensor, "pairs 3 height width"]
    ) -> UInt8[Tensor, "pairs 3 height width"]:
        """The region of each image on a scene that is given."""
        return self._on(torch.as_tensor(np.asarray(regions, int)), scenes)

    def _on(self, rows: Tensor, scenes: Tensor) -> UInt8[Tensor, "pairs 3 height width"]:
        own = self.weights[rows].unsqueeze(1)
        return (own * self.images[rows] + (1 - own) * scenes).round().to(torch.uint8)


def cut(
    images: UInt8[Tensor, "images 3 height width"],
    masks: Bool[ndarray, "images height width"],
    *,
    feather: float = FEATHER,
) -> Cut:
    """Cut images along their regions of interest; `feather` is how far an edge fades, as a share of the width.

    Raises `DataError` for masks of another size, and for an empty or a full one: there is nothing to cut.
    """
    regions = torch.tensor(masks)
    if regions.shape != (len(images), *images.shape[2:]):
        raise DataError(
            f"masks of shape {tuple(regions.shape)} do not fit images of {tuple(images.shape)}: one mask of the "
            "image's size for each image is needed"
        )
    if not can_be_cut(masks).all():
        raise DataError("a region of interest that is empty or fills its image cannot be cut out")
    reach = max(1, round(images.shape[3] * feather))
    weights = [feathered(region, reach) for region in regions]
    scenes = [filled_in(image, region) for image, region in zip(images, regions, strict=True)]
    return Cut(images, regions, torch.stack(weights), torch.stack(scenes))


def can_be_cut(masks: Bool[ndarray, "images height width"]) -> Bool[ndarray, "images"]:
    """Which masks are neither empty nor full."""
    flat = np.asarray(masks).reshape(len(masks), -1)
    return np.asarray(flat.any(1) & ~flat.all(1))


def most_alike(pieces: Cut, groups: Sequence[object]) -> Int[ndarray, "images"]:
    """For each image the other one of its group whose scene looks most like its own; -1 for a group of one.

    Alike is the least squared difference of scenes, 16 × 16 pixels small.
    """
    side = min(THUMBNAIL, *pieces.scenes.shape[2:])
    small = F.adaptive_avg_pool2d(pieces.scenes.float(), side).flatten(1).double()
    distances = torch.cdist(small, small).fill_diagonal_(torch.inf).numpy()
    names = np.asarray(groups, dtype=object)
    distances[names[:, None] != names[None, :]] = np.inf
    nearest = distances.argmin(1)
    return np.where(np.isfinite(distances.min(1)), nearest, -1)


def draw_partners(
    groups: Sequence[object], draws: int, generator: np.random.Generator, *, same: bool
) -> Int[ndarray, "draws images"]:
    """For each image some others, of its own group or of another one; -1 where there is none.

    Another group is drawn first, then an image of it, so that large groups do not crowd out small ones. An image's own
    draws differ from each other as long as its group has others left.
    """
    names = np.asarray(groups, dtype=object)
    rows = {name: np.flatnonzero(names == name) for name in dict.fromkeys(names.tolist())}
    partners = np.full((draws, len(names)), -1)
    for number, name in enumerate(names.tolist()):
        if same:
            others = generator.permutation(rows[name][rows[name] != number])
            if len(others):
                partners[:, number] = np.resize(others, draws)
        elif len(rows) > 1:
            elsewhere = [other for other in rows if other != name]
            for draw in range(draws):
                chosen = rows[elsewhere[int(generator.integers(len(elsewhere)))]]
                partners[draw, number] = chosen[int(generator.integers(len(chosen)))]
    return partners


def changed_alone(name: str, pieces: Cut, *, seed: int = 0) -> UInt8[Tensor, "images 3 height width"]:
    """Every image in a variant that needs no other image of its own, such as "only-foreground".

        changed_alone("no-foreground", cut(images, masks))

    Raises `DataError` for a name that is none of these.
    Source of the hyphenated names: Xiao et al. 2021, "Noise or Signal" (the Backgrounds Challenge). *only-background*
    is their Only-BG-T with the region filled in from around it instead of tiles.
    """
    everyone = np.arange(len(pieces))
    if name == "only-background":
        return pieces.scenes
    if name == "no-foreground":
        return pieces.images * ~pieces.masks.unsqueeze(1)
    if name == "only-foreground":
        return pieces.on(everyone, torch.zeros_like(pieces.images))
    if name == "mean scene":
        mean = pieces.scenes.float().mean(0).round().to(torch.uint8)
        return pieces.on(everyone, mean.expand_as(pieces.images))
    if name not in FILLED:
        raise DataError(f"{name!r} is no variant that an image has on its own")
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        filled = [
            fill(scene, ~region, FILLED[name])
            for scene, region in zip(pieces.scenes, pieces.masks, strict=True)
        ]
    return pieces.on(everyone, torch.stack(filled))


def scene_patches(
    masks: Bool[ndarray, "images height width"], rows: int, columns: int
) -> Int[ndarray, "images height width"]:
    """A label map for `RegionShap`: 0 the region of interest, 1 + its place on the grid for each pixel of the scene."""
    height, width = masks.shape[1:]
    if not (1 <= rows <= height and 1 <= columns <= width):
        raise DataError(
            f"a grid of {rows} × {columns} patches does not fit images of {height} × {width} pixels"
        )
    row, column = np.arange(height) * rows // height, np.arange(width) * columns // width
    places = row[:, None] * columns + column[None, :]
    return np.where(masks, 0, 1 + places[None])
