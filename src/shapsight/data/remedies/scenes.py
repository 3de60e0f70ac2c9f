"""Scenes: what lies outside the region of interest is erased, covered or swapped; no pixel inside it changes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.nn import functional as F
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as v2f

from shapsight.data.decoding import decode_image
from shapsight.data.framing import Cropped
from shapsight.data.image_files import find_images
from shapsight.data.remedies.picture import PictureChange, Pixels, Region, described
from shapsight.data.remedies.remedy import Remedy
from shapsight.errors import DataError

FILLS = ("noise", "blur", "grey", "mean")
BLUR = 1 / 14  # a blurred scene's sigma, as a share of the width
SIDE = 224  # pixels of a photograph that is read as a scene
FEATHER = 1 / 28  # how far a pasted region fades into its new scene, as a share of the width

AnyScenes: TypeAlias = "Scenes | UInt8[Tensor, 'scenes 3 height width'] | str | os.PathLike[str]"


@dataclass(frozen=True, eq=False)
class Scenes:
    """Pictures whose scenes a region of interest can be pasted on.

        Scenes(images, masks, environments)            # training images; what their own region hides is filled in
        Scenes.of("photographs", side=448)             # any photographs: all of each is a scene
        Scenes.of(images)                              # the same of a tensor (scenes, 3, height, width), uint8

    Attributes
        images: `(scenes, 3, height, width)`, uint8. masks: `(scenes, height, width)`, what in each is no scene.
        environments: `(scenes,)`, a number for each; the environment is drawn first, so that a large one does not
            crowd out the others.

    Raises `DataError` where these do not fit together, or where there is none.
    """

    images: UInt8[Tensor, "scenes 3 height width"]
    masks: Bool[Tensor, "scenes height width"]
    environments: Int[Tensor, "scenes"]

    def __post_init__(self) -> None:
        count = len(self.images)
        if not count:
            raise DataError("there is no picture whose scene could be pasted in")
        if self.images.dtype != torch.uint8 or self.images.ndim != 4 or self.images.shape[1] != 3:
            raise DataError(
                f"scenes are uint8 pictures of shape (scenes, 3, height, width), not {described(self.images)}"
            )
        if self.masks.shape != (count, *self.images.shape[2:]) or self.environments.shape != (count,):
            raise DataError(
                f"{count} scenes of {self.images.shape[2]} × {self.images.shape[3]} pixels came with masks of shape "
                f"{tuple(self.masks.shape)} and environments of shape {tuple(self.environments.shape)}"
            )

    def __repr__(self) -> str:
        return f"Scenes({len(self.images)}, {' × '.join(map(str, self.images.shape[1:]))})"

    @classmethod
    def of(cls, source: AnyScenes, *, side: int = SIDE) -> Scenes:
        """Pictures, or a folder of them: of each photograph the middle square is read, `side` pixels wide."""
        if isinstance(source, Scenes):
            return source
        images = source if isinstance(source, Tensor) else photographs(Path(source), side)
        masks = torch.zeros(len(images), *images.shape[2:], dtype=torch.bool)
        return cls(images, masks, torch.zeros(len(images), dtype=torch.int64))

    def draw(self) -> tuple[Pixels, Region]:
        """One at random, with what in it is no scene."""
        known = torch.unique(self.environments)
        chosen = known[torch.randint(len(known), ())]
        rows = (self.environments == chosen).nonzero()[:, 0]
        row = rows[torch.randint(len(rows), ())]
        return self.images[row], self.masks[row]


def photographs(folder: Path, size: int) -> UInt8[Tensor, "scenes 3 size size"]:
    """The middle square of every picture in a folder, sub-folders included. Raises `DataError` for none."""
    paths, _ = find_images(folder)
    if not paths:
        raise DataError(f"there is no picture in {folder} whose scene could be pasted in")
    return torch.stack([Cropped(size).see(decode_image(folder / path)) for path in paths])


class SceneChange(PictureChange):
    """A change of the image that sees the region of interest; a share of the samples is changed.

    The sample holds one `tv_tensors.Mask`, the region of interest: `(height, width)` or `(1, height, width)`, inside is
    what is not 0. No pixel inside it changes. Raises `DataError` without it, and for an image that is not uint8 of
    shape (3, height, width).
    """

    _transformed_types = (*PictureChange._transformed_types, tv_tensors.Mask)

    def __init__(self, share: float = 0.75) -> None:
        super().__init__(share)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """What the image becomes; the same image where there is nothing to keep or nothing to change."""
        image, roi = self.picture(flat_inputs), self.region(flat_inputs)
        if roi.all() or not roi.any() or torch.rand(()) >= self.share:
            return {"image": image}
        return {"image": torch.where(roi, image, self.change(image, roi))}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Replace the image; the mask was only looked at."""
        return inpt if isinstance(inpt, tv_tensors.Mask) else tv_tensors.wrap(params["image"], like=inpt)

    def change(self, image: Pixels, roi: Region) -> Pixels:
        """The image with another scene; what it says of the region is not used."""
        raise NotImplementedError


class EraseScene(SceneChange):
    """The scene, or parts of it, replaced by noise, blur, grey or its own mean colour.

        EraseScene()(image, mask, target)
        EraseScene(1.0, fills=["grey"], whole=1.0)(image, mask)      # always all of it

    `fills` are chosen from with equal chances; `whole`, from 0 to 1, is the share of the changed samples that lose all
    of their scene, the others lose one to three boxes of it, 0.3 to 0.8 of the image a side. See `SceneChange` for what
    the sample must hold. Raises `DataError` for another fill.
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
    """Random boxes outside the region of interest: two to six, each in a colour of its own or noise.

        EraseObjects()(image, mask, target)

    A box is 0.08 to 0.35 of the image a side. See `SceneChange` for what the sample must hold.
    Source: DeVries and Taylor 2017 (Cutout) and Zhong et al. 2017 (Random Erasing), which spare no region.
    """

    def change(self, image: Pixels, roi: Region) -> Pixels:
        """Cover the boxes one after the other."""
        for _ in range(int(torch.randint(2, 7, ()))):
            where = boxes(roi.shape, between=(1, 1), sides=(0.08, 0.35))
            plain = torch.randint(256, (3, 1, 1), dtype=torch.uint8)
            cover = fill(image, ~roi, "noise") if torch.rand(()) < 0.5 else plain.expand_as(image)
            image = torch.where(where, cover, image)
        return image


class ScenePaste(SceneChange):
    """A change that pastes in scenes of other pictures: a folder of photographs, a tensor of them, or `Scenes`."""

    def __init__(self, scenes: AnyScenes, share: float = 0.75) -> None:
        super().__init__(share)
        self.scenes = Scenes.of(scenes)

    def other_scene(self, image: Pixels, roi: Region) -> Pixels:
        """The scene of a picture at random, mirrored half of the time.

        What the picture's own region hides is filled in from around it. Of a picture of another size its middle is
        taken, in the image's proportions.
        """
        scene, hidden = self.scenes.draw()
        if scene.shape != image.shape:
            scene, hidden = _middle(scene, roi.shape), _middle(255 * hidden[None].byte(), roi.shape)[0].bool()
        if torch.rand(()) < 0.5:
            scene, hidden = v2f.horizontal_flip(scene), v2f.horizontal_flip(hidden)
        return filled_in(scene, hidden) if (hidden & ~roi).any() else scene


class SwapScene(ScenePaste):
    """The region of interest pasted on the scene of another picture, with a feathered edge outside the region.

        SwapScene("photographs")(image, mask, target)                # a folder; or a tensor (scenes, 3, height, width)
        SwapScene(Scenes(images, masks, environments))(image, mask)  # other training images: their own region is hidden

    The edge is 1/28 of the width. See `SceneChange` for what the sample must hold.
    Source: Xiao et al. 2020 (Noise or Signal), which pastes objects on the backgrounds of other images.
    """

    def change(self, image: Pixels, roi: Region) -> Pixels:
        """Blend from the image at the edge of its region to the other scene."""
        own = feathered(roi, max(1, round(roi.shape[1] * FEATHER)))
        return (own * image + (1 - own) * self.other_scene(image, roi)).round().to(torch.uint8)


class MixScenes(ScenePaste):
    """A rectangle of another picture's scene pasted outside the region of interest: CutMix of scenes.

        MixScenes("photographs")(image, mask, target)

    `scenes` as for `SwapScene`. The rectangle has the image's proportions; its share of the area is drawn uniformly, as
    with CutMix's Beta(1, 1). The target stays, since the region does.
    Source: Yun et al. 2019 (CutMix), which mixes labels as well.
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
    across = v2f.gaussian_blur(
        image.float(), [kernel, 1], [sigma, sigma]
    )  # a Gaussian of two dimensions is two of one
    return torch.as_tensor(v2f.gaussian_blur(across, [1, kernel], [sigma, sigma]).round().to(torch.uint8))


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
    near = F.pad(roi[None, None].float(), (reach,) * 4, mode="replicate")
    for window in ((1, 2 * reach + 1), (2 * reach + 1, 1)):
        near = F.avg_pool2d(near, window, stride=1)
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


def _middle(pixels: UInt8[Tensor, "channels any_height any_width"], size: Sequence[int]) -> Tensor:
    """The middle of a picture in the proportions of `size`, as large as possible, resized to it."""
    height, width = pixels.shape[1:]
    shrunk = min(height / size[0], width / size[1])
    crop = [
        max(1, min(extent, round(side * shrunk))) for extent, side in zip((height, width), size, strict=True)
    ]
    return torch.as_tensor(v2f.resize(v2f.center_crop(pixels, crop), list(size), antialias=True))


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
        make=lambda _: EraseObjects(),
        needs_roi=True,
    ),
)
