"""Maskers: what stands in an image where pixels are hidden.

    PartitionShap(predict, "blur(64,64)")           # a text, a number, a colour or references: see `as_masker`
    PartitionShap(predict, maskers.Inpaint("ns"))   # or one of these
    maskers.Constant((124, 116, 104)), maskers.Mean(), maskers.Blur(9, 9), maskers.Diffuse(), maskers.References(images)

Your own is a class with one method: see `Masker`.
"""

from __future__ import annotations

import functools
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any, ClassVar

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from shapsight.attribution.inpainting import EightBits, chosen, fill_by_pyramid, fill_with_opencv
from shapsight.attribution.shared.placement import moved, wide
from shapsight.errors import ExplainerError
from shapsight.models.references import ChosenReferences

Visible = Bool[Tensor, "coalitions channels_or_1 height width"]
Image = Shaped[Tensor, "channels height width"]
Hide = Callable[[Visible], Shaped[Tensor, "versions channels height width"]]

GRAMMAR = (
    "blur(WIDTH,HEIGHT), inpaint_telea, inpaint_ns, inpaint_diffuse, mean, constant(VALUE), constant(R,G,B)"
)


class Masker(ABC):
    """Hides pixels of an image. One masker serves images of any size.

    Your own needs one method, which gets one image and a mask per coalition (True: visible), and returns an image per
    coalition:

        class Checkerboard(Masker):
            def hide(self, image, visible):
                rows, columns = torch.arange(image.shape[1]), torch.arange(image.shape[2])
                board = (rows[:, None] // 8 + columns // 8) % 2 * image.max()
                return torch.where(visible, image, board.to(image))

    Attributes
        variants: how many hidden versions of each coalition `hide` returns, one after another: coalition 0's, then
            coalition 1's. The model's outputs for them are averaged.
        weights: of the variants, summing to 1; None for equal ones.
        name: such as "blur(128,128)", kept in an explanation's settings.
    """

    variants: int = 1
    weights: Float[Tensor, "variants"] | None = None

    @property
    def name(self) -> str:
        """What this masker is called in settings."""
        return type(self).__name__

    @abstractmethod
    def hide(self, image: Image, visible: Visible) -> Shaped[Tensor, "versions channels height width"]:
        """The image of each coalition: `(coalitions * variants, channels, height, width)`."""

    def for_image(self, image: Image) -> Hide:
        """`hide` for one image; override it to compute what depends on the image alone only once."""
        return functools.partial(self.hide, image)


class StandIn(Masker):
    """A masker that lays the visible pixels over stand-ins, which do not depend on what is visible."""

    @abstractmethod
    def stand_ins(self, image: Image) -> Shaped[Tensor, "variants channels height width"]:
        """What stands for the image where all of it is hidden."""

    def hide(self, image: Image, visible: Visible) -> Shaped[Tensor, "versions channels height width"]:
        """The visible pixels over each of the stand-ins."""
        return self.for_image(image)(visible)

    def for_image(self, image: Image) -> Hide:
        """The same, with the stand-ins computed once."""
        stand_ins = self.stand_ins(image)

        def hide(visible: Visible) -> Tensor:
            return chosen(visible.unsqueeze(1), image, stand_ins).flatten(0, 1)

        return hide


class Constant(StandIn):
    """Hidden pixels get one number, or one colour, in the unit of the image."""

    def __init__(self, colour: float | Sequence[float]) -> None:
        self.colour = tuple(map(float, colour)) if isinstance(colour, Sequence) else (float(colour),)
        if not all(map(math.isfinite, self.colour)):
            raise ExplainerError(f"{self.name}: a colour is made of finite numbers")

    @property
    def name(self) -> str:
        """Such as "constant(0,0,0)"."""
        return f"constant({','.join(f'{value:g}' for value in self.colour)})"

    def stand_ins(self, image: Image) -> Shaped[Tensor, "1 channels height width"]:
        """The colour everywhere."""
        if len(self.colour) not in (1, len(image)):
            raise ExplainerError(
                f"the masker {self.name} has {len(self.colour)} numbers, and the image {len(image)} channels"
            )
        if not image.is_floating_point():
            limits = torch.iinfo(image.dtype)
            if min(self.colour) < limits.min or max(self.colour) > limits.max:
                raise ExplainerError(f"the masker {self.name} goes beyond the {image.dtype} of the image")
            if any(value != int(value) for value in self.colour):
                raise ExplainerError(
                    f"the masker {self.name} has a fraction, and the image is {image.dtype}, whose numbers go up to "
                    f"{limits.max}: give the colour in that unit"
                )
        colour = torch.tensor(self.colour, dtype=torch.float64).to(image)
        return colour.reshape(1, -1, 1, 1).expand(1, *image.shape)


class Mean(StandIn):
    """Hidden pixels get the mean colour of the image."""

    name = "mean"

    def stand_ins(self, image: Image) -> Shaped[Tensor, "1 channels height width"]:
        """The mean everywhere."""
        return mean_colour(image).expand_as(image).unsqueeze(0)


class Blur(StandIn):
    """Hidden pixels get the mean of a box of `width` × `height` pixels around them, mirrored at the image's edge.

    The same pixels as OpenCV's `blur` and shap's masker. A box of even size reaches one pixel farther to the left and
    upwards, as theirs does. The box must not be larger than the image.
    """

    def __init__(self, width: int, height: int) -> None:
        if min(width, height) < 1 or max(width, height) < 2:
            raise ExplainerError(
                f"blur({width},{height}) hides nothing: the box must be at least 1 pixel wide and high, and not 1 × 1"
            )
        self.width, self.height = width, height

    @property
    def name(self) -> str:
        """Such as "blur(128,128)"."""
        return f"blur({self.width},{self.height})"

    def stand_ins(self, image: Image) -> Shaped[Tensor, "1 channels height width"]:
        """The blurred image."""
        rows, columns = image.shape[1:]
        if self.width > columns or self.height > rows:
            smaller = f"use a smaller box, such as blur({max(columns // 2, 1)},{max(rows // 2, 1)})"
            raise ExplainerError(
                f"{self.name} is larger than the image, which is {columns} pixels wide and {rows} high; "
                + (smaller if max(rows, columns) > 3 else 'use "mean"')
            )
        array = image.detach().cpu().permute(1, 2, 0).contiguous().numpy()
        readable = (
            array if array.dtype in (np.uint8, np.int16, np.float32, np.float64) else array.astype(np.float64)
        )
        blurred = cv2.blur(readable, (self.width, self.height)).reshape(array.shape)
        if array.dtype.kind in "iu" and blurred.dtype.kind == "f":
            blurred = blurred.round()
        return torch.from_numpy(blurred).permute(2, 0, 1).to(image).unsqueeze(0)


class References(StandIn):
    """Hidden pixels come from reference images, one after another; the model's outputs are averaged over them.

    Chosen references are averaged with their weights.
    """

    def __init__(
        self, references: Shaped[Tensor, "references channels height width"] | ChosenReferences
    ) -> None:
        if isinstance(references, ChosenReferences):
            self.weights, references = references.unequal_weights, references.references
        if references.dim() != 4 or len(references) == 0:
            raise ExplainerError(
                f"references must be (references, channels, height, width), not {tuple(references.shape)}"
            )
        if not references.isfinite().all():
            raise ExplainerError("the masker's references hold NaN or infinite values")
        self.references = references.detach()
        self.variants = len(references)

    @property
    def name(self) -> str:
        """Such as "references(16)"."""
        return f"references({self.variants})"

    def stand_ins(self, image: Image) -> Shaped[Tensor, "variants channels height width"]:
        """The references, in the image's dtype."""
        if self.references.shape[1:] != image.shape:
            raise ExplainerError(
                f"the masker's references are {tuple(self.references.shape[1:])} (channels, height, width), and the "
                f"image is {tuple(image.shape)}"
            )
        return self.references.to(image)


class Inpaint(Masker):
    """Hidden pixels are filled from their surroundings by OpenCV: method "telea" or "ns", radius 3.

    The same pixels as shap's masker for 8-bit images, and for images of whole numbers from 0 to 255: a pixel that is
    hidden in any channel is filled in all of them, and where nothing is visible all pixels get the mean colour.
    OpenCV works in 8 bits: other images are converted by way of their own range, and visible pixels stay exact.
    Near the image's edge OpenCV lets a trace of the hidden pixels through (up to 8 of 255 on a photograph).
    """

    METHODS: ClassVar = {"telea": cv2.INPAINT_TELEA, "ns": cv2.INPAINT_NS}

    def __init__(self, method: str) -> None:
        if method not in self.METHODS:
            raise ExplainerError(f"method={method!r} is not one of {', '.join(map(repr, self.METHODS))}")
        self.method = method

    @property
    def name(self) -> str:
        """Such as "inpaint_telea"."""
        return f"inpaint_{self.method}"

    def hide(self, image: Image, visible: Visible) -> Shaped[Tensor, "coalitions channels height width"]:
        """The visible pixels, and the hidden ones filled from them."""
        return self.for_image(image)(visible)

    def for_image(self, image: Image) -> Hide:
        """The same, with the image converted once."""
        eight_bits, mean, method = EightBits.of(image), mean_colour(image), self.METHODS[self.method]

        def hide(visible: Visible) -> Tensor:
            is_shown = visible.all(1)
            is_blank = ~is_shown.flatten(1).any(1)
            is_partly = ~is_blank & ~is_shown.flatten(1).all(1)
            filled = image.expand(len(visible), -1, -1, -1).clone()
            filled[is_blank] = mean.expand_as(image)
            if is_partly.any():
                shown = is_shown[is_partly]
                pixels = eight_bits.back(fill_with_opencv(eight_bits, ~shown, method), image)
                filled[is_partly] = torch.where(shown.unsqueeze(1), image, pixels)
            return filled

        return hide


class Diffuse(Masker):
    """Hidden pixels are filled from ever coarser means of the visible ones: smooth, quick, and on any device.

    Channel by channel, where a mask has channels. Where nothing is visible all pixels get the mean colour.
    """

    name = "inpaint_diffuse"

    def hide(self, image: Image, visible: Visible) -> Shaped[Tensor, "coalitions channels height width"]:
        """The visible pixels, and the hidden ones filled from them."""
        is_wide = image.dtype in (torch.float32, torch.float64)
        wide = image if is_wide else image.float()
        filled = fill_by_pyramid(wide, visible, mean_colour(image).to(wide))
        if image.is_floating_point():
            return filled.to(image.dtype)
        return filled.round().to(image.dtype)


def mean_colour(image: Image) -> Shaped[Tensor, "channels 1 1"]:
    """The mean of each channel, in the image's dtype."""
    return moved(wide(image).mean((1, 2), keepdim=True), image)


def as_masker(masker: Any) -> Masker:
    """A masker from what a user writes.

        as_masker("blur(128,128)");  as_masker("mean");  as_masker("constant(0)")
        as_masker(0.5);  as_masker((124, 116, 104))                # a number or a colour, in the image's unit
        as_masker(references)                          # (K, C, H, W), arrays (K, H, W, C): averaged over the references
        as_masker(choose_references(model, pool, 25))  # the same, of chosen ones

    Raises `ExplainerError`, with the grammar, for a string that does not parse.
    """
    if isinstance(masker, Masker):
        return masker
    if isinstance(masker, str):
        return _parse(masker)
    if isinstance(masker, ChosenReferences):
        return References(masker)
    if isinstance(masker, Real):
        return Constant(float(masker))
    if isinstance(masker, np.ndarray):
        channels_first = np.moveaxis(masker, -1, -3) if masker.ndim in (3, 4) else masker
        masker = torch.from_numpy(np.ascontiguousarray(channels_first))
    if isinstance(masker, Tensor):
        if masker.dim() in (3, 4):
            return References(masker if masker.dim() == 4 else masker.unsqueeze(0))
        masker = masker.tolist()
    if isinstance(masker, Sequence) and masker and all(isinstance(value, Real) for value in masker):
        return Constant(masker)
    raise ExplainerError(
        f"a masker is a Masker, a string ({GRAMMAR}), a number, a colour or references (a tensor "
        f"(K, C, H, W) or an array (K, H, W, C)); not {masker!r:.80}"
    )


def _parse(text: str) -> Masker:
    match = re.fullmatch(r"([a-z_]+)(?:\(([^()]*)\))?", text.replace(" ", ""))
    name, arguments = match.groups() if match else ("", None)
    try:
        numbers = [float(part) for part in arguments.split(",")] if arguments is not None else []
    except ValueError:
        numbers, name = [], ""
    if name == "blur" and len(numbers) == 2 and all(number.is_integer() for number in numbers):
        return Blur(int(numbers[0]), int(numbers[1]))
    if name == "constant" and numbers:
        return Constant(numbers)
    plain: dict[str, Callable[[], Masker]] = {
        "mean": Mean,
        "inpaint_telea": functools.partial(Inpaint, "telea"),
        "inpaint_ns": functools.partial(Inpaint, "ns"),
        "inpaint_diffuse": Diffuse,
    }
    if name in plain and arguments is None:
        return plain[name]()
    raise ExplainerError(f"{text!r} is not a masker; write one of {GRAMMAR}")
