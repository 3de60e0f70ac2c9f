"""GradientShap against shap.GradientExplainer and plain autograd: time, error and completeness gap, in one process.

    python benchmarks/gradient.py speed                     # ResNet-18, 2 images, 2 outputs, 200 samples
    python benchmarks/gradient.py error --shared ../shared  # SqueezeNet-1.1 and photographs: error at 200 samples
    python benchmarks/gradient.py gap                       # how the completeness gap falls with the samples

Speed: the contestants take turns, and the ratios are medians over the rounds, of wall-clock time and of processor
time; the second says more on a busy machine. Plain autograd is the least that the samples cost: a forward pass for
each, and a backward pass for each output, the faster of contiguous and channels_last. Error: root mean square over
all values, against a truth of as many samples as asked for, ours (evenly spread, so much closer than as many of
shap's).
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from shapsight import GradientShap
from shapsight.attribution.shared.predictor import has_bfloat16


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["speed", "error", "gap"])
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--references", type=int, default=25)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--truth", type=int, default=20_000, help="samples of what is taken for the truth")
    parser.add_argument(
        "--shared", type=Path, help="folder of photographs and weights; without it, made-up ones"
    )
    parser.add_argument("--threads", type=int, default=0, help="torch's threads; 0 leaves its own choice")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    print(f"{torch.get_num_threads()} threads, {options.samples} samples, {options.references} references")
    {"speed": speed, "error": error, "gap": gap}[options.what](options)


def made_up(count: int, size: int = 224) -> Tensor:
    """Smooth pictures with some grain."""
    generator = torch.Generator().manual_seed(1)
    coarse = torch.randn(count, 3, 8, 8, generator=generator)
    grain = torch.randn(count, 3, size, size, generator=generator)
    return F.interpolate(coarse, size=(size, size), mode="bilinear") + 0.2 * grain


def theirs(model: nn.Module, references: Tensor, images: Tensor, samples: int, seed: int) -> Tensor:
    import shap

    values = shap.GradientExplainer(model, references).shap_values(images, nsamples=samples, rseed=seed)
    return torch.as_tensor(values).movedim(-1, 1)


def autograd(
    model: nn.Module, images: Tensor, samples: int, layout: torch.memory_format, size: int = 8
) -> None:
    for image in images:
        for start in range(0, samples, size):
            points = image.expand(min(size, samples - start), -1, -1, -1)
            leaf = points.clone(memory_format=layout).requires_grad_()
            predictions = model(leaf)
            for column in range(predictions.shape[1]):
                torch.autograd.grad(predictions[:, column].sum(), leaf, retain_graph=True)


def timed(function: Callable[[], object]) -> tuple[float, float]:
    wall, processor = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - wall, time.process_time() - processor


def speed(options: argparse.Namespace) -> None:
    torch.manual_seed(0)
    model = torchvision.models.resnet18(num_classes=2).eval()
    frozen = torchvision.models.resnet18(num_classes=2).eval().requires_grad_(False)
    pictures = made_up(options.references + 2)
    references, images = pictures[2:], pictures[:2]
    samples = options.samples

    def rough() -> object:
        return GradientShap(model, references, samples, precision="bfloat16")(images, on_gap="ignore")

    contestants: dict[str, Callable[[], object]] = {
        "shapsight": lambda: GradientShap(model, references, samples)(images, on_gap="ignore"),
        "shap": lambda: theirs(model, references, images, samples, 0),
        **({"shapsight, bfloat16": rough} if has_bfloat16(torch.device("cpu")) else {}),
        "autograd": lambda: autograd(frozen, images, samples, torch.contiguous_format),
        "autograd, channels last": lambda: autograd(frozen, images, samples, torch.channels_last),
    }
    for name in ("shapsight", "shap"):  # first calls load libraries
        small = made_up(3, 64)
        (GradientShap(model, small, 3)(small) if name == "shapsight" else theirs(model, small, small, 2, 0))
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
    for _ in range(options.rounds):
        for name, contestant in contestants.items():
            times[name].append(timed(contestant))
    for name, rows in times.items():
        ratios = [
            statistics.median(
                row[clock] / ours[clock] for row, ours in zip(rows, times["shapsight"], strict=True)
            )
            for clock in (0, 1)
        ]
        seconds = [statistics.median(row[clock] for row in rows) for clock in (0, 1)]
        row = [f"{s:7.1f} s {r:5.2f} x ours" for s, r in zip(seconds, ratios, strict=True)]
        print(f"{name:24} {row[0]}   processor {row[1]}", flush=True)


def squeezenet(shared: Path) -> tuple[nn.Module, Tensor, list[int]]:
    """The network with ImageNet weights, photographs (the egret first), and the egret's two best classes."""
    from safetensors.torch import load_file
    from torchvision.io import ImageReadMode, decode_image
    from torchvision.transforms import functional as transforms

    model = torchvision.models.squeezenet1_1()
    weights = load_file(shared / "models/squeezenet1_1_imagenet.safetensors")
    model.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    paths = sorted((shared / "data/imagenet50").glob("*.jpg"), key=lambda p: "n02010272_1613" not in p.name)
    pictures = []
    for path in paths:
        picture = decode_image(str(path), mode=ImageReadMode.RGB).float() / 255
        picture = transforms.center_crop(transforms.resize(picture, 224, antialias=True), 224)
        pictures.append(transforms.normalize(picture, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    photographs = torch.stack(pictures)
    with torch.no_grad():
        return model.eval(), photographs, model.eval()(photographs[:1])[0].topk(2).indices.tolist()


class Columns(nn.Module):
    """Some outputs of a model: shap explains every one that there is."""

    def __init__(self, model: nn.Module, columns: list[int]) -> None:
        super().__init__()
        self.model, self.columns = model, columns

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images)[:, self.columns]


def contest(options: argparse.Namespace) -> tuple[nn.Module, Tensor, Tensor]:
    """A model, references and one image."""
    if options.shared is None:
        torch.manual_seed(0)
        pictures = made_up(options.references + 1, 64)
        return torchvision.models.resnet18(num_classes=2).eval(), pictures[1:], pictures[:1]
    model, photographs, best = squeezenet(options.shared)
    return Columns(model, best), photographs[1 : options.references + 1], photographs[:1]


def error(options: argparse.Namespace) -> None:
    model, references, image = contest(options)
    truth = GradientShap(model, references, options.truth, seed=99)(image, on_gap="ignore").values.double()
    rows = {}
    for seed in range(options.rounds):
        ours = GradientShap(model, references, options.samples, seed=seed)(image, on_gap="ignore")
        other = theirs(model, references, image, options.samples, seed)
        for name, values in (("shapsight", ours.values), ("shap", other)):
            rows.setdefault(name, []).append((values - truth).square().mean().sqrt().item())
        rows.setdefault("claimed by ours", []).append(ours.std_errors.square().mean().sqrt().item())
    size = truth.square().mean().sqrt().item()
    means = {name: statistics.fmean(values) for name, values in rows.items()}
    for name, value in means.items():
        print(
            f"{name:16} error {value / size:.3f} of the values' size, {value / means['shap']:.2f} of shap's"
        )
    print(json.dumps(rows))


def gap(options: argparse.Namespace) -> None:
    model, references, image = contest(options)
    for samples in (25, 50, 100, 200, 400, 800):
        gaps: dict[str, list[float]] = {"shapsight": [], "shap": []}
        for seed in range(options.rounds):
            ours = GradientShap(model, references, samples, seed=seed)(image, on_gap="ignore")
            change = ours.predictions - ours.base_values
            other = theirs(model, references, image, samples, seed)
            size = change.abs().max()
            gaps["shapsight"].append((ours.completeness_gap.abs().max() / size).item())
            gaps["shap"].append(((other.sum((2, 3, 4)) - change).abs().max() / size).item())
        shares = ", ".join(f"{name} {statistics.fmean(values):.4f}" for name, values in gaps.items())
        print(f"{samples:5} samples: largest gap as a share of the largest change: {shares}")


if __name__ == "__main__":
    main()
