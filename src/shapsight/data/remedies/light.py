"""Light: brightness, contrast, gamma, shadow and white balance vary over the whole image, region included."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from shapsight.data.augment import training_transform
from shapsight.data.remedies.remedy import Remedy


class Light(v2.Transform):  # type: ignore[misc]  # torchvision has no types
    """Another light: exposure, contrast, gamma and white balance, and for half of the samples a shadow.

        Light(0.9)(sample)

    `strength` scales all of them; 1 varies exposure and gamma by about a quarter, and the colours by a tenth. The
    shadow has a straight soft edge at a random place and takes 30 to 65 % of the light.
    """

    _transformed_types = (tv_tensors.Image,)

    def __init__(self, share: float = 0.9, *, strength: float = 1.0) -> None:
        super().__init__()
        self.share = share
        self.strength = strength

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw this sample's light."""
        if torch.rand(()) >= self.share:
            return {"is_changed": False}
        vary = torch.randn(6) * self.strength
        height, width = flat_inputs[0].shape[-2:]
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
        make=lambda _: training_transform(),
    ),
)
