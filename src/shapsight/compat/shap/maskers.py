"""`shap.maskers`: what stands where pixels of an image are hidden."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Shaped
from numpy.typing import NDArray
from torch import Tensor

from shapsight.attribution.maskers import Masker, StandIn, as_masker
from shapsight.compat.shap.not_offered import not_offered
from shapsight.compat.shap.saved import read, write
from shapsight.errors import ExplainerError

Array = NDArray[Any]


class BlurOfAnySize(StandIn):
    """As shap blurs: the box may be larger than the image, which is then mirrored more than once."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height

    @property
    def name(self) -> str:
        """Such as "blur(128,128)"."""
        return f"blur({self.width},{self.height})"

    def stand_ins(
        self, image: Shaped[Tensor, "channels height width"]
    ) -> Shaped[Tensor, "1 channels height width"]:
        """The blurred image."""
        pixels = image.detach().cpu().permute(1, 2, 0).double().numpy()
        blurred = torch.from_numpy(cv2.blur(pixels, (self.width, self.height)).reshape(pixels.shape))
        whole = blurred if image.is_floating_point() else blurred.round()
        return whole.permute(2, 0, 1).to(image).unsqueeze(0)


class MissingShape(ExplainerError, TypeError):
    """The shape of the images is not given; a `TypeError` as well, as it is in shap."""


class Image:
    """Hides pixels of images of one shape, `(height, width, channels)`.

        masker = shap.maskers.Image("inpaint_telea", X[0].shape)
        masker = shap.maskers.Image("blur(128,128)", X[0].shape)
        masker = shap.maskers.Image(X.mean(0))                 # an image in its place; or a number, with a shape
        (hidden,) = masker(mask, X[0])                         # (1, height, width, channels)

    Arguments
        mask_value: "blur(WIDTH,HEIGHT)", "inpaint_telea", "inpaint_ns", one of our own such as "inpaint_diffuse" or
            "mean", a number, or an array of the images' shape.
        shape: of the images; needed unless `mask_value` is an array.

    Raises `ExplainerError` for a masker that is none, or without a shape.
    """

    def __init__(self, mask_value: Any, shape: Sequence[int] | None = None) -> None:
        if shape is None and (np.ndim(mask_value) != 3 or isinstance(mask_value, str)):
            raise MissingShape(
                f"maskers.Image({mask_value!r:.60}) needs the shape of the images as well, such as X[0].shape"
            )
        self.input_shape = tuple(int(side) for side in (np.shape(mask_value) if shape is None else shape))
        if len(self.input_shape) != 3:
            raise ExplainerError(
                f"maskers.Image needs the shape (height, width, channels) of one image, not {self.input_shape}"
            )
        self.shape = (1, int(np.prod(self.input_shape)))
        self.masker = _masker(mask_value, self.input_shape)
        self.mask_value = mask_value if isinstance(mask_value, str) else _flat(mask_value, self.input_shape)

    def __call__(self, mask: Any, x: Any) -> tuple[Array]:
        """The image with its hidden pixels replaced, as `(1, *x.shape)` in a tuple.

        `mask` is True where pixels are visible, flat, `(height, width)` or of the image's shape; None hides all.
        """
        pixels = np.asarray(x.detach().cpu() if isinstance(x, Tensor) else x)
        image = torch.from_numpy(np.ascontiguousarray(self.checked(pixels).transpose(2, 0, 1)))
        hidden = self.masker.hide(image, self._visible(mask))[:1]
        return (hidden.permute(0, 2, 3, 1).numpy().astype(pixels.dtype).reshape(1, *pixels.shape),)

    def save(self, out_file: Any) -> None:
        """Write the masker to an open binary file, without pickle."""
        write(out_file, type(self).__name__, self.parts())

    @classmethod
    def load(cls, in_file: Any, **_of_shap: Any) -> Image:
        """Read what `save` wrote. Raises `ExplainerError` for other files."""
        return cls.of_parts(read(in_file, cls.__name__))

    def parts(self) -> dict[str, Array]:
        """What it was made of, as arrays."""
        return {"mask_value": np.asarray(self.mask_value), "shape": np.array(self.input_shape)}

    @classmethod
    def of_parts(cls, parts: Mapping[str, Array]) -> Image:
        """The masker that was made of these."""
        value = parts["mask_value"]
        return cls(value.item() if value.ndim == 0 else value, tuple(parts["shape"].tolist()))

    def checked(self, pixels: Array) -> Array:
        """One image as `(height, width, channels)`. Raises `ExplainerError`, with both shapes, if it does not fit."""
        if pixels.size != self.shape[1]:
            raise ExplainerError(
                f"the image has shape {pixels.shape}, and the masker was made for {self.input_shape}"
            )
        return pixels.reshape(self.input_shape)

    def _visible(self, mask: Any) -> Tensor:
        height, width, channels = self.input_shape
        if mask is None:
            return torch.zeros(1, channels, height, width, dtype=torch.bool)
        flags = np.asarray(mask.cpu() if isinstance(mask, Tensor) else mask).astype(bool)
        if flags.size == height * width:
            flags = np.repeat(flags.reshape(height, width, 1), channels, axis=2)
        if flags.size != self.shape[1]:
            raise ExplainerError(f"the mask has shape {flags.shape}, and the images {self.input_shape}")
        return torch.from_numpy(flags.reshape(self.input_shape).transpose(2, 0, 1).copy()).unsqueeze(0)


def _flat(mask_value: Any, shape: tuple[int, ...]) -> Array:
    """A number, a colour or an image as one number for each of the image's."""
    array = np.asarray(mask_value.detach().cpu() if isinstance(mask_value, Tensor) else mask_value)
    return array.reshape(-1) if array.size == np.prod(shape) else np.broadcast_to(array, shape).reshape(-1)


def _masker(mask_value: Any, shape: tuple[int, ...]) -> Masker:
    blur = (
        re.fullmatch(r"blur\((\d+),(\d+)\)", mask_value.replace(" ", ""))
        if isinstance(mask_value, str)
        else None
    )
    if blur:
        width, height = map(int, blur.groups())
        is_wider = width > shape[1] or height > shape[0]
        return BlurOfAnySize(width, height) if is_wider else as_masker(f"blur({width},{height})")
    if isinstance(mask_value, np.ndarray | Tensor) and mask_value.ndim:
        pixels = np.asarray(mask_value)
        if pixels.size != np.prod(shape):
            raise ExplainerError(f"mask_value has shape {pixels.shape}, and the images {shape}")
        return as_masker(pixels.reshape(shape))
    return as_masker(mask_value.item() if isinstance(mask_value, np.generic) else mask_value)


def __getattr__(name: str) -> Any:
    raise not_offered(__name__, "shap.maskers", name)
