"""The two pictures of docs/inputs.md: a volume and an image of 11 bands, both made here.

python docs/inputs.py
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor, nn

from shapsight import Bundle, Explanation, PartitionShap, explain

HERE = Path(__file__).parent
BANDS, NEAR_INFRARED, RED = 11, 7, 3


class Brightest(nn.Module):
    """How much of a volume is brighter than tissue: `(N, 1, D, H, W)` to `(N, 1)`."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(nn.functional.avg_pool3d(x, 3, 1) - 0.6).sum((1, 2, 3, 4)).unsqueeze(1) / 100


class Plants(nn.Module):
    """The mean of near infrared less red, where it is above 0, as an index of vegetation is."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x[:, NEAR_INFRARED] - x[:, RED]).mean((1, 2)).unsqueeze(1)


def scan(*, has_lesion: bool, seed: int) -> Tensor:
    """A body with two organs, and a lesion in slices 6 to 10: `(1, 16, 64, 80)`."""
    z, y, x = torch.meshgrid(torch.arange(16), torch.arange(64), torch.arange(80), indexing="ij")

    def ellipsoid(at: tuple[int, int, int], half: tuple[float, float, float]) -> Tensor:
        places = zip((z, y, x), at, half, strict=True)
        return sum(((side - middle) / reach) ** 2 for side, middle, reach in places) < 1  # type: ignore[return-value]

    noise = 0.03 * torch.randn(16, 64, 80, generator=torch.Generator().manual_seed(seed))
    found = 0.3 * ellipsoid((8, 32, 40), (9, 27, 36)) + 0.2 * ellipsoid((8, 34, 24), (6, 12, 9))
    found = found + 0.2 * ellipsoid((8, 34, 56), (6, 12, 9)) + noise
    return (found + 0.6 * ellipsoid((8, 22, 50), (2.6, 6, 6)) if has_lesion else found)[None]


def scene(seed: int, fields: int) -> np.ndarray:
    """Bare ground and some fields of plants, 11 bands of 16 bits: `(96, 96, 11)`."""
    random = np.random.default_rng(seed)
    ground = 1500 + 60 * np.arange(BANDS) + 120 * random.standard_normal((96, 96, BANDS))
    for _ in range(fields):
        y, x = random.integers(6, 66, 2)
        height, width = random.integers(14, 26, 2)
        field = ground[y : y + height, x : x + width]
        field[..., NEAR_INFRARED] += 2600
        field[..., RED] -= 900
    return ground.clip(0, 65535).astype(np.uint16)


def volume() -> Explanation:
    """PartitionSHAP of the scan with a lesion, hidden behind scans without one."""
    references = torch.stack([scan(has_lesion=False, seed=seed) for seed in range(1, 6)])
    model = PartitionShap(Brightest(), references, max_evals=300, output_names=["bright volume"])
    return model(scan(has_lesion=True, seed=0)[None])


def bands() -> Explanation:
    """DeepSHAP of three fields, against bare ground."""
    bare = [scene(seed, 0) for seed in range(1, 9)]
    bundle = Bundle.wrap(
        Plants(), lambda a: a / 10_000, ["plants"], channels=BANDS, size=(96, 96), references=bare
    )
    return explain(bundle, scene(0, 3), "deep")


def write(figure: Figure, name: str) -> None:
    """A PNG of 200 colours, which is small."""
    with io.BytesIO() as file:
        figure.savefig(file, format="png", dpi=90)
        Image.open(file).convert("RGB").quantize(200).save(HERE / name, optimize=True)


def main() -> None:
    """Write both pictures."""
    write(volume().plot(width=5.6), "inputs_volume.png")
    found = bands()
    write(found.plot(bands=(NEAR_INFRARED, RED, 1), width=6.2), "inputs_bands.png")
    print(found.bands_table().sort_values("share", ascending=False).head(4).to_string(index=False))


if __name__ == "__main__":
    main()
