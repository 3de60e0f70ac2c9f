"""One way to ask any model: a PyTorch module gets tensors, any other function gets numpy arrays, channels last."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from shapsight.attribution.shared.memory import is_out_of_memory
from shapsight.attribution.shared.modules import left_as_found
from shapsight.attribution.shared.suitability import refuse_other_integers, refuse_uninitialised
from shapsight.errors import ExplainerError
from shapsight.models.columns import pick
from shapsight.models.functions import answers, is_keras, read_array

LARGEST = 65535  # what 16 bits hold
DARK = 0.01
DTYPES = (
    *(torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.uint16),
    *(torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
)


class UnusualImageWarning(UserWarning):
    """An image's range is none that images usually have."""


class Predictor:
    """What a model says of images, whatever kind of model it is.

        predictor = Predictor(torchvision.models.resnet50())               # any nn.Module: tensors (N, C, H, W)
        predictor = Predictor(keras.applications.ResNet50(weights=None))   # a Keras model: (N, H, W, C)
        predictor = Predictor(lambda images: pipeline.predict_proba(images.reshape(len(images), -1)))
        predictor(images)                                                  # (N, outputs)

    A module is run in eval mode, without gradients, in its own precision and on its own device, and left as it was
    found. A plain function gets a numpy array `(N, H, W, C)` in the dtype and range of the images, and returns one
    row per image: a torch, TensorFlow or JAX tensor, a numpy array or a list, `(N, outputs)` or `(N,)`.

    Arguments
        predict: the model.
        precision: "bfloat16" runs a module under autocast, where the processor has it; by default it runs as it is.
        output: which part of a dict or tuple that the model returns is meant: a key or a position.

    Raises `ExplainerError` for something that cannot be called, and for a precision that is not to be had.
    """

    def __init__(
        self,
        predict: nn.Module | Callable[..., Any],
        *,
        precision: str | None = None,
        output: str | int | None = None,
    ) -> None:
        if not callable(predict):
            raise ExplainerError(
                f"predict must be a torch.nn.Module or a function of a batch of images, not {type(predict).__name__}"
            )
        self.predict = predict
        self.is_module = isinstance(predict, nn.Module) and not is_keras(predict)
        self.precision = precision
        self.output = output
        if precision is not None:
            self._check_precision(precision)
        self._layout = torch.channels_last
        self._calls = 0
        self._columns = 0
        self._is_held = False

    def _check_precision(self, precision: str) -> None:
        if precision != "bfloat16":
            raise ExplainerError(f"precision={precision!r} is neither None nor 'bfloat16'")
        if not self.is_module:
            raise ExplainerError(
                f"precision={precision!r} is for torch modules; a function decides on its own"
            )
        device = self.device or torch.device("cpu")
        if not has_bfloat16(device):
            raise ExplainerError(
                f"precision={precision!r}: {device.type} here computes in bfloat16 only by emulation"
            )

    @property
    def device(self) -> torch.device | None:
        """Where a module's weights are; None for functions, which get arrays in main memory."""
        return next((tensor.device for tensor in self._weights()), None)

    @property
    def name(self) -> str:
        """What the model is called in settings: its class, or the function's name."""
        return getattr(self.predict, "__name__", type(self.predict).__name__)

    def __call__(
        self, images: Shaped[Tensor, "images channels height width"], of: str = ""
    ) -> Float[Tensor, "images outputs"]:
        """The model's outputs for a batch of images, in float32 (float64 is kept), on the images' device.

        `of` says in an error which images these are, such as "coalitions 50 to 99".
        Raises `ExplainerError` if the model fails, changes a function's array, or returns NaN or other than one row
        an image.
        """
        self._calls += 1
        of = of or f"batch {self._calls}"
        try:
            rows = self._run_module(images) if self.is_module else self._run_function(images, of)
        except ExplainerError:
            raise
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise ExplainerError(
                f"the model fails on {of} ({tuple(images.shape)}, {images.dtype}): {type(error).__name__}: {error}"
            ) from error
        if rows.shape[1] != (self._columns or rows.shape[1]) or not rows.shape[1]:
            raise ExplainerError(
                f"the model returns {rows.shape[1]} outputs for {of}; {self._columns or 'at least one'} are expected"
            )
        self._columns = rows.shape[1]
        _refuse_non_finite(rows, of)
        wide = rows if rows.dtype == torch.float64 else rows.float()
        return wide.to(images.device)

    def _weights(self) -> Iterator[Tensor]:
        if self.is_module and isinstance(self.predict, nn.Module):
            yield from (t for t in self.predict.parameters() if t.is_floating_point())
            yield from (t for t in self.predict.buffers() if t.is_floating_point())

    def _run_module(self, images: Tensor) -> Tensor:
        assert isinstance(self.predict, nn.Module)
        weight = next(self._weights(), images if images.is_floating_point() else torch.zeros(1))
        given = images.to(weight.device, weight.dtype)
        with self.held(), self._modes(weight.device):
            if self._columns == 0:  # the first answer
                refuse_other_integers(lambda parts: self._columns_of(parts[0]), (images,), (given,))
            if given.dim() != 4:  # channels last is for images
                self._layout = torch.contiguous_format
            try:
                return self._columns_of(given.clone(memory_format=self._layout))
            except RuntimeError as error:  # a .view() that only contiguous memory allows
                if self._layout == torch.contiguous_format or "view" not in str(error):
                    raise
            self._layout = torch.contiguous_format
            return self._columns_of(given.clone(memory_format=self._layout))

    def _columns_of(self, given: Tensor) -> Tensor:
        return pick(self.predict(given), self.output, len(given))

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep a module in eval mode from one batch to the next, and put it back in the end.

        Each batch does so by itself; for a network of many small modules, once for all of them is quicker.
        """
        if self._is_held or not self.is_module:
            yield
            return
        assert isinstance(self.predict, nn.Module)
        refuse_uninitialised(self.predict)
        with left_as_found(self.predict):
            self._is_held = True
            try:
                yield
            finally:
                self._is_held = False

    @contextmanager
    def _modes(self, device: torch.device) -> Iterator[None]:
        is_half = self.precision == "bfloat16"
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=is_half):
            yield

    def _run_function(self, images: Tensor, of: str) -> Tensor:
        given = images.detach().cpu().movedim(1, -1)
        array = given.numpy().copy(order="C")
        rows = answers(self.predict, array, self.output)
        if not np.array_equal(array, given.numpy(), equal_nan=given.is_floating_point()):
            raise ExplainerError(
                f"the function changes the images that it is given (seen on {of}); let it begin with a copy, such as "
                "images = images.copy()"
            )
        return rows


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device computes in bfloat16 itself. Devices that do not say are trusted to raise if they cannot."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return True
    if not hasattr(torch.cpu, "get_capabilities"):
        return bool(torch.cpu._is_avx512_bf16_supported())
    able = torch.cpu.get_capabilities()
    return any(able.get(name, False) for name in ("avx512_bf16", "amx_bf16", "avx10_2", "bf16", "sve_bf16"))


def _refuse_non_finite(rows: Tensor, of: str) -> None:
    bad = (~rows.isfinite()).any(1).nonzero().flatten().tolist()
    if bad:
        which = f" ({len(bad)} of {len(rows)}, the first: {bad[0]})" if len(rows) > 1 else ""
        raise ExplainerError(
            f"the model returns NaN or infinite numbers for {of}{which}: nothing can be attributed"
        )


def as_images(images: Any, predictor: Predictor) -> Shaped[Tensor, "images channels *sides"]:
    """A user's images as `(images, channels, *sides)`, in their own dtype and range.

        as_images(torch.rand(2, 3, 224, 224), predictor)         # a tensor is (N, C, H, W) or (C, H, W)
        as_images(np.asarray(photograph), predictor)             # whatever numpy reads is (N, H, W, C) or (H, W, C)
        as_images(torch.rand(2, 1, 16, 112, 112), predictor)   # volumes, clips: (N, C, D, H, W), arrays (N, D, H, W, C)

    The dtype stays, 8-bit integers too, so that a plain function gets what it is used to (bfloat16 and uint16, which
    numpy or torch hardly know, become float32); a module gets its own precision when it is run. Raises `ExplainerError`
    for other shapes and dtypes, for NaN, and for numbers beyond ±65535. Warns with `UnusualImageWarning` about an image
    that is all but black.
    """
    if isinstance(images, Tensor):
        tensor = images.detach().as_subclass(Tensor)
        tensor = tensor.unsqueeze(0) if tensor.dim() == 3 else tensor
    else:
        tensor = _from_array(images)
    if tensor.dim() not in (4, 5) or tensor.numel() == 0:
        raise ExplainerError(
            "images must be a tensor (images, channels, height, width) or an array (images, height, width, channels), "
            "volumes a tensor (images, channels, depth, height, width) or an array with channels last; "
            f"got shape {tuple(getattr(images, 'shape', tensor.shape))}"
        )
    if tensor.dtype not in DTYPES:
        raise ExplainerError(
            f"images are {tensor.dtype}; give them as 8-bit integers or as floats, such as float32"
        )
    if tensor.dtype in (torch.bfloat16, torch.uint16):  # which numpy and OpenCV, or torch itself, hardly know
        tensor = tensor.float()
    for number, image in enumerate(tensor):
        _check_range(image, number)
    return tensor


def _from_array(images: Any) -> Tensor:
    array = read_array(images, "images cannot be read as one array (images, height, width, channels)")
    if array.dtype.kind not in "fiub" or array.ndim not in (3, 4, 5):
        raise ExplainerError(
            "images must be numbers, (images, height, width, channels) or (height, width, channels), also where there "
            f"is one channel; got {array.dtype} of shape {array.shape}"
        )
    array = array[None] if array.ndim == 3 else array
    channels = (1, 3, 4)
    if (
        array.ndim == 4
        and array.shape[1] in channels
        and array.shape[3] not in channels
        and array.shape[1] < min(array.shape[2:])
    ):
        raise ExplainerError(
            f"the array {array.shape} looks like (images, channels, height, width). Arrays have channels last, "
            "(images, height, width, channels): transpose it, or give a torch tensor, which has channels first"
        )
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(native, -1, 1)))


def _check_range(image: Tensor, number: int) -> None:
    least, largest = (float(bound) for bound in torch.aminmax(image))
    if not math.isfinite(least + largest):
        raise ExplainerError(f"image {number} holds NaN or infinite values")
    size = max(abs(least), abs(largest))
    if size > LARGEST:
        raise ExplainerError(
            f"image {number} goes from {least:g} to {largest:g}; images are usually from 0 to 1, from 0 to 255 or "
            f"normalised to a few units around 0, and never beyond ±{LARGEST}. Scale it as the model expects"
        )
    if image.is_floating_point() and 0 < size < DARK:
        warnings.warn(
            f"image {number} goes from {least:g} to {largest:g}, which is all but black in any usual range; was it "
            "divided by 255 twice?",
            UnusualImageWarning,
            stacklevel=3,
        )
