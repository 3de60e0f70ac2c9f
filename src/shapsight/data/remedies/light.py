"""Light: brightness, contrast, gamma, shadow and white balance vary over the whole image, region included."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from shapsight.data.remedies.colours import Colours, recoloured
from shapsight.data.remedies.picture import PictureChange, is_picture
from shapsight.data.remedies.remedy import Remedy

FACTORS = ("brightness_factor", "contrast_factor", "saturation_factor", "hue_factor")  # as torchvision counts
HUE = 3


class Light(PictureChange):
    """Another light: exposure, contrast, gamma and white balance, and for half of the samples a shadow.

        Light()(image)
        Light(1.0, strength=0.5)(image, mask, target)      # every image, half as much; mask and target stay

    `strength`, 0 or more, scales all of them; 1 varies exposure and gamma by about a quarter, and the colours by a
    tenth (the standard deviations of their logarithms). The shadow has a straight soft edge at a random place and takes
    30 to 65 % of the light. Raises `DataError` for an image that is not uint8 of shape (3, height, width).
    """

    def __init__(self, share: float = 0.9, *, strength: float = 1.0) -> None:
        super().__init__(share)
        self.strength = strength

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw this sample's light."""
        height, width = self.picture(flat_inputs).shape[-2:]
        if torch.rand(()) >= self.share:
            return {"is_changed": False}
        vary = torch.randn(6) * self.strength
        shade = torch.ones(height, width)
        if torch.rand(()) < 0.5:
            shade = 1 - (0.3 + 0.35 * torch.rand(())) * self.strength * _half_plane(height, width)
        return {
            "is_changed": True,
            "exposure": torch.exp(0.25 * vary[0]) * torch.exp(0.1 * vary[3:6])[:, None, None],
            "contrast": torch.exp(0.2 * vary[1]),
            "gamma": torch.exp(0.25 * vary[2]),
            "shade": shade.clamp_min(0),
        }

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Light the image anew."""
        if not params["is_changed"]:
            return inpt
        return tv_tensors.wrap(_lit(inpt.as_subclass(Tensor), params), like=inpt)


class ColorJitter(v2.ColorJitter):  # type: ignore[misc]  # torchvision has no types
    """Colour jitter: light and colours vary by these shares, every pixel stays where it is.

        ColorJitter()(image)                            # (3, height, width) uint8 -> the same shape and type
        recoloured(images, ColorJitter().drawn(seeds))  # a batch in one call, each image as its seed says

    The draws and their order are torchvision's, with small changes by default, but the hue comes last and colours are
    cut and rounded once. `hue` is in turns of the colour circle (0 to 0.5). Draws from torch's global generator, so
    `torch.manual_seed` makes it reproducible. What is no RGB picture in uint8, torchvision changes.
    """

    def __init__(
        self, brightness: float = 0.2, contrast: float = 0.2, saturation: float = 0.2, hue: float = 0.05
    ) -> None:
        super().__init__(brightness, contrast, saturation, hue)

    def drawn(self, seeds: Sequence[int]) -> Colours:
        """What `ColorJitter()(image)` would do to an image after `torch.manual_seed(seed)`, for each of the seeds."""
        draws = []
        with torch.random.fork_rng(devices=()):
            for seed in seeds:
                torch.default_generator.manual_seed(seed)  # that of a GPU stays as it is
                draws.append(self.make_params([]))
        return _colours(draws)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Change the colours."""
        if not (isinstance(inpt, Tensor) and is_picture(inpt)):
            return super().transform(inpt, params)
        return tv_tensors.wrap(recoloured(inpt.as_subclass(Tensor)[None], _colours([params]))[0], like=inpt)


def _colours(draws: Sequence[dict[str, Any]]) -> Colours:
    blends = [(*_blend(params), params["hue_factor"] or 0.0) for params in draws]
    return Colours.blends(*torch.tensor(blends).unbind(1))


def _blend(params: dict[str, Any]) -> tuple[float, float, float]:
    """Brightness, contrast and saturation after each other: each makes a blend of such a blend."""
    own, grey, mean = 1.0, 0.0, 0.0
    for step in params["fn_idx"].tolist():
        factor = params[FACTORS[step]]
        if factor is None or step == HUE:
            continue
        rest = {0: (0.0, 0.0), 1: (0.0, own + grey + mean), 2: (own + grey, mean)}[step]
        own, grey, mean = (
            factor * own,
            factor * grey + (1 - factor) * rest[0],
            factor * mean + (1 - factor) * rest[1],
        )
    return own, grey, mean


def _lit(image: UInt8[Tensor, "3 height width"], light: dict[str, Any]) -> UInt8[Tensor, "3 height width"]:
    bright = (image.float() / 255).pow(light["gamma"]) * light["exposure"] * light["shade"]
    middle = bright.mean()
    changed = (bright - middle) * light["contrast"] + middle
    return torch.as_tensor((changed * 255).round().clamp(0, 255).to(torch.uint8))


def _half_plane(height: int, width: int) -> Float[Tensor, "height width"]:
    """1 on one side of a random line through the image, 0 on the other, with an edge an eighth of the width wide."""
    angle = torch.rand(()) * 2 * torch.pi
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    away = columns * torch.cos(angle) + rows * torch.sin(angle) - (torch.rand(()) - 0.5)
    return (away * 8).sigmoid()


REMEDIES = (
    Remedy(
        "light",
        "varies brightness, contrast, gamma, shadow and white balance, inside the region, too",
        region="changed",
        make=lambda _: Light(),
    ),
    Remedy(
        "color-jitter",
        "varies brightness, contrast, saturation and hue, inside the region, too",
        region="changed",
        make=lambda _: ColorJitter(),
    ),
)
