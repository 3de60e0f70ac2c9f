"""Noise: what a camera and its files do to a picture: sensor noise, JPEG, blur; region included."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from shapsight.data.remedies.remedy import Remedy


def noise(share: float = 0.5) -> v2.Transform:
    """Blur, sensor noise and JPEG artefacts, in the order in which a camera makes them, each on a share of samples.

    noise()(sample)
    """
    return v2.Compose(
        [
            v2.RandomApply([v2.GaussianBlur(5, (0.3, 1.6))], share),
            v2.RandomApply([SensorNoise()], share),
            v2.RandomApply([JpegArtefacts()], share),
        ]
    )


class SensorNoise(v2.Transform):  # type: ignore[misc]  # torchvision has no types
    """Shot noise, which grows with the light, and read noise, which does not; of random strength.

    The variance in grey levels is `shot * level + read²`, with shot up to 0.8 and read up to 8.
    """

    _transformed_types = (tv_tensors.Image,)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """How strong it is, and the noise of each pixel."""
        image = flat_inputs[0].as_subclass(Tensor).float()
        shot, read = 0.8 * torch.rand(()), 8 * torch.rand(())
        spread = (shot * image + read.square()).sqrt()
        return {"noise": spread * torch.randn(image.shape)}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Add the noise."""
        changed = (inpt.as_subclass(Tensor).float() + params["noise"]).round().clamp(0, 255)
        return tv_tensors.wrap(changed.to(torch.uint8), like=inpt)


class JpegArtefacts(v2.Transform):  # type: ignore[misc]  # torchvision has no types
    """What a JPEG file keeps of an image, with a quality from 25 to 90; torchvision's own is on its way out."""

    _transformed_types = (tv_tensors.Image,)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """The quality."""
        return {"quality": int(torch.randint(25, 91, ()))}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Write and read the file in memory."""
        file = io.BytesIO()
        Image.fromarray(inpt.permute(1, 2, 0).numpy()).save(file, "JPEG", quality=params["quality"])
        with Image.open(file) as image:
            pixels = np.array(image)
        return tv_tensors.wrap(torch.from_numpy(pixels).permute(2, 0, 1), like=inpt)


REMEDIES = (
    Remedy(
        "noise",
        "adds blur, sensor noise and JPEG artefacts, inside the region, too",
        region="changed",
        make=lambda _: noise(),
    ),
)
