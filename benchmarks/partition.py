"""PartitionShap against shap and against the bare model, in turn, in one process.

    python benchmarks/partition.py                                     # both models, three maskers, 500 evaluations
    python benchmarks/partition.py --models squeezenet1_1 --weights squeezenet1_1_imagenet.safetensors
    python benchmarks/partition.py --maskers inpaint_telea --evaluations 100 --images 1
    python benchmarks/partition.py --size 1024 --skip shap --evaluations 60     # memory on large images

The yardstick is the bare model: as many images as there are evaluations, by the best of the usual float32 ways (batches
of 10, 25 and 50, contiguous or channels_last, under inference_mode), chosen by a short trial beforehand. The model's
weights are laid out in that way for everybody. For each image the contestants run one after another, so that all see
the same machine; ratios are of sums over the images. shap's set-up (its tree and mask matrix, once for each size) is
told apart from its explanations; ours has none. Seconds of processors tell where others use the machine, too: there
threads that wait for one another take longer. Memory is the peak of resident memory over what was in use before.
`--bfloat16` adds ours under autocast, with the difference that it makes to the values.
"""

from __future__ import annotations

import argparse
import ctypes
import ctypes.util
import functools
import itertools
import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from shapsight.attribution.maskers import as_masker
from shapsight.attribution.partition import PartitionShap
from shapsight.attribution.shared.game import Game
from shapsight.attribution.shared.predictor import Predictor

MODELS = ("resnet50", "squeezenet1_1")
MASKERS = ("blur(128,128)", "inpaint_telea", "inpaint_diffuse")
SHAP_MASKERS = ("blur", "inpaint_telea", "inpaint_ns")  # those that shap has, too
BATCH = 50
OUTPUTS = [0, 1, 2, 3]


class Pixels(nn.Module):
    """A network with ImageNet's normalisation before it, for pixels from 0 to 255."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor([123.675, 116.28, 103.53]).reshape(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([58.395, 57.12, 57.375]).reshape(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        return self.network((images - self.mean) / self.std)


@dataclass
class Cost:
    """What one contestant took, image after image."""

    seconds: float = 0.0
    processor: float = 0.0
    set_up: float = 0.0
    gigabytes: float = 0.0

    @contextmanager
    def counting(self) -> Iterator[None]:
        before = forget_peak()
        start, processor = time.perf_counter(), time.process_time()
        yield
        self.seconds += time.perf_counter() - start
        self.processor += time.process_time() - processor
        self.gigabytes = max(self.gigabytes, status("VmHWM") - before)


def forget_peak() -> float:
    """Hand free memory back, start the peak anew, and say what is in use, in gigabytes (Linux only)."""
    ctypes.CDLL(ctypes.util.find_library("c")).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return status("VmRSS")


def status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1e6


def build(name: str, weights: str | None) -> nn.Module:
    torch.manual_seed(0)
    network = torchvision.models.get_model(name, weights=None)
    if weights and name in Path(weights).name:
        from safetensors.torch import load_file

        network.load_state_dict({key: tensor.float() for key, tensor in load_file(weights).items()})
    return Pixels(network).eval()


def photographs(count: int, size: int, folder: str | None) -> Tensor:
    """Photographs from a folder, or smooth random pictures: whole numbers from 0 to 255, as floats."""
    if folder:
        paths = sorted(Path(folder).glob("*.jpg"))[:count]
        read = [torchvision.io.decode_image(str(path), "RGB").float() for path in paths]
        crops = [F.interpolate(i[None], size=(size, size), mode="bilinear", antialias=True)[0] for i in read]
        return torch.stack(crops).round()
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(count, 3, 12, 12, generator=generator)
    return (F.interpolate(coarse, size=(size, size), mode="bicubic").clamp(0, 1) * 255).round()


def wall(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def best_way(
    model: nn.Module,
    image: Tensor,
    timed: Callable[[Callable[[], object]], float] = wall,
    batches: tuple[int, ...] = (10, 25, 50),
) -> tuple[int, torch.memory_format]:
    """The batch size and layout in which the bare model is quickest; leaves the weights in that layout."""
    ways = list(itertools.product(batches, (torch.channels_last, torch.contiguous_format)))
    most = max(batches)
    seconds = []
    for batch, layout in ways:
        model.to(memory_format=layout)
        bare(model, image, batch, batch, layout)  # the first call of a shape chooses how it is computed
        seconds.append(timed(functools.partial(bare, model, image, most, batch, layout)))
    batch, layout = ways[int(np.argmin(seconds))]
    model.to(memory_format=layout)
    return batch, layout


def bare(model: nn.Module, image: Tensor, count: int, batch: int, layout: torch.memory_format) -> None:
    images = image.expand(min(batch, count), -1, -1, -1).contiguous(memory_format=layout)
    with torch.inference_mode():
        for first in range(0, count, batch):
            model(images[: count - first])


def ours(
    model: nn.Module, masker: str, image: Tensor, count: int, precision: str | None = None, batch: int = BATCH
) -> None:
    explainer = PartitionShap(
        model, masker, "axis", count, batch_size=batch, contexts="both", precision=precision
    )
    explainer(image.unsqueeze(0), OUTPUTS)


def by_shap(model: nn.Module, masker: str, image: Tensor, count: int, cost: Cost) -> None:
    import shap

    def predict(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():  # the arrays have channels last in memory, as the quickest way does
            tensor = torch.from_numpy(images).to(image.device).permute(0, 3, 1, 2)
            return model(tensor).cpu().numpy()

    array = image.permute(1, 2, 0).contiguous().cpu().numpy()[None]
    start, processor = time.perf_counter(), time.process_time()
    explainer = shap.PartitionExplainer(predict, shap.maskers.Image(masker, array[0].shape))
    set_up = time.perf_counter() - start
    cost.set_up = max(cost.set_up, set_up)
    cost.processor -= time.process_time() - processor
    explainer(array, max_evals=count, batch_size=BATCH, outputs=OUTPUTS, silent=True)
    cost.seconds -= set_up


def compare(name: str, masker: str, options: argparse.Namespace) -> None:
    model = build(name, options.weights)
    batch, layout = best_way(model, torch.zeros(3, options.size, options.size))
    images, count = photographs(options.images, options.size, options.photographs), options.evaluations
    costs = {"model": Cost(), "shapsight": Cost()}
    has_shap = "shap" not in options.skip and masker.startswith(SHAP_MASKERS)
    costs |= {"bfloat16": Cost()} if options.bfloat16 else {}
    costs |= {"shap": Cost()} if has_shap else {}
    runs: dict[str, Callable[[Tensor], object]] = {
        "model": lambda image: bare(model, image, count, batch, layout),
        "shapsight": lambda image: ours(model, masker, image, count),
        "bfloat16": lambda image: ours(model, masker, image, count, "bfloat16"),
        "shap": lambda image: by_shap(model, masker, image, count, costs["shap"]),
    }
    for image in images:
        for contestant, cost in costs.items():
            with cost.counting():
                runs[contestant](image)
    print(
        f"\n{name}, {masker}, {options.size} × {options.size}, {len(images)} images, {count} evaluations each"
    )
    print(f"bare model: batches of {batch}, {str(layout).removeprefix('torch.')}")
    for contestant, cost in costs.items():
        line = f"{contestant:10} {cost.seconds:8.1f} s  {cost.seconds / costs['model'].seconds:5.2f} x model"
        if has_shap:
            line += f"  {costs['shap'].seconds / cost.seconds:5.2f} x as fast as shap"
        line += f"  {cost.gigabytes:5.2f} GB  {cost.processor:6.1f} s of processors"
        print(line + (f"  and {cost.set_up:.1f} s set-up" if cost.set_up else ""), flush=True)
    if options.bfloat16:
        print(f"bfloat16 moves the values by {moved(model, masker, images[0]):.1%} of their spread at most")


def moved(model: nn.Module, masker: str, image: Tensor) -> float:
    generator = torch.Generator().manual_seed(0)
    cells = (torch.rand(20, 1, 7, 7, generator=generator) > 0.5).float()
    game = Game(Predictor(model, precision="bfloat16"), as_masker(masker), image)
    return game.precision_difference(F.interpolate(cells, size=image.shape[1:]).bool())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--maskers", nargs="+", default=MASKERS)
    parser.add_argument("--evaluations", type=int, default=500)
    parser.add_argument("--images", type=int, default=2)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--weights", help="safetensors of a model, which has its name in the file's")
    parser.add_argument(
        "--photographs", help="a folder of .jpg; without it the pictures are random and smooth"
    )
    parser.add_argument("--skip", nargs="+", choices=["shap"], default=[])
    parser.add_argument("--bfloat16", action="store_true")
    parser.add_argument("--threads", type=int, default=0, help="torch's threads; 0 leaves its own choice")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    warnings.filterwarnings("ignore", module=r"shap|matplotlib|numba")
    print(f"{torch.get_num_threads()} threads on {os.cpu_count()} processors")
    for name, masker in itertools.product(options.models, options.maskers):
        compare(name, masker, options)


if __name__ == "__main__":
    main()
