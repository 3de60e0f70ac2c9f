"""Clips, volumes, bands and 16 bits: networks that take other images than RGB pictures, by all four explainers.

    python benchmarks/beyond/inputs.py              # a line for each model and method
    python benchmarks/beyond/inputs.py --only swin

Networks are random and calibrated as in `zoo.py`, small, on blotches; nothing is downloaded. The gaps of DeepSHAP and
GradientSHAP are from completeness; RegionSHAP's, of 2 × 2 regions (through all slices), from Shapley's formula over all
16 coalitions, and PartitionSHAP's, of the two halves of its axis tree, from the two-player formula, both asked without
shapsight. All are shares of the largest |prediction - base value|.
"""

from __future__ import annotations

import itertools
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.video.mvit import MSBlockConfig, MViT

sys.path += [str(Path(__file__).parent), str(Path(__file__).parent.parent)]
from row import Row, print_rows
from zoo import _leave_zero, _scale_weights

from shapsight import DeepShap, GradientShap, PartitionShap, RegionShap

REFERENCES, OUTPUTS, SAMPLES = 3, 4, 96
HALVES = 100  # evaluations of PartitionSHAP


@dataclass(frozen=True)
class Case:
    """A model and the shape of an image of it, from 0 to `white`."""

    kind: str
    name: str
    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    white: float = 1.0


class UNet3d(nn.Module):
    """A U-Net of volumes as MONAI has them: strided convolutions, instance norms, transposed convolutions."""

    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        self.down = nn.ModuleList([self._block(1, channels, 1), self._block(channels, 2 * channels, 2)])
        self.bottom = self._block(2 * channels, 4 * channels, 2)
        self.up = nn.ModuleList(
            [
                nn.ConvTranspose3d(4 * channels, 2 * channels, 2, 2),
                nn.ConvTranspose3d(4 * channels, channels, 2, 2),
            ]
        )
        self.head = nn.Conv3d(2 * channels, OUTPUTS, 1)

    @staticmethod
    def _block(before: int, after: int, stride: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv3d(before, after, 3, stride, 1), nn.InstanceNorm3d(after, affine=True), nn.PReLU()
        )

    def forward(self, x: Tensor) -> Tensor:
        fine = self.down[0](x)
        middle = self.down[1](fine)
        x = torch.cat([middle, self.up[0](self.bottom(middle))], 1)
        x = torch.cat([fine, self.up[1](x)], 1)
        return self.head(x)


class OfRegion(nn.Module):
    """The mean of a segmenter's scores over the middle of the volume."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        scores = self.model(x)
        depth, height, width = (side // 4 for side in scores.shape[2:])
        return scores[:, :, depth:-depth, height:-height, width:-width].mean((2, 3, 4))


class Scaled(nn.Module):
    """A network of images from 0 to 65535."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x / 65535)


def _mvit() -> nn.Module:
    """torchvision's MViT of four blocks, on clips of 8 × 64 × 64."""
    block = partial(MSBlockConfig, num_heads=2, kernel_q=(3, 3, 3), kernel_kv=(3, 3, 3))
    setting = [
        block(input_channels=32, output_channels=32, stride_q=(1, 1, 1), stride_kv=(1, 4, 4)),
        block(input_channels=32, output_channels=64, stride_q=(1, 2, 2), stride_kv=(1, 2, 2)),
        block(input_channels=64, output_channels=64, stride_q=(1, 1, 1), stride_kv=(1, 2, 2)),
        block(input_channels=64, output_channels=128, stride_q=(1, 2, 2), stride_kv=(1, 1, 1)),
    ]
    return MViT(
        (64, 64), 8, setting, residual_pool=True, residual_with_cls_embed=False, rel_pos_embed=True,
        proj_after_attn=True, num_classes=OUTPUTS,
    )  # fmt: skip


def _of_bands(bands: int) -> nn.Module:
    model = torchvision.models.resnet18(num_classes=OUTPUTS)
    model.conv1 = nn.Conv2d(bands, 64, 7, 2, 3, bias=False)
    return model


VIDEO = torchvision.models.video
CASES = [
    Case("clip", "torchvision r3d_18", lambda: VIDEO.r3d_18(num_classes=OUTPUTS), (3, 8, 48, 48)),
    Case("clip", "torchvision mc3_18", lambda: VIDEO.mc3_18(num_classes=OUTPUTS), (3, 8, 48, 48)),
    Case("clip", "torchvision r2plus1d_18", lambda: VIDEO.r2plus1d_18(num_classes=OUTPUTS), (3, 8, 32, 32)),
    Case("clip", "torchvision swin3d_t", lambda: VIDEO.swin3d_t(num_classes=OUTPUTS), (3, 8, 64, 64)),
    Case("clip", "torchvision MViT, 4 blocks", _mvit, (3, 8, 64, 64)),
    Case("volume", "3-D U-Net, mean of a region", lambda: OfRegion(UNet3d()), (1, 16, 32, 32)),
    Case("bands", "ResNet-18 of 11 bands", lambda: _of_bands(11), (11, 64, 64)),
    Case(
        "16 bits",
        "ResNet-18 of 0 to 65535",
        lambda: Scaled(torchvision.models.resnet18(num_classes=OUTPUTS)),
        (3, 64, 64),
        65535,
    ),
]


def rows(only: str = "") -> Iterator[Row]:
    """What came out, model by model."""
    for case in CASES:
        if only.lower() in case.name.lower():
            yield from _rows(case)


def _rows(case: Case) -> Iterator[Row]:
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    model = calibrated(case, generator)
    image, references = blotches(case, 1, generator), blotches(case, REFERENCES, generator)
    exact = model.double()
    yield _deep(case, exact, image.double(), references.double())
    exact.float()
    yield _gradient(case, model, image, references)
    yield _partition(case, model, image)
    yield _regions(case, model, image)


def _deep(case: Case, model: nn.Module, image: Tensor, references: Tensor) -> Row:
    explainer = DeepShap(model, references)
    explainer(image, 0, on_gap="ignore")  # the first run makes what later ones reuse
    found, seconds = _timed(lambda: explainer(image, 0, on_gap="ignore"))
    bare = _timed(lambda: _plain(model, torch.cat([references, image])))[1]
    return _row(case, "DeepSHAP", _gap(found), "completeness, float64", seconds, bare)


def _gradient(case: Case, model: nn.Module, image: Tensor, references: Tensor) -> Row:
    explainer = GradientShap(model, references[:1], samples=SAMPLES, positions="gauss", batch_size=8)
    with torch.no_grad():  # of the outputs that one hardly moves, the gap is a share of nothing
        column = int((model(image) - model(references[:1])).abs().argmax())
    found, seconds = _timed(lambda: explainer(image, column, on_gap="ignore"))
    eight = image.expand(8, *image.shape[1:])
    bare = _timed(lambda: _plain(model, eight))[1] * SAMPLES / 8
    return _row(case, "GradientSHAP", _gap(found), f"completeness, {SAMPLES} Gauss points", seconds, bare)


def _regions(case: Case, model: nn.Module, image: Tensor) -> Row:
    explainer = RegionShap(model, 0.0, "grid(2,2)")
    found, seconds = _timed(lambda: explainer.by_region(image, 0))
    values = found.values[0, 0].double()
    expected, bare = _shapley(model, image, found.labels[0], 4)
    change = float((found.predictions - found.base_values).abs().max())
    gap = float((values - expected).abs().max()) / change
    return _row(case, "RegionSHAP", gap, "Shapley's formula, 16 coalitions", seconds, bare)


def _partition(case: Case, model: nn.Module, image: Tensor) -> Row:
    explainer = PartitionShap(model, 0.0, "axis", max_evals=HALVES, contexts="both")
    found, seconds = _timed(lambda: explainer(image, 0))
    sides = image.shape[2:]
    longest = max(range(len(sides)), key=lambda side: sides[side])
    half = torch.arange(sides[longest]) >= (sides[longest] + 1) // 2
    labels = half.long().view([-1 if side == longest else 1 for side in range(len(sides))]).expand(sides)
    expected, bare = _shapley(model, image, labels, 2)
    values = found.parts(labels).values[0, 0].double()
    change = float((found.predictions - found.base_values).abs().max())
    gap = float((values - expected).abs().max()) / change
    return _row(case, "PartitionSHAP", gap, "Shapley's formula of two halves", seconds, bare * HALVES / 4)


def _shapley(model: nn.Module, image: Tensor, labels: Tensor, players: int) -> tuple[Tensor, float]:
    """Shapley values of some regions of an image by the formula, and the seconds of the passes."""
    coalitions = list(itertools.product((0, 1), repeat=players))
    visible = torch.tensor(coalitions, dtype=torch.bool)[:, labels].unsqueeze(1)
    masked = [torch.where(shown, image, torch.zeros(())) for shown in visible]
    with torch.no_grad():
        answers, seconds = _timed(lambda: torch.cat([model(one)[:, 0].double() for one in masked]))
    worth = dict(zip(coalitions, answers.tolist(), strict=True))
    values = []
    for player in range(players):
        total = 0.0
        for one in (c for c in coalitions if not c[player]):
            size = sum(one)
            weight = math.factorial(size) * math.factorial(players - size - 1) / math.factorial(players)
            total += weight * (worth[(*one[:player], 1, *one[player + 1 :])] - worth[one])
        values.append(total)
    return torch.tensor(values, dtype=torch.float64), seconds


def _plain(model: nn.Module, images: Tensor) -> Any:
    given = images.detach().clone().requires_grad_()
    return torch.autograd.grad(model(given)[:, 0].sum(), given)


def _gap(found: Any) -> float:
    return float(found.completeness_gap.abs().max() / (found.predictions - found.base_values).abs().max())


def _row(case: Case, method: str, gap: float, against: str, seconds: float, bare: float) -> Row:
    shape = " × ".join(map(str, case.shape))
    return Row(case.kind, f"{case.name}, {shape}", method, gap, against, seconds, bare)


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Seconds of the processor, which other programs do not change."""
    start = time.process_time()
    found = work()
    return found, time.process_time() - start


def blotches(case: Case, count: int, generator: torch.Generator) -> Tensor:
    """Coarse noise, enlarged."""
    channels, *sides = case.shape
    coarse = torch.rand(count, channels, *(max(2, side // 8) for side in sides), generator=generator)
    mode = "trilinear" if len(sides) == 3 else "bilinear"
    return case.white * nn.functional.interpolate(coarse, sides, mode=mode)


def calibrated(case: Case, generator: torch.Generator) -> nn.Module:
    """A random network whose outputs depend on what it is shown."""
    model = case.make()
    for module in model.modules():
        _scale_weights(module)
        if isinstance(module, nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = None
            module.reset_running_stats()
    for name, parameter in model.named_parameters():
        _leave_zero(name, parameter)
    model.train()
    with torch.no_grad():
        model(blotches(case, 4, generator))
    return model.eval()


if __name__ == "__main__":
    print_rows(rows, str(__doc__))
