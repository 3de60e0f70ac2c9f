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

from shapsight.data.remedies.picture import PictureChange, checked
from shapsight.data.remedies.remedy import Remedy


class Noise(v2.Compose):  # type: ignore[misc]  # torchvision has no types
    """Blur, sensor noise and JPEG artefacts, in the order in which a camera makes them, each on a share of samples.

        Noise()(image, mask, target)        # mask and target stay

    The blur is Gaussian, with a sigma from 0.3 to 1.6 pixels; see `SensorNoise` and `JpegArtefacts`. Raises `DataError`
    for a share outside [0, 1], and for an image that is not uint8 of shape (3, height, width).
    """

    def __init__(self, share: float = 0.5) -> None:
        parts = [v2.GaussianBlur(5, (0.3, 1.6)), SensorNoise(), JpegArtefacts()]
        super().__init__([v2.RandomApply([part], checked(share)) for part in parts])


class SensorNoise(PictureChange):
    """Shot noise, which grows with the light, and read noise, which does not; of random strength.

        SensorNoise()(image)

    The variance in grey levels is `shot * level + read²`, with shot up to 0.8 and read up to 8.
    """

    def __init__(self) -> None:
        super().__init__(share=1.0)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """How strong it is, and the noise of each pixel."""
        image = self.picture(flat_inputs).float()
        shot, read = 0.8 * torch.rand(()), 8 * torch.rand(())
        spread = (shot * image + read.square()).sqrt()
        return {"noise": spread * torch.randn(image.shape)}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Add the noise."""
        changed = (inpt.as_subclass(Tensor).float() + params["noise"]).round().clamp(0, 255)
        return tv_tensors.wrap(changed.to(torch.uint8), like=inpt)


class JpegArtefacts(PictureChange):
    """What a JPEG file keeps of an image, with a quality from 25 to 90; torchvision's own is on its way out.

        JpegArtefacts()(image)

    Takes one picture, uint8 of shape (3, height, width).
    """

    def __init__(self) -> None:
        super().__init__(share=1.0)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """The quality."""
        self.picture(flat_inputs)
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
        make=lambda _: Noise(),
    ),
)
