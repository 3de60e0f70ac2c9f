"""How long a diagnosis takes: every part on 100 images of 224 × 224, ResNet-18, and DeepSHAP with 50 references.

    python benchmarks/diagnosis.py                              # all parts
    python benchmarks/diagnosis.py --arch squeezenet1_1 --only trust,look

Beside each part stand the images that the model was asked about, forward only and with gradients, and what as many
bare passes would have taken: what is left is the part's own work. DeepSHAP is timed on a few images, which are then
repeated: what a part costs does not depend on what they show. The work of each part (processor time) is also given in
DeepSHAP explanations of an image: on a machine that is busy with other things that ratio holds, and seconds do not.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from shapsight import DeepShap
from shapsight.data.manifest import Manifest
from shapsight.diagnosis.prediction_errors import predict_table
from shapsight.models.build import build_model
from shapsight.models.bundle import Bundle, weights_hash
from shapsight.models.card import Card
from shapsight.studies.diagnose.case import Case, silent
from shapsight.studies.diagnose.explanations import CHUNK
from shapsight.studies.diagnose.parts import PARTS

DISTINCT = CHUNK
ENVIRONMENTS = ("room_1", "room_2", "room_3")


def smooth_noise(count: int, size: int, seed: int) -> Tensor:
    """8-bit pictures with the large shapes that photographs have."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, size // 16, size // 16, generator=generator)
    return (
        torch.nn.functional.interpolate(coarse, size=(size, size), mode="bicubic").clamp(0, 1) * 255
    ).byte()


def bundle_of(arch: str, size: int, references: int) -> Bundle:
    torch.manual_seed(0)
    built = build_model(arch, 1, weights="none")
    card = Card(
        built.arch, ("x",), {"x": "half widths"}, size, built.mean, built.std, model_hash=weights_hash(built.model)
    )  # fmt: skip
    return Bundle(built.model, card, smooth_noise(references, size, 1))


@dataclasses.dataclass
class Passes:
    """How many images went through a model, forward only and with gradients; DeepSHAP carries references along."""

    forward: int = 0
    with_gradients: int = 0

    def watch(self, model: torch.nn.Module) -> None:
        model.register_forward_pre_hook(self._count)

    def _count(self, _: torch.nn.Module, given: tuple[Tensor, ...]) -> None:
        if torch.is_grad_enabled():
            self.with_gradients += len(given[0])
        else:
            self.forward += len(given[0])

    def since(self, before: "Passes") -> "Passes":
        return Passes(self.forward - before.forward, self.with_gradients - before.with_gradients)


def cost_of(model: torch.nn.Module, size: int, batch: int = 8) -> tuple[float, float]:
    """Processor seconds of an image, forward, and forward and backward to the image; the best of ten runs."""
    images = torch.randn(batch, 3, size, size)
    found = []
    for grad in (False, True):
        spent = []
        for _ in range(10):
            started = Spent.now()
            with torch.set_grad_enabled(grad):
                out = model(images.requires_grad_(grad))
                if grad:
                    torch.autograd.grad(out.sum(), images)
            spent.append(started.since().work / batch)
        found.append(min(spent))
    return found[0], found[1]


@dataclasses.dataclass
class Spent:
    """Seconds on the clock and of the processors."""

    clock: float
    work: float

    @classmethod
    def now(cls) -> "Spent":
        return cls(time.perf_counter(), time.process_time())

    def since(self) -> "Spent":
        now = Spent.now()
        return Spent(now.clock - self.clock, now.work - self.work)


def case_of(bundle: Bundle, images: int) -> tuple[Case, Spent]:
    """A case of so many images, and what DeepSHAP takes for one of them."""
    size = bundle.card.input_size
    some = smooth_noise(DISTINCT, size, 2)
    explainer = DeepShap(bundle.model, bundle.prepare(bundle.references), output_names=("x",))
    explainer(bundle.prepare(some[:1]), ["x"])
    started = Spent.now()  # as the job does it: so many images in one call, after a first one
    explanation = explainer(bundle.prepare(some), ["x"], show=some.float() / 255)
    spent = started.since()
    numbers = torch.arange(images) % DISTINCT
    table = pd.DataFrame({"path": [f"{n}.jpg" for n in range(images)]}).assign(
        environment=np.resize(ENVIRONMENTS, images), split="unseen", width=size, height=size,
        x=np.random.default_rng(0).uniform(-1, 1, images),
    )  # fmt: skip
    skipped = pd.DataFrame({"path": [], "reason": []})
    manifest = Manifest(Path(), table, ("x",), skipped, train_on=ENVIRONMENTS[:1])
    masks = np.zeros((images, size, size), bool)
    masks[:, size // 2 :] = True
    pictures = some[numbers]
    rows = predict_table(bundle, manifest, pictures)
    case = Case(bundle, manifest, rows, pictures, masks, explanation.select(images=numbers), ("x",))
    return case, Spent(spent.clock / DISTINCT, spent.work / DISTINCT)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--arch", default="resnet18")
    parser.add_argument("--references", type=int, default=50)
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    bundle = bundle_of(arguments.arch, arguments.size, arguments.references)
    forward, both = cost_of(bundle.model, arguments.size)
    print(
        f"{arguments.arch}: {1000 * forward:.1f} ms forward, {1000 * both:.1f} ms forward and backward, an image"
    )
    case, each = case_of(bundle, arguments.images)
    passes = Passes()
    passes.watch(bundle.model)
    explaining = each.clock * arguments.images
    print(f"DeepSHAP of {arguments.images} images: {explaining:.0f} s, {each.clock:.2f} s each", flush=True)
    clock, images = explaining, float(arguments.images)
    for name in arguments.only.split(","):
        started, before = Spent.now(), dataclasses.replace(passes)
        findings = PARTS[name].find(case, silent)
        spent, asked = started.since(), passes.since(before)
        bare = asked.forward * forward + asked.with_gradients * both
        clock, images = clock + spent.clock, images + spent.work / each.work
        left = f"; left out: {' '.join(findings.left_out)}" if findings.left_out else ""
        print(
            f"{name}: {spent.clock:.0f} s, {spent.work:.0f} s of processors, as DeepSHAP of "
            f"{spent.work / each.work:.0f} images; {asked.forward} images forward and {asked.with_gradients} with "
            f"gradients would take {bare:.0f} s{left}",
            flush=True,
        )
    print(f"together {clock / 60:.1f} minutes, as DeepSHAP of {images:.0f} images")


if __name__ == "__main__":
    main()
