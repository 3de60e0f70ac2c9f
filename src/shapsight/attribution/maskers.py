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
from weakref import WeakKeyDictionary

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from shapsight.attribution.inpainting import EightBits, chosen, fill_by_pyramid, fill_with_opencv
from shapsight.attribution.shared.placement import moved, wide
from shapsight.attribution.shared.predictor import Predictor
from shapsight.attribution.tokens import How, Removal
from shapsight.errors import ExplainerError
from shapsight.models.references import ChosenReferences

__all__ = [
    "Blur",
    "Constant",
    "Diffuse",
    "Inpaint",
    "Masker",
    "Mean",
    "References",
    "Tokens",
    "as_masker",
    "mean_colour",
]

# The sides are (height, width), of volumes and clips (depth, height, width).
Visible = Bool[Tensor, "coalitions channels_or_1 *sides"]
Image = Shaped[Tensor, "channels *sides"]
Hide = Callable[[Visible], Shaped[Tensor, "versions channels *sides"]]

GRAMMAR = (
    "blur(WIDTH,HEIGHT), inpaint_telea, inpaint_ns, inpaint_diffuse, mean, constant(VALUE), constant(R,G,B), tokens, "
    "tokens(zero); of volumes blur(WIDTH,HEIGHT,DEPTH) as well"
)


class Masker(ABC):
    """Hides pixels of an image, of any number of channels, or of a volume. One masker serves images of any size.

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
    def hide(self, image: Image, visible: Visible) -> Shaped[Tensor, "versions channels *sides"]:
        """The image of each coalition: `(coalitions * variants, channels, *sides)`."""

    def for_image(self, image: Image) -> Hide:
        """`hide` for one image; override it to compute what depends on the image alone only once."""
        return functools.partial(self.hide, image)

    def removal(self, predictor: Predictor, image: Image) -> Removal | None:
        """How patches are taken away inside the model; None for what paints over pixels, as nearly all do."""
        return None


class StandIn(Masker):
    """A masker that lays the visible pixels over stand-ins, which do not depend on what is visible."""

    @abstractmethod
    def stand_ins(self, image: Image) -> Shaped[Tensor, "variants channels *sides"]:
        """What stands for the image where all of it is hidden."""

    def hide(self, image: Image, visible: Visible) -> Shaped[Tensor, "versions channels *sides"]:
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

    def stand_ins(self, image: Image) -> Shaped[Tensor, "1 channels *sides"]:
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
        return colour.reshape(1, -1, *[1] * (image.dim() - 1)).expand(1, *image.shape)


class Mean(StandIn):
    """Hidden pixels get the mean colour of the image."""

    name = "mean"

    def stand_ins(self, image: Image) -> Shaped[Tensor, "1 channels *sides"]:
        """The mean everywhere."""
        return mean_colour(image).expand_as(image).unsqueeze(0)


class Blur(StandIn):
    """Hidden pixels get the mean of a box of `width` × `height` pixels around them, mirrored at the image's edge.

    The same pixels as OpenCV's `blur` and shap's masker. A box of even size reaches one pixel farther to the left and
    upwards, as theirs does. The box must not be larger than the image. Of a volume the box reaches over `depth` slices,
    by default over one.
    """

    def __init__(self, width: int, height: int, depth: int = 1) -> None:
        self.width, self.height, self.depth = width, height, depth
        if min(width, height, depth) < 1 or max(width, height, depth) < 2:
            raise ExplainerError(
                f"{self.name} hides nothing: the box must be at least 1 pixel wide and high, and not 1 × 1"
            )

    @property
    def name(self) -> str:
        """Such as "blur(128,128)"."""
        depth = f",{self.depth}" if self.depth > 1 else ""
        return f"blur({self.width},{self.height}{depth})"

    def stand_ins(self, image: Image) -> Shaped[Tensor, "1 channels *sides"]:
        """The blurred image."""
        *depth, rows, columns = image.shape[1:]
        slices = depth[0] if depth else 1
        if self.width > columns or self.height > rows or self.depth > slices:
            smaller = f"use a smaller box, such as blur({max(columns // 2, 1)},{max(rows // 2, 1)})"
            deep = f" and has {slices} slices" if depth else ""
            raise ExplainerError(
                f"{self.name} is larger than the image, which is {columns} pixels wide and {rows} high{deep}; "
                + (smaller if max(rows, columns) > 3 else 'use "mean"')
            )
        array = image.detach().cpu().movedim(0, -1).contiguous().numpy()
        if depth:
            wide = array if array.dtype == np.float64 else array.astype(np.float32)
            within = np.stack([_blurred(plane, self.width, self.height) for plane in wide])
            blurred = _blurred(within.reshape(slices, -1), 1, self.depth).reshape(array.shape)
        else:
            blurred = _blurred(array, self.width, self.height)
        if array.dtype.kind in "iu" and blurred.dtype.kind == "f":
            blurred = blurred.round()
        return torch.from_numpy(blurred).movedim(-1, 0).to(image).unsqueeze(0)


def _blurred(array: np.ndarray, width: int, height: int) -> np.ndarray:
    """The mean of a box around each pixel of `(rows, columns)` or `(rows, columns, channels)`."""
    known = (np.uint8, np.int16, np.float32, np.float64)
    readable = array if array.dtype in known else array.astype(np.float64)
    return np.asarray(cv2.blur(readable, (width, height))).reshape(array.shape)


class References(StandIn):
    """Hidden pixels come from reference images, one after another; the model's outputs are averaged over them.

    Chosen references are averaged with their weights.
    """

    def __init__(self, references: Shaped[Tensor, "references channels *sides"] | ChosenReferences) -> None:
        if isinstance(references, ChosenReferences):
            self.weights, references = references.unequal_weights, references.references
        if references.dim() not in (4, 5) or len(references) == 0:
            raise ExplainerError(
                "references must be (references, channels, height, width), of volumes (references, channels, depth, "
                f"height, width), not {tuple(references.shape)}"
            )
        if not references.isfinite().all():
            raise ExplainerError("the masker's references hold NaN or infinite values")
        self.references = references.detach()
        self.variants = len(references)

    @property
    def name(self) -> str:
        """Such as "references(16)"."""
        return f"references({self.variants})"

    def stand_ins(self, image: Image) -> Shaped[Tensor, "variants channels *sides"]:
        """The references, in the image's dtype."""
        if self.references.shape[1:] != image.shape:
            raise ExplainerError(
                f"the masker's references are {tuple(self.references.shape[1:])} (channels first), and the "
                f"image is {tuple(image.shape)}"
            )
        return self.references.to(image)


class Inpaint(Masker):
    """Hidden pixels are filled from their surroundings by OpenCV: method "telea" or "ns", radius 3.

    The same pixels as shap's masker for 8-bit images, and for images of whole numbers from 0 to 255: a pixel that is
    hidden in any channel is filled in all of them, and where nothing is visible all pixels get the mean colour.
    OpenCV works in 8 bits: other images are converted by way of their own range, and visible pixels stay exact.
    Near the image's edge OpenCV lets a trace of the hidden pixels through (up to 8 of 255 on a photograph).
    A volume is filled slice by slice: a slice that is wholly hidden gets the volume's mean colour, whatever its
    neighbours show. "inpaint_diffuse" fills it from these.
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

    def hide(self, image: Image, visible: Visible) -> Shaped[Tensor, "coalitions channels *sides"]:
        """The visible pixels, and the hidden ones filled from them."""
        return self.for_image(image)(visible)

    def for_image(self, image: Image) -> Hide:
        """The same, with the image converted once."""
        if image.dim() == 3:
            return self._for_plane(image, mean_colour(image))
        slices = [self._for_plane(plane, mean_colour(image)[:, 0]) for plane in image.unbind(1)]
        return lambda visible: torch.stack([hide(visible[:, :, n]) for n, hide in enumerate(slices)], 2)

    def _for_plane(self, image: Image, mean: Tensor) -> Hide:
        eight_bits, method = EightBits.of(image), self.METHODS[self.method]

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

    def hide(self, image: Image, visible: Visible) -> Shaped[Tensor, "coalitions channels *sides"]:
        """The visible pixels, and the hidden ones filled from them."""
        is_wide = image.dtype in (torch.float32, torch.float64)
        wide = image if is_wide else image.float()
        filled = fill_by_pyramid(wide, visible, mean_colour(image).to(wide))
        if image.is_floating_point():
            return filled.to(image.dtype)
        return filled.round().to(image.dtype)


class Tokens(Masker):
    """Hidden patches of a vision transformer are taken away inside it, instead of being painted over.

        RegionShap(vit, maskers.Tokens(), "patches", "kernel", max_evals=2000)(images)
        PartitionShap(vit, "tokens")(images)                    # Owen values over a tree of patches
        RegionShap(swin, "tokens(zero)", "grid(4,4)")(images)

    The patch embedding and the blocks are found by running the model on the image; `settings["tokens"]` says which.
    "drop" leaves out the tokens of hidden patches before the first block; positions, the class token and registers
    stay. That is attention without those keys, in less time. A mean that a head takes over no patches is 0.
    "zero" sets the embeddings of hidden patches to 0 and keeps their tokens with their positions: for transformers
    whose blocks need the whole grid, such as Swin; and the definition of shapiq's games of vision transformers.
    A patch is visible if half of its pixels are; regions are moved to the patches' borders.

    Raises `ExplainerError` for a model that has no such tokens, with what was looked for.
    Sources: Covert et al. 2023 (tokens left out); shapiq's `ViTModel` (embeddings of 0).
    """

    def __init__(self, how: How = "drop") -> None:
        if how not in ("drop", "zero"):
            raise ExplainerError(f"how={how!r} is neither 'drop' nor 'zero'")
        self.how: How = how
        self._found: WeakKeyDictionary[Predictor, dict[torch.Size, Removal]] = WeakKeyDictionary()

    @property
    def name(self) -> str:
        """Either "tokens" or, of embeddings set to 0, "tokens(zero)"."""
        return "tokens" if self.how == "drop" else "tokens(zero)"

    def hide(self, image: Image, visible: Visible) -> Shaped[Tensor, "coalitions channels height width"]:
        """The image itself: its pixels are not painted over."""
        return image.expand(len(visible), *image.shape)

    def removal(self, predictor: Predictor, image: Image) -> Removal:
        """Found once for a model and a size of images."""
        found = self._found.setdefault(predictor, {})
        if image.shape not in found:
            found[image.shape] = Removal.of(predictor, image, self.how)
        return found[image.shape]


def mean_colour(image: Image) -> Shaped[Tensor, "channels *ones"]:
    """The mean of each channel, in the image's dtype."""
    return moved(wide(image).mean(tuple(range(1, image.dim())), keepdim=True), image)


def as_masker(masker: Any) -> Masker:
    """A masker from what a user writes.

        as_masker("blur(128,128)");  as_masker("mean");  as_masker("constant(0)")
        as_masker(0.5);  as_masker((124, 116, 104))                # a number or a colour, in the image's unit
        as_masker(references)         # (K, C, H, W), arrays (K, H, W, C), of volumes with a depth: averaged over them
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
        first = {3: 0, 4: 1, 5: 1}.get(masker.ndim)
        channels_first = masker if first is None else np.moveaxis(masker, -1, first)
        masker = torch.from_numpy(np.ascontiguousarray(channels_first))
    if isinstance(masker, Tensor):
        if masker.dim() in (3, 4, 5):
            return References(masker.unsqueeze(0) if masker.dim() == 3 else masker)
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
    if name == "tokens" and arguments in (None, "zero"):
        return Tokens("zero" if arguments else "drop")
    try:
        numbers = [float(part) for part in arguments.split(",")] if arguments is not None else []
    except ValueError:
        numbers, name = [], ""
    if name == "blur" and len(numbers) in (2, 3) and all(number.is_integer() for number in numbers):
        return Blur(*map(int, numbers))
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
