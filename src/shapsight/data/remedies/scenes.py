"""Scenes: what lies outside the region of interest is erased, covered or swapped; no pixel inside it changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.nn import functional as F
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as v2f

from shapsight.data.remedies.remedy import Remedy
from shapsight.errors import DataError

Pixels = UInt8[Tensor, "3 height width"]
Region = Bool[Tensor, "height width"]
FILLS = ("noise", "blur", "grey", "mean")
BLUR = 1 / 14  # a blurred scene's sigma, as a share of the width
FEATHER = 1 / 28  # how far a pasted region fades into its new scene, as a share of the width


@dataclass(frozen=True, eq=False)
class Scenes:
    """Pictures whose scenes a region of interest can be pasted on.

        Scenes(images, masks, environments)            # training images; what their own region hides is filled in
        Scenes(photographs, no_masks, zeros)           # any photographs: all of each is a scene

    Attributes
        images: `(scenes, 3, size, size)`, uint8. masks: what in each is no scene. environments: a number for each;
            the environment is drawn first, so that a large one does not crowd out the others.
    """

    images: UInt8[Tensor, "scenes 3 height width"]
    masks: Bool[Tensor, "scenes height width"]
    environments: Int[Tensor, "scenes"]

    def draw(self) -> tuple[Pixels, Region]:
        """One at random, with what in it is no scene."""
        known = torch.unique(self.environments)
        chosen = known[torch.randint(len(known), ())]
        rows = (self.environments == chosen).nonzero()[:, 0]
        row = rows[torch.randint(len(rows), ())]
        return self.images[row], self.masks[row]


class SceneChange(v2.Transform):  # type: ignore[misc]  # torchvision has no types
    """A change of the image that sees the region of interest; a share of the samples is changed."""

    _transformed_types = (tv_tensors.Image, tv_tensors.Mask)

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """What the image becomes; the same image where there is nothing to keep or nothing to change."""
        image = _only(flat_inputs, tv_tensors.Image).as_subclass(Tensor)
        roi = _only(flat_inputs, tv_tensors.Mask).as_subclass(Tensor).bool()
        if roi.all() or not roi.any() or torch.rand(()) >= self.share:
            return {"image": image}
        return {"image": torch.where(roi, image, self.change(image, roi))}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Replace the image; the mask was only looked at."""
        return tv_tensors.wrap(params["image"], like=inpt) if isinstance(inpt, tv_tensors.Image) else inpt

    def change(self, image: Pixels, roi: Region) -> Pixels:
        """The image with another scene; what it says of the region is not used."""
        raise NotImplementedError


class EraseScene(SceneChange):
    """The scene, or parts of it, replaced by noise, blur, grey or its own mean colour.

        EraseScene(0.75)(sample)
        EraseScene(1.0, fills=["grey"], whole=1.0)(sample)      # always all of it

    `fills` are chosen from with equal chances; `whole` is the share of samples that lose all of their scene, the
    others lose one to three boxes of it.
    """

    def __init__(self, share: float = 0.75, *, fills: Sequence[str] = FILLS, whole: float = 0.5) -> None:
        super().__init__(share)
        unknown = [fill for fill in fills if fill not in FILLS]
        if unknown or not fills:
            raise DataError(
                f"a scene can be filled with {', '.join(FILLS)}, not {unknown[0] if unknown else 'nothing'}"
            )
        self.fills = tuple(fills)
        self.whole = whole

    def change(self, image: Pixels, roi: Region) -> Pixels:
        """Fill everywhere or in boxes."""
        filled = fill(image, ~roi, self.fills[int(torch.randint(len(self.fills), ()))])
        if torch.rand(()) < self.whole:
            return filled
        return torch.where(boxes(roi.shape, between=(1, 3), sides=(0.3, 0.8)), filled, image)


class EraseObjects(SceneChange):
    """Random boxes outside the region of interest: two to six, each in a colour of its own or noise."""

    def change(self, image: Pixels, roi: Region) -> Pixels:
        """Cover the boxes one after the other."""
        for _ in range(int(torch.randint(2, 7, ()))):
            where = boxes(roi.shape, between=(1, 1), sides=(0.08, 0.35))
            plain = torch.randint(256, (3, 1, 1), dtype=torch.uint8)
            cover = fill(image, ~roi, "noise") if torch.rand(()) < 0.5 else plain.expand_as(image)
            image = torch.where(where, cover, image)
        return image


class ScenePaste(SceneChange):
    """A change that pastes in scenes of other pictures."""

    def __init__(self, scenes: Scenes, share: float = 0.75) -> None:
        super().__init__(share)
        if not len(scenes.images):
            raise DataError("there is no picture whose scene could be pasted in")
        self.scenes = scenes

    def other_scene(self, image: Pixels, roi: Region) -> Pixels:
        """The scene of a picture at random, mirrored half of the time.

        What the picture's own region hides is filled in from around it.
        """
        scene, hidden = self.scenes.draw()
        if scene.shape != image.shape:
            raise DataError(
                f"scenes of {tuple(scene.shape)} do not fit an image of {tuple(image.shape)} pixels"
            )
        if torch.rand(()) < 0.5:
            scene, hidden = v2f.horizontal_flip(scene), v2f.horizontal_flip(hidden)
        return filled_in(scene, hidden) if (hidden & ~roi).any() else scene


class SwapScene(ScenePaste):
    """The region of interest pasted on the scene of another picture, with a feathered edge outside the region.

    SwapScene(scenes, 0.75)(sample)
    """

    def change(self, image: Pixels, roi: Region) -> Pixels:
        """Blend from the image at the edge of its region to the other scene."""
        own = feathered(roi, max(1, round(roi.shape[1] * FEATHER)))
        return (own * image + (1 - own) * self.other_scene(image, roi)).round().to(torch.uint8)


class MixScenes(ScenePaste):
    """A rectangle of another picture's scene pasted outside the region of interest: CutMix of scenes.

        MixScenes(scenes, 0.75)(sample)

    The rectangle has the image's proportions; its share of the area is drawn uniformly, as with CutMix's Beta(1, 1).
    The target stays, since the region does. Source: Yun et al. 2019 (CutMix), which mixes labels as well.
    """

    def change(self, image: Pixels, roi: Region) -> Pixels:
        """Paste the rectangle; it lies inside the image."""
        side = float(torch.rand(()).sqrt())
        where = boxes(roi.shape, between=(1, 1), sides=(side, side))
        return torch.where(where, self.other_scene(image, roi), image)


def fill(image: Pixels, scene: Region, kind: str) -> Pixels:
    """An image of the same size that is noise, grey, the scene's mean colour, or the image blurred."""
    if kind == "noise":
        return torch.randint(256, image.shape, dtype=torch.uint8)
    if kind == "grey":
        return torch.full_like(image, 128)
    if kind == "mean":
        return image[:, scene].float().mean(1).round().to(torch.uint8)[:, None, None].expand_as(image)
    sigma = image.shape[-1] * BLUR
    kernel = min(2 * round(2 * sigma) + 1, 2 * min(image.shape[1:]) - 1)
    return torch.as_tensor(v2f.gaussian_blur(image, [kernel, kernel], [sigma, sigma]))


def boxes(size: Sequence[int], *, between: tuple[int, int], sides: tuple[float, float]) -> Region:
    """Some boxes at random places; `sides` are shares of the height and the width."""
    where = torch.zeros(*size, dtype=torch.bool)
    for _ in range(int(torch.randint(between[0], between[1] + 1, ()))):
        shares = sides[0] + (sides[1] - sides[0]) * torch.rand(2)
        height, width = (max(1, round(float(s) * extent)) for s, extent in zip(shares, size, strict=True))
        top, left = torch.randint(size[0] - height + 1, ()), torch.randint(size[1] - width + 1, ())
        where[top : top + height, left : left + width] = True
    return where


def feathered(roi: Region, reach: int) -> Float[Tensor, "height width"]:
    """1 inside the region, falling to 0 at about `reach` pixels from it."""
    near = F.avg_pool2d(
        F.pad(roi[None, None].float(), (reach,) * 4, mode="replicate"), 2 * reach + 1, stride=1
    )
    return torch.where(roi, 1.0, (2 * near[0, 0]).clamp(max=1.0))


def filled_in(image: Pixels, hidden: Region) -> Pixels:
    """The hidden pixels in the colours around them: the mean of ever larger blocks that hold a pixel that is known."""
    known = (~hidden)[None, None].float()
    levels = [(image[None].float() * known, known)]
    while min(levels[-1][0].shape[2:]) > 1 and not (levels[-1][1] > 0).all():
        colours, weight = levels[-1]
        levels.append((F.avg_pool2d(colours, 2, ceil_mode=True), F.avg_pool2d(weight, 2, ceil_mode=True)))
    colours, weight = levels.pop()
    filled = colours / weight.clamp_min(1e-6)
    for colours, weight in reversed(levels):
        wider = F.interpolate(filled, size=colours.shape[2:], mode="bilinear")
        filled = torch.where(weight > 0, colours / weight.clamp_min(1e-6), wider)
    return torch.where(hidden, filled[0].round().to(torch.uint8), image)


def _only(inputs: list[Any], kind: type) -> Any:
    found = [each for each in inputs if isinstance(each, kind)]
    if len(found) != 1:
        raise DataError(
            f"a scene is changed in one {kind.__name__} at a time, and the sample holds {len(found)}"
        )
    return found[0]


REMEDIES = (
    Remedy(
        "swap-scene",
        "pastes the region of interest on the scene of another image, edges feathered",
        make=SwapScene,
        needs_roi=True,
        options=("scenes",),
    ),
    Remedy(
        "mix-scenes",
        "pastes a rectangle of another image's scene outside the region of interest (CutMix, Yun et al. 2019)",
        make=MixScenes,
        needs_roi=True,
        options=("scenes",),
    ),
    Remedy(
        "erase-scene",
        "replaces the scene or parts of it by noise, blur, grey or its mean colour",
        make=lambda _: EraseScene(),
        needs_roi=True,
    ),
    Remedy(
        "erase-objects",
        "covers random boxes outside the region of interest",
        make=lambda _: EraseObjects(0.75),
        needs_roi=True,
    ),
)
