"""A user's own transform: what of an image it shows the model, and how it changes colours, found out by asking it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from torch import Tensor
from torchvision import tv_tensors

from shapsight.data.framing import Frame
from shapsight.errors import DataError, ModelError
from shapsight.models.functions import Layout

Pixels = UInt8[np.ndarray, "height width 3"]
Numbers = Float[np.ndarray, "channels height width"]
TRIES = 16  # a step that is done with a chance of one half is missed once in 30,000
PROBE = (240, 320)
EIGHT_BITS = 1.02 / 255
WHITE = np.full(3, 255, np.uint8)
BLACK = np.zeros(3, np.uint8)
_NOT_COLOURS = (
    "the transform changes colours in another way than by mixing and normalising them pixel by pixel, so the picture "
    "that the model sees cannot be told from its numbers. Put that step into the model (nn.Sequential(step, model)), "
    "or save the images as they are after it"
)
ENTRIES: dict[str, Callable[[Pixels], Any]] = {
    "a PIL image": Image.fromarray,
    "a uint8 tensor (3, height, width)": lambda pixels: tv_tensors.Image(
        torch.from_numpy(pixels).permute(2, 0, 1)
    ),
    "an array (height, width, 3)": lambda pixels: pixels,
}


@dataclass(frozen=True)
class Colours:
    """What a transform does to colours: `(mixing @ colour - mean) / std`, for a colour from 0 to 1."""

    mixing: Float[np.ndarray, "channels 3"]
    mean: Float[np.ndarray, "channels"]
    std: Float[np.ndarray, "channels"]

    @property
    def is_plain(self) -> bool:
        """Each channel is one colour, in the order of red, green, blue."""
        return bool(np.array_equal(self.mixing, np.eye(3)))

    @property
    def of_card(self) -> dict[str, Any]:
        """The fields of a card that say the same."""
        mixing = () if self.is_plain else tuple(map(tuple, self.mixing.tolist()))
        return {"mean": tuple(self.mean.tolist()), "std": tuple(self.std.tolist()), "mixing": mixing}

    def numbers(self, colour: Float[np.ndarray, "3 ..."]) -> Float[np.ndarray, "channels ..."]:
        """What the transform makes of a colour from 0 to 1."""
        mixed = np.tensordot(self.mixing, colour, 1)
        return np.asarray((mixed.T - self.mean) / self.std).T

    def colour(self, numbers: Float[np.ndarray, "channels ..."]) -> Float[np.ndarray, "3 ..."]:
        """A colour from 0 to 1 of which the transform makes these numbers; grey where it makes one number."""
        mixed = (numbers.T * self.std + self.mean).T
        if len(self.mixing) == 1:
            return np.repeat(mixed / self.mixing.sum(), 3, 0)
        return np.asarray(np.tensordot(np.linalg.pinv(self.mixing), mixed, 1))


@dataclass(frozen=True, eq=False)
class OwnTransform:
    """A user's transform as a framing: its picture is what it makes of an image, with the colours undone.

        own = OwnTransform.of(transforms.Compose([Resize(256), CenterCrop(224), ToTensor(), Normalize(mean, std)]))
        own.see(pixels)              # uint8 (3, 224, 224)
        own.colours.mean             # as the transform's

    Attributes
        call: gives the transform an image as it takes one.
        size: (height, width) of what it makes. layout: of what it returns. colours: what it does to them.
        takes: how it is given an image; rounding: by how much at most, of 255, the 8 bits of a picture change it.
    """

    call: Callable[[Pixels], Numbers]
    size: tuple[int, int]
    layout: Layout
    colours: Colours
    takes: str
    rounding: float = 0.0
    is_own_code: bool = True
    channels: ClassVar = 3
    is_stored: ClassVar = False
    _ends: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, transform: Callable[..., Any], size: tuple[int, int] | None = None) -> OwnTransform:
        """Ask a transform about probe pictures.

        `size`: of the images, where what the transform makes is as large as they are. Raises `ModelError` for a
        transform that fails, is random, makes something else than `(channels, height, width)` or `(height, width,
        channels)`, or changes colours in a way that cannot be told pixel by pixel.
        """
        with _random_state_kept():
            probe = _textured(size or PROBE)
            takes, layout, call = _entry(transform, probe)
            first = call(probe)
            _refuse_random(transform, call, probe, first)
            made = first.shape[1:]
            other = call(_textured((PROBE[1] + 30, PROBE[0]))).shape[1:] if size is None else made
            if other != made:
                raise ModelError(
                    f"the transform makes {made[0]} × {made[1]} numbers of an image of {probe.shape[0]} × "
                    f"{probe.shape[1]} pixels, and {other[0]} × {other[1]} of another: say with size=(height, width) "
                    "how large your images are, or let the transform resize them"
                )
            colours = _colours(call, probe.shape[:2])
            own = cls(call, (int(made[0]), int(made[1])), layout, colours, takes)
            seen = own.see(probe).numpy().astype(np.float64) / 255
            differing = np.abs(colours.numbers(seen) - first).max((1, 2)) * colours.std
            rounding = float((differing / np.abs(colours.mixing).sum(1)).max()) * 255
            black, half = own.see(probe * 0).numpy(), own.see(probe // 2).numpy()
            change = np.abs(2.0 * half - black - seen * 255).mean()
        if rounding > 2 or change > 4:
            raise ModelError(
                f"{_NOT_COLOURS}: half of a picture's brightness is not half of what it shows, by {change:.0f} of 255"
            )
        return cls(call, own.size, layout, colours, takes, rounding)

    def see(self, pixels: Pixels) -> UInt8[Tensor, "3 height width"]:
        """What the transform shows of an image, in its colours, rounded to 8 bits."""
        made = self.call(pixels)
        if made.shape[1:] != self.size:
            raise DataError(
                f"the transform makes {made.shape[1]} × {made.shape[2]} numbers of an image of {pixels.shape[0]} × "
                f"{pixels.shape[1]} pixels, where {self.size[0]} × {self.size[1]} were expected: all images need the "
                "same size, or the transform must resize them"
            )
        if not np.isfinite(made).all():
            raise DataError("the transform makes NaN or infinite numbers of an image")
        colour = np.rint(self.colours.colour(made.astype(np.float64)) * 255)
        return torch.from_numpy(colour.clip(0, 255).astype(np.uint8))

    def mask(self, mask: Bool[np.ndarray, "height width"]) -> Bool[np.ndarray, "seen_height seen_width"]:
        """A mask as the transform shows it; what it pads is outside."""
        black, white = self._black_and_white(mask.shape[0], mask.shape[1])
        shown = self._brightness(np.repeat(mask[..., None].astype(np.uint8) * 255, 3, 2))
        return np.asarray((white - black > 1) & (shown - black >= (white - black) / 2))

    def frame(self, height: int, width: int) -> Frame:
        """Where what the transform shows lies in an image of this size, read off ramps that are pushed through it.

        Raises `ModelError` where that is no rectangle, as after a rotation or a warp.
        """
        black, white = self._black_and_white(height, width)
        inside = white - black > 250
        if inside.sum() < 4:
            raise ModelError("the transform shows too little of an image to tell where that lies in it")
        found = []
        for axis, extent in ((1, width), (0, height)):
            ramp = np.rint((np.arange(extent) + 0.5) / extent * 255).astype(np.uint8)
            picture = np.broadcast_to(
                ramp[None, :, None] if axis else ramp[:, None, None], (height, width, 3)
            )
            shown = (self._brightness(np.ascontiguousarray(picture)) - black) / (white - black).clip(1)
            found.append(_line(shown * extent, inside, axis, extent))
        (left, right), (top, bottom) = found
        return Frame(left, top, right, bottom)

    def _brightness(self, pixels: Pixels) -> Float[np.ndarray, "height width"]:
        """From 0 to 255, not rounded."""
        return np.asarray(self.colours.colour(self.call(pixels).astype(np.float64)).mean(0) * 255)

    def _black_and_white(self, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        if (height, width) not in self._ends:
            ends = (self._brightness(_plain(colour, (height, width))) for colour in (BLACK, WHITE))
            self._ends[height, width] = next(ends), next(ends)
        return self._ends[height, width]


def _entry(transform: Callable[..., Any], probe: Pixels) -> tuple[str, Layout, Callable[[Pixels], Numbers]]:
    """How the transform takes an image, the layout of what it makes, and a call that does it."""
    run: Callable[[Any], Any]
    if type(transform).__module__.startswith("albumentations"):
        entries: dict[str, Callable[[Pixels], Any]] = {
            "an array (height, width, 3)": ENTRIES["an array (height, width, 3)"]
        }
        run = lambda image: transform(image=image)["image"]  # noqa: E731
    elif is_image_processor(transform):
        entries = {"a PIL image": Image.fromarray}
        run = lambda image: transform(images=image, return_tensors="pt")["pixel_values"][0]  # noqa: E731
    else:
        entries, run = ENTRIES, transform
    failures = []
    for takes, entry in entries.items():
        try:
            made = run(entry(probe))
            numbers, layout = _numbers(made)
        except ModelError as error:  # it runs, and makes something else: another entry would not mend that
            raise ModelError(f"the transform, given {takes}, {error}") from error
        except Exception as error:
            failures.append(f"{takes}: {type(error).__name__}: {str(error)[:150]}")
            continue
        if numbers.shape[0] > 3:
            raise ModelError(
                f"the transform makes {numbers.shape[0]} channels of a picture of 3, and only those of red, green and "
                "blue can be explained as a picture"
            )
        return takes, layout, partial(_called, run, entry)
    raise ModelError(f"the transform fails on a picture given as {'; as '.join(failures)}")


def is_image_processor(transform: object) -> bool:
    """Whether it is one of Hugging Face transformers, or the class of one."""
    kinds = transform.__mro__ if isinstance(transform, type) else type(transform).__mro__
    return any(kind.__name__ in ("BaseImageProcessor", "ImageProcessingMixin") for kind in kinds)


def _called(run: Callable[[Any], Any], entry: Callable[[Pixels], Any], pixels: Pixels) -> Numbers:
    return _numbers(run(entry(pixels)))[0]


def _numbers(made: Any) -> tuple[Numbers, Layout]:
    """What a transform made, channels first. Raises `ModelError` for what no model takes."""
    if isinstance(made, Mapping):
        made = next((made[name] for name in ("pixel_values", "image") if name in made), made)
    if not isinstance(made, Tensor | np.ndarray):
        end = "; end it with ToTensor()" if isinstance(made, Image.Image) else ""
        raise ModelError(f"makes a {type(made).__name__}, not a tensor (channels, height, width){end}")
    layout: Layout = "channels first" if isinstance(made, Tensor) else "channels last"
    array = np.asarray(made.detach().cpu().float() if isinstance(made, Tensor) else made, np.float32)
    array = array[0] if array.ndim == 4 and len(array) == 1 else array
    if array.ndim == 2 and layout == "channels last":
        array = array[..., None]
    if (
        layout == "channels last"
        and array.ndim == 3
        and array.shape[0] in (1, 3)
        and array.shape[2] not in (1, 3)
    ):
        layout = "channels first"  # an array, transposed for the model
    if array.ndim != 3 or min(array.shape) < 1:
        raise ModelError(
            f"makes an array of shape {array.shape}, not (channels, height, width) or (height, width, channels)"
        )
    return (array.transpose(2, 0, 1) if layout == "channels last" else array), layout


def _refuse_random(
    transform: Callable[..., Any], call: Callable[[Pixels], Numbers], probe: Pixels, first: Numbers
) -> None:
    for _ in range(TRIES):
        again = call(probe)
        if again.shape == first.shape and np.array_equal(again, first, equal_nan=True):
            continue
        steps = [type(step).__name__ for step in getattr(transform, "transforms", ())]
        drawn = [name for name in steps if "Random" in name or "Jitter" in name or "Auto" in name]
        named = f" ({', '.join(drawn)})" if drawn else ""
        raise ModelError(
            f"the transform is random{named}: the same picture twice gives other numbers. Pass the one that you "
            "validate with, without augmentation"
        )


def _colours(call: Callable[[Pixels], Numbers], size: tuple[int, int]) -> Colours:
    """The mixing and scaling of colours, from pictures of one colour. Raises `ModelError` where that is not all."""

    def of(colour: np.ndarray) -> np.ndarray:
        return call(_plain(colour, size)).astype(np.float64)

    black = of(BLACK)
    single = np.stack([of(np.eye(3, dtype=np.uint8)[n] * 255) for n in range(3)], 1) - black[:, None]
    answers = np.abs(single).sum((0, 1))
    inside = answers > 0.5 * np.median(answers[answers > 0]) if (answers > 0).any() else answers > 0
    if not inside.any() or not np.isfinite(single).all():
        raise ModelError(f"{_NOT_COLOURS}: pictures of one colour all look alike to it")
    slopes, offset = np.median(single[..., inside], 2), np.median(black[:, inside], 1)
    reach = np.abs(slopes).sum(1)
    if (reach <= 0).any():
        raise ModelError(f"{_NOT_COLOURS}: one of its channels does not depend on colours")
    for colour in np.random.default_rng(0).integers(0, 256, (6, 3)).astype(np.uint8):
        made = of(colour)[:, inside]
        expected = slopes @ (colour / 255) + offset
        # The border of what a transform pads may be mixed with the padding.
        off = np.quantile(np.abs(made - expected[:, None]), 0.99, axis=1)
        if (off > EIGHT_BITS * reach).any():
            raise ModelError(_NOT_COLOURS)
    std = 1 / slopes.sum(1) if (np.abs(slopes.sum(1)) > 1e-3 * reach).all() else 1 / reach
    mixing = slopes * std[:, None]
    mixing[np.abs(mixing) < 1e-4] = 0
    return Colours(_plain_numbers(mixing), _plain_numbers(-offset * std), _plain_numbers(std))


def _plain_numbers(values: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """0.485 for 0.48500001: numbers that people wrote, freed of float32."""
    return np.array([float(f"{value:.6g}") + 0.0 for value in values.flat]).reshape(values.shape)


def _line(shown: np.ndarray, inside: np.ndarray, axis: int, extent: int) -> tuple[float, float]:
    """Where the shown picture begins and ends along one axis, from the place that each of its pixels shows."""
    clear = inside & (shown > 0.02 * extent) & (shown < 0.98 * extent) if min(shown.shape) > 4 else inside
    clear = clear if clear.sum() >= 4 else inside
    rows, columns = np.nonzero(clear)
    along, across = (columns, rows) if axis else (rows, columns)
    design = np.stack([np.ones(len(along)), along, across], 1)
    (start, step, tilt), *_ = np.linalg.lstsq(design, shown[clear], rcond=None)
    pixels, others = shown.shape[axis], shown.shape[1 - axis]
    residual = shown[clear] - design @ np.array([start, step, tilt])
    allowed = extent / 255 + 1.0
    if abs(tilt) * others > allowed or np.sqrt(np.square(residual).mean()) > allowed or not step:
        raise ModelError(
            "the transform turns or warps images, so where its pixels lie in the image is no rectangle: explanations "
            "can be shown on what the model sees only, explain(..., on_image=False)"
        )
    first, last = start - step / 2, start + step * (pixels - 0.5)
    return _near(first, extent), _near(last, extent)


def _near(place: float, extent: int) -> float:
    """The image's own border, or whole pixels, where ramps of 8 bits cannot tell a place from these."""
    for border in (0.0, float(extent)):
        if abs(place - border) <= extent / 255:
            return border
    whole = round(float(place))
    return float(whole) if abs(place - whole) <= max(0.02, extent / 255 / 8) else float(place)


def _plain(colour: np.ndarray, size: tuple[int, int]) -> Pixels:
    return np.ascontiguousarray(np.broadcast_to(colour, (*size, 3)))


def _textured(size: tuple[int, int]) -> Pixels:
    """A picture with slopes, edges and noise in all colours."""
    height, width = size
    y, x = np.mgrid[:height, :width]
    waves = np.stack([np.sin(x / 9 + y / 23), np.sin(y / 7 - x / 31), np.cos((x + y) / 13)], 2)
    noise = np.random.default_rng(1).normal(0, 12, (height, width, 3))
    pixels = 127 + 90 * waves + 30 * ((x // 16 + y // 16) % 2)[..., None] + noise
    return np.asarray(pixels.clip(0, 255), np.uint8)


@contextmanager
def _random_state_kept() -> Iterator[None]:
    """Whatever a random transform draws, the user's own draws afterwards are as if nobody had asked it."""
    state = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=()):
        try:
            yield
        finally:
            random.setstate(state[0])
            np.random.set_state(state[1])
