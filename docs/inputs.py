"""The pictures of docs/inputs.md and a depth map's of docs/targets.md, all of it made here but ONNX's network.

    SHAPSIGHT_SHARED=../shared python docs/inputs.py

The file in ONNX is SqueezeNet with ImageNet's weights, asked about scikit-image's photograph of a cup of coffee.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import skimage.data
import torch
from matplotlib.figure import Figure
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models import squeezenet1_1
from torchvision.transforms import v2

from shapsight import Bundle, Explanation, PartitionShap, RegionShap, explain
from shapsight.attribution.several_inputs import SeveralInputs
from shapsight.attribution.targets import Region

HERE = Path(__file__).parent
SHARED = Path(os.environ.get("SHAPSIGHT_SHARED", "../shared"))
NUMBERS = ["speed", "hour", "rain"]
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


class Haze(nn.Module):
    """The distance that haze tells, `(N, 3, H, W)` to `(N, H, W)`: what stands out less from its grey is far away."""

    def forward(self, x: Tensor) -> Tensor:
        contrast = nn.functional.avg_pool2d((x - 0.7).abs().amax(1, keepdim=True), 9, 1, 4)
        return -torch.log(contrast + 0.05).squeeze(1)


def hills() -> Tensor:
    """Five posts in haze, each farther away than the one before: `(3, 96, 160)`."""
    generator = torch.Generator().manual_seed(0)
    picture = 0.7 + 0.02 * torch.randn(3, 96, 160, generator=generator)
    for number, far in enumerate((0.0, 0.35, 0.6, 0.8, 0.9)):
        left, high = 12 + 30 * number, int(70 * (1 - 0.6 * far))
        colour = 0.7 + (1 - far) * (torch.tensor([0.1, 0.3, 0.15]) - 0.7)
        picture[:, 84 - high : 84, left : left + 14] = colour[:, None, None]
    return picture


class Brake(nn.Module):
    """How hard to brake: something red in the upper half, the more the faster; and rain by itself."""

    def forward(self, x: Tensor, numbers: Tensor) -> Tensor:
        red = torch.relu(x[:, 0] - x[:, 1] - 0.3)[:, : x.shape[2] // 2].mean((1, 2))
        return (20 * red * numbers[:, 0] / 50 + 0.1 * numbers[:, 2]).unsqueeze(1)


def depth() -> Explanation:
    """PartitionSHAP of the mean distance over the third post."""
    region = torch.zeros(96, 160, dtype=torch.bool)
    region[40:84, 72:86] = True
    return PartitionShap(Haze(), "blur(64,64)", max_evals=600)(hills()[None], [Region(region)])


def several() -> SeveralInputs:
    """Exact values of 12 regions and of three numbers, for a picture with a red light on a wet evening."""
    picture = 0.4 + 0.03 * torch.randn(3, 96, 128, generator=torch.Generator().manual_seed(2))
    y, x = torch.meshgrid(torch.arange(96), torch.arange(128), indexing="ij")
    picture[:, (y - 22) ** 2 + (x - 80) ** 2 < 110] = torch.tensor([0.95, 0.1, 0.1])[:, None]
    picture[:, (y - 75) ** 2 + (x - 30) ** 2 < 90] = torch.tensor([0.95, 0.1, 0.1])[:, None]
    usual = torch.tensor([30.0, 12.0, 0.0])
    driver = RegionShap(Brake(), ("mean", usual), "grid(3,4)", output_names=["brake"])
    return driver((picture[None], torch.tensor([[60.0, 20.0, 1.0]])))  # type: ignore[return-value]


def draw_several(found: SeveralInputs) -> Figure:
    """The picture with its values beside those of the numbers."""
    table = found.inputs_table(names={1: NUMBERS})
    print(table.to_string(index=False))
    return found[0].plot(width=5.6)


def onnx() -> Explanation:
    """DeepSHAP of a file in ONNX."""
    network = squeezenet1_1(weights=None).eval()
    weights = load_file(SHARED / "models/squeezenet1_1_imagenet.safetensors")
    network.load_state_dict({name: value.float() for name, value in weights.items()})
    cup = Image.fromarray(skimage.data.coffee()).resize((224, 224))
    greys = [Image.new("RGB", (224, 224), (level,) * 3) for level in range(0, 256, 32)]
    transform = v2.Compose(
        [
            v2.Resize((224, 224)),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "squeezenet.onnx"
        torch.onnx.export(network, (torch.rand(1, 3, 224, 224),), file, dynamo=False)
        names = [str(number) for number in range(1000)]
        names[967] = "espresso"
        bundle = Bundle.wrap(str(file), transform, names, references=greys)
        print(bundle.notes[0])
        return explain(bundle, cup, "deep", "espresso")


def write(figure: Figure, name: str) -> None:
    """A PNG of 256 colours, which is small; those of the key are among them."""
    with io.BytesIO() as file:
        figure.savefig(file, format="png", dpi=90)
        Image.open(file).convert("RGB").quantize(
            256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
        ).save(HERE / name, optimize=True)


def main() -> None:
    """Write all pictures, or those named."""
    drawn = {
        "inputs_volume": lambda: volume().plot(width=5.6),
        "inputs_bands": lambda: bands().plot(bands=(NEAR_INFRARED, RED, 1), width=6.2),
        "inputs_several": lambda: draw_several(several()),
        "inputs_onnx": lambda: onnx().plot(width=5.6),
        "targets/depth": lambda: depth().plot(width=6.6),
    }
    for name in sys.argv[1:] or drawn:
        write(drawn[name](), f"{name}.png")
    if not sys.argv[1:]:
        print(bands().bands_table().sort_values("share", ascending=False).head(4).to_string(index=False))


if __name__ == "__main__":
    main()
