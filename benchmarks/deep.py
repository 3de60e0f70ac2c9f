"""DeepSHAP against shap, captum and plain autograd: time, memory and completeness, on the same inputs.

    python benchmarks/deep.py                       # the steering case: ResNet-18, 2 outputs, 2 images, 100 references
    python benchmarks/deep.py --case many fashion   # 32 images; the Fashion-MNIST CNN
    python benchmarks/deep.py --case convnext_tiny --skip shap captum
    python benchmarks/deep.py --case dinov2_s swinv2_t hiera_t detr_r50 --skip shap captum      # small transformers
    python benchmarks/deep.py --scaling             # seconds and memory for 16 to 256 references

Every contestant runs in a process of its own, one after another, on the same seeded inputs. shap and captum cannot
run the models as they are, so they get a copy edited by hand: no in-place calls, no module used twice. The yardstick
is what autograd needs: K forward passes, and images × outputs × K backward passes to the input, the fastest of
contiguous and channels_last, 4 references at a time and 16, in the same process as ours, in turn, so that both see
the same machine.
Times are whole calls (the explainer's construction included); memory is the peak resident set over that of the
interpreter with torch and the library loaded.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Case:
    """What is explained: the model's name, and how much of everything."""

    arch: str
    images: int
    outputs: int
    references: int
    size: int = 224
    chunk: int = 16


CASES = {
    "steering": Case("resnet18", images=2, outputs=2, references=100),
    "many": Case("resnet18", images=32, outputs=2, references=100),
    "fashion": Case("fashion_cnn", images=10, outputs=10, references=100, size=28, chunk=100),
    "squeezenet1_1": Case("squeezenet1_1", images=2, outputs=2, references=50),
    "mobilenet_v3_large": Case("mobilenet_v3_large", images=2, outputs=2, references=50),
    "convnext_tiny": Case("convnext_tiny", images=2, outputs=2, references=32),
    "vit_b_16": Case("vit_b_16", images=1, outputs=2, references=32),
    "dinov2_s": Case("timm:vit_small_patch14_dinov2", images=1, outputs=1, references=25, size=224),
    "swinv2_t": Case("timm:swinv2_tiny_window8_256", images=1, outputs=1, references=25, size=256),
    "hiera_t": Case("timm:hiera_tiny_224", images=1, outputs=1, references=25),
    "detr_r50": Case("detr_r50", images=1, outputs=1, references=25),
}


class FashionCnn(nn.Module):
    """The usual small network: two convolutions with pooling and dropout, and two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 32, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Dropout(),
        )
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(64 * 25, 128), nn.ReLU(), nn.Dropout(), nn.Linear(128, 10)
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images))


class Detr(nn.Module):
    """Hugging Face's DETR with ResNet-50: the scores of its first query."""

    def __init__(self) -> None:
        super().__init__()
        from transformers import DetrConfig, DetrForObjectDetection

        config = DetrConfig(use_timm_backbone=True, backbone="resnet50", use_pretrained_backbone=False)
        self.network = DetrForObjectDetection(config)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.network(pixel_values=images).logits[:, 0]
        return scores


class SeparateBlock(torchvision.models.resnet.BasicBlock):
    """torchvision's block as shap and captum need it: two ReLU modules, nothing in place."""

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu_out(out + identity)


class SeparateBottleneck(torchvision.models.resnet.Bottleneck):
    """The same for the block of ResNet-50, with three ReLU modules."""

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu2(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))))
        return self.relu_out(self.bn3(self.conv3(out)) + identity)


def network(case: Case) -> nn.Module:
    if case.arch == "detr_r50":
        return Detr()
    if case.arch.startswith("timm:"):
        import timm

        size = {"img_size": case.size} if "dinov2" in case.arch else {}
        made: nn.Module = timm.create_model(case.arch.removeprefix("timm:"), num_classes=10, **size)
        return made
    return torchvision.models.get_model(case.arch, weights=None, num_classes=max(case.outputs, 10))


def build(case: Case) -> nn.Module:
    torch.manual_seed(0)
    if case.arch == "fashion_cnn":
        return FashionCnn().eval()
    model = network(case).eval()
    for module in model.modules():  # torchvision's ViT and timm's Hiera start with a head of zeros
        if isinstance(module, nn.Linear) and not module.weight.any():
            nn.init.normal_(module.weight, std=0.02)
    return model


def edited(model: nn.Module) -> nn.Module:
    """A model that hooks on modules can follow."""
    for module in model.modules():
        if hasattr(module, "inplace"):
            module.inplace = False
        if isinstance(module, torchvision.models.resnet.BasicBlock):
            module.__class__ = SeparateBlock
            module.relu_out = nn.ReLU()
        if isinstance(module, torchvision.models.resnet.Bottleneck):
            module.__class__ = SeparateBottleneck
            module.relu2, module.relu_out = nn.ReLU(), nn.ReLU()
    return model


def inputs(case: Case) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    channels = 1 if case.arch == "fashion_cnn" else 3
    shape = (case.references + case.images, channels, case.size, case.size)
    coarse = torch.randn(*shape[:2], 8, 8, generator=generator)
    pictures = F.interpolate(coarse, size=shape[2:], mode="bilinear") + 0.2 * torch.randn(
        shape, generator=generator
    )
    return pictures[: case.references], pictures[case.references :]


def run_ours(case: Case) -> dict[str, float]:
    from shapsight import DeepShap

    model, (references, images) = build(case), inputs(case)
    columns = list(range(case.outputs))
    gap = 0.0

    def ours() -> None:
        nonlocal gap
        explanation = DeepShap(model, references)(images, columns, on_gap="ignore")
        change = (explanation.predictions - explanation.base_values).abs().max()
        gap = (explanation.completeness_gap.abs().max() / change).item()

    before = peak()
    times = [timed(ours)]
    memory = peak() - before
    frozen = build(case)
    for parameter in frozen.parameters():
        parameter.requires_grad_(False)

    def yardstick(way: tuple[bool, int]) -> float:
        return timed(lambda: autograd(frozen, references, images, case, *way))

    bare = {(last, chunk): yardstick((last, chunk)) for last in (False, True) for chunk in {4, case.chunk}}
    fastest = min(bare, key=lambda way: bare[way])
    yardsticks = [bare[fastest]]
    for _ in range(2):
        times.append(timed(ours))
        yardsticks.append(yardstick(fastest))
    ratio = statistics.median(t / y for t, y in zip(times, yardsticks, strict=True))
    return {
        "seconds": statistics.median(times),
        "yardstick": statistics.median(yardsticks),
        "over_yardstick": ratio,
        "gigabytes": memory,
        "gap": gap,
    }


def autograd(
    model: nn.Module, references: Tensor, images: Tensor, case: Case, is_channels_last: bool, size: int
) -> None:
    layout = torch.channels_last if is_channels_last else torch.contiguous_format
    model.to(memory_format=layout)
    for chunk in references.split(size):
        leaf = chunk.clone(memory_format=layout).requires_grad_()
        predictions = model(leaf)
        for _ in range(len(images)):
            for column in range(case.outputs):
                torch.autograd.grad(predictions[:, column].sum(), leaf, retain_graph=True)


def run_shap(case: Case) -> dict[str, float]:
    import shap  # noqa: F401 (what the library itself holds is no part of the peak)

    return _run_theirs(case, by_shap)


def run_captum(case: Case) -> dict[str, float]:
    import captum.attr  # noqa: F401

    return _run_theirs(
        case, lambda model, references, images: by_captum(model, references, images, case.outputs)
    )


def _run_theirs(case: Case, explain: Callable[[nn.Module, Tensor, Tensor], Tensor]) -> dict[str, float]:
    model, (references, images) = FirstOutputs(edited(build(case)), case.outputs), inputs(case)
    before = peak()
    sums: list[Tensor] = []
    seconds = timed(lambda: sums.append(explain(model, references, images)))
    memory = peak() - before
    return {
        "seconds": seconds,
        "gigabytes": memory,
        "gap": completeness(model, references, images, sums[0]),
    }


def by_shap(model: nn.Module, references: Tensor, images: Tensor) -> Tensor:
    """The sums of shap's values, `(images, outputs)`, on the images' device."""
    import shap

    values = shap.DeepExplainer(model, references).shap_values(images, check_additivity=False)
    return torch.as_tensor(values).sum((1, 2, 3)).to(images.device)


def by_captum(model: nn.Module, references: Tensor, images: Tensor, outputs: int) -> Tensor:
    """The sums of captum's values, `(images, outputs)`."""
    from captum.attr import DeepLiftShap

    explainer = DeepLiftShap(model)
    columns = [explainer.attribute(images, references, target=t).detach() for t in range(outputs)]
    return torch.stack([values.sum((1, 2, 3)) for values in columns], 1)


class FirstOutputs(nn.Module):
    """shap explains every output, so it gets a model that has no more than are asked for."""

    def __init__(self, model: nn.Module, outputs: int) -> None:
        super().__init__()
        self.model, self.outputs = model, outputs

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images)[:, : self.outputs]


def completeness(model: nn.Module, references: Tensor, images: Tensor, sums: Tensor) -> float:
    with torch.inference_mode():
        change = model(images) - torch.cat([model(chunk) for chunk in references.split(16)]).mean(0)
    return ((sums - change).abs().max() / change.abs().max()).item()


def timed(function: Callable[[], None]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def peak() -> float:
    """Peak resident memory of this process so far, in gigabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def run_scaling(case: Case) -> dict[str, float]:
    from shapsight import DeepShap

    model, (references, images) = build(case), inputs(case)
    before = peak()
    seconds = timed(lambda: DeepShap(model, references)(images, 0, on_gap="ignore"))
    return {"seconds": seconds, "gigabytes": peak() - before}


CONTESTANTS = {"shapsight": run_ours, "shap": run_shap, "captum": run_captum}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--case", nargs="+", choices=CASES, default=["steering"])
    parser.add_argument("--skip", nargs="+", choices=CONTESTANTS, default=[])
    parser.add_argument("--threads", type=int, default=0, help="torch's threads; 0 leaves its own choice")
    parser.add_argument("--references", type=int, default=0, help="instead of the case's own number")
    parser.add_argument("--one", nargs=2, metavar=("CONTESTANT", "CASE"), help=argparse.SUPPRESS)
    parser.add_argument("--scaling", action="store_true", help="one image, 16 to 256 references, ResNet-18")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.one:
        warnings.simplefilter("ignore")
        contestant, case = options.one
        if contestant == "scaling":
            result = run_scaling(Case("resnet18", images=1, outputs=1, references=int(case)))
        else:
            chosen = CASES[case]
            if options.references:
                chosen = replace(chosen, references=options.references)
            result = CONTESTANTS[contestant](chosen)
        print(json.dumps(result))
        return
    if options.scaling:
        scaling(options)
        return
    for name in options.case:
        print(f"\n{name}: {CASES[name]}, {options.threads or torch.get_num_threads()} threads, CPU")
        compare(name, options)


def compare(name: str, options: argparse.Namespace) -> None:
    ours: dict[str, float] = {}
    for contestant in (c for c in CONTESTANTS if c not in options.skip):
        command = [sys.executable, __file__, "--one", contestant, name]
        command += ["--threads", str(options.threads), "--references", str(options.references)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            print(f"{contestant:10} failed: {result.stderr.strip().splitlines()[-1]}")
            continue
        row = json.loads(result.stdout.strip().splitlines()[-1])
        ours = ours or row
        line = f"{contestant:10} {row['seconds']:8.1f} s  {row['gigabytes']:6.2f} GB over the libraries"
        line += f"  gap {row['gap']:.1e}"
        if "over_yardstick" in row:
            line += f"  {row['over_yardstick']:.2f} x autograd ({row['yardstick']:.1f} s)"
        elif "over_yardstick" in ours:
            line += f"  {row['seconds'] / ours['seconds']:.1f} x shapsight's time"
        print(line, flush=True)


def scaling(options: argparse.Namespace) -> None:
    """Each number of references in a process of its own."""
    for references in (16, 32, 64, 128, 256):
        command = [
            sys.executable,
            __file__,
            "--one",
            "scaling",
            str(references),
            "--threads",
            str(options.threads),
        ]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        row = json.loads(result.stdout.strip().splitlines()[-1])
        per_reference = 1000 * row["seconds"] / references
        print(
            f"{references:4d} references {row['seconds']:7.2f} s  {per_reference:6.1f} ms each  "
            f"{row['gigabytes']:5.2f} GB over the libraries",
            flush=True,
        )


if __name__ == "__main__":
    main()
