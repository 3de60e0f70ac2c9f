"""GradientShap against shap.GradientExplainer and plain autograd: time, error and completeness gap, in one process.

    python benchmarks/gradient.py speed                     # ResNet-18, 2 images, 2 outputs, 200 samples
    python benchmarks/gradient.py error --shared ../shared  # SqueezeNet-1.1 and photographs: error at 200 samples
    python benchmarks/gradient.py gap                       # how the completeness gap falls with the samples
    python benchmarks/gradient.py errors --shared ../shared --bundles RUN/model ...   # are the standard errors right?

Speed: the contestants take turns, and the ratios are medians over the rounds, of wall-clock time and of processor
time; the second says more on a busy machine. Plain autograd is the least that the samples cost: a forward pass for
each, and a backward pass for each output, the faster of contiguous and channels_last. Error: root mean square over
all values, against a truth of as many samples as asked for, ours (evenly spread, so much closer than as many of
shap's). Errors: the claimed standard error over the true one, of root mean squares
over many seeds of each of 500 values. For this the gradients are taken once, at 256 positions for each reference, whose
mean is the truth and among which each seed's samples are looked up. Networks: small ones, trained on the pictures for
seconds; bundles, on their references; with `--shared` SqueezeNet 1.1 and EfficientNet-Lite0 with ImageNet weights (112
pixels, the egret, other photographs as references).
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from shapsight import GradientShap, load_bundle
from shapsight.attribution.paths import Paths, PathSums
from shapsight.attribution.positions import spread
from shapsight.attribution.shared.predictor import has_bfloat16


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["speed", "error", "gap", "errors"])
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--references", type=int, default=25)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--truth", type=int, default=20_000, help="samples of what is taken for the truth")
    parser.add_argument(
        "--shared", type=Path, help="folder of photographs and weights; without it, made-up ones"
    )
    parser.add_argument("--seeds", type=int, default=50, help="of errors")
    parser.add_argument("--bundles", type=Path, nargs="*", default=[], help="of errors: folders of bundles")
    parser.add_argument("--threads", type=int, default=0, help="torch's threads; 0 leaves its own choice")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    print(f"{torch.get_num_threads()} threads, {options.samples} samples, {options.references} references")
    {"speed": speed, "error": error, "gap": gap, "errors": errors}[options.what](options)


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


def squeezenet(shared: Path, size: int = 224) -> tuple[nn.Module, Tensor, list[int]]:
    """The network with ImageNet weights, photographs (the egret first), and the egret's two best classes."""
    from safetensors.torch import load_file

    model = torchvision.models.squeezenet1_1()
    weights = load_file(shared / "models/squeezenet1_1_imagenet.safetensors")
    model.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).view(2, 1, 3, 1, 1)
    photographs = (pictures(shared, size) - mean) / std
    with torch.no_grad():
        return model.eval(), photographs, model.eval()(photographs[:1])[0].topk(2).indices.tolist()


def pictures(shared: Path, size: int) -> Tensor:
    """Photographs in [0, 1], the egret first."""
    from torchvision.io import ImageReadMode, decode_image
    from torchvision.transforms import functional as transforms

    paths = sorted((shared / "data/imagenet50").glob("*.jpg"), key=lambda p: "n02010272_1613" not in p.name)
    found = (decode_image(str(path), mode=ImageReadMode.RGB).float() / 255 for path in paths)
    return torch.stack(
        [transforms.center_crop(transforms.resize(p, size, antialias=True), size) for p in found]
    )


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


POSITIONS, VALUES = 256, 500
COUNTS = {
    25: (20, 25, 50, 75, 100, 110, 175, 200, 400),
    50: (50, 100, 150, 200, 400),
}  # samples for references


def errors(options: argparse.Namespace) -> None:
    print("| network | references | samples | error | claimed / true | median over values | 10 % to 90 % |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, model, images, column in subjects(options):
        references = torch.cat([images[1:], images[1:].flip(3)])[:50]
        shares = on_a_grid(model.requires_grad_(False), references, images[:1], column)
        for count, all_samples in COUNTS.items():
            for samples in all_samples:
                error, claimed, true = over_seeds(shares[:count], samples, options.seeds)
                low, middle, high = (
                    (claimed / true)[true > 0].quantile(torch.tensor([0.1, 0.5, 0.9])).tolist()
                )
                ratio = claimed.square().mean().sqrt() / true.square().mean().sqrt()
                print(
                    f"| {name} | {count} | {samples} | {error:.3f} | {ratio:.2f} | {middle:.2f} "
                    f"| {low:.2f} to {high:.2f} |",
                    flush=True,
                )


def on_a_grid(model: nn.Module, references: Tensor, image: Tensor, column: int) -> Tensor:
    """`(image - reference) · gradient` at evenly spaced positions, `(references, positions, values)`, some values."""
    chosen = torch.randperm(image.numel(), generator=torch.Generator().manual_seed(0))[:VALUES]
    positions = (torch.arange(POSITIONS) + 0.5) / POSITIONS
    found = []
    for reference in references:
        change = image - reference
        for some in positions.split(16):
            points = (reference + some.view(-1, 1, 1, 1) * change).requires_grad_()
            (gradients,) = torch.autograd.grad(model(points)[:, column].sum(), points)
            found.append((gradients * change).flatten(1)[:, chosen])
    return torch.cat(found).unflatten(0, (len(references), POSITIONS))


def over_seeds(shares: Tensor, samples: int, seeds: int) -> tuple[float, Tensor, Tensor]:
    """The error as a share of the values' size, and each value's claimed and true standard error."""
    truth = shares.double().mean((0, 1))
    true = claimed = torch.zeros_like(truth)
    for seed in range(seeds):
        drawn = spread(samples, len(shares), torch.Generator().manual_seed(seed)).placed(shares)
        found = shares[drawn.reference, (drawn.position * POSITIONS).long().clamp_max(POSITIONS - 1)]
        sums = PathSums.zeros(1, Paths(0, (), (found[:1],)), is_known=True)
        sums.add(drawn, slice(0, samples), [(found,)])
        true = true + (sums.values[0][0] - truth).square() / seeds
        claimed = claimed + sums.std_errors[0][0].square() / seeds
    return (
        (true.mean().sqrt() / truth.square().mean().sqrt()).item(),
        claimed.sqrt().float(),
        true.sqrt().float(),
    )


def subjects(options: argparse.Namespace) -> Iterator[tuple[str, nn.Module, Tensor, int]]:
    """Names, networks, pictures, the first of which is explained, and the column that is."""
    if options.shared is not None:
        model, photographs, best = squeezenet(options.shared, 112)
        yield "SqueezeNet 1.1", model, photographs, best[0]
        photographs = 2 * pictures(options.shared, 112) - 1
        yield "EfficientNet-Lite0", *lite0(options.shared, photographs)
    for folder in options.bundles:
        bundle = load_bundle(folder)
        yield str(folder), bundle.model.eval(), bundle.prepare(bundle.references), 0
    photographs = made_up(30, 96) if options.shared is None else 2 * pictures(options.shared, 96) - 1
    for name, activation in (("small CNN, ReLU", nn.ReLU), ("small CNN, tanh", nn.Tanh)):
        yield name, small_cnn(activation, photographs), photographs, 0


def lite0(shared: Path, photographs: Tensor) -> tuple[nn.Module, Tensor, int]:
    """EfficientNet-Lite0 with ImageNet weights, the photographs, and the first one's best class."""
    import timm
    from safetensors.torch import load_file

    model = timm.create_model("tf_efficientnet_lite0").eval()
    weights = load_file(shared / "models/tf_efficientnet_lite0_imagenet.safetensors")
    model.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    with torch.no_grad():
        return model, photographs, int(model(photographs[:1]).argmax())


def small_cnn(activation: Callable[[], nn.Module], pictures: Tensor) -> nn.Module:
    """Four convolutions, trained to tell ten made-up classes of the pictures apart."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for before, after in ((3, 16), (16, 32), (32, 32), (32, 64)):
        layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), activation()]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(200):
        optimizer.zero_grad()
        F.cross_entropy(model(pictures), torch.arange(len(pictures)) % 10).backward()
        optimizer.step()
    return model.eval()


if __name__ == "__main__":
    main()
