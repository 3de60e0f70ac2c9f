"""Everything there is to know about shapsight on a GPU, in one command of at most eight minutes; nothing is downloaded.

    python benchmarks/gpu.py --out gpu                          # on the card: gpu/gpu.md and gpu/gpu.json
    python benchmarks/gpu.py --out gpu --device cpu --quick     # whether it works at all, on any machine
    python benchmarks/gpu.py --out gpu --sections speed waits   # some of it

Sections, in this order; each line is written as soon as it is there, and what no longer fits is listed as skipped:
    speed      DeepShap with 100 references and GradientShap: beside plain autograd, shap and captum on the same device
    partition  PartitionShap with 500 evaluations: beside the bare model and shap
    waits      how often the processor waits for the device, for each image, chunk and call, and in which line
    accuracy   20 networks: completeness and distance from float64, on processor and card, with and without TF32
    sweep      how many references, points or masked images at a time are quickest, and what they take of memory
    host       what Python does meanwhile, by function

Weights are random, calibrated as in zoo.py where accuracy is meant; pictures are smooth and random, or photographs.
Seconds are medians of whole calls, the device waited for before and after, the first call not counted. "float32" is
without TF32; "TF32" allows it in convolutions and in products of matrices (torch's own default allows it in
convolutions only). shap and captum may be missing; each gets one run beyond the first, and no more than its time.
"""

from __future__ import annotations

import argparse
import cProfile
import functools
import importlib
import json
import math
import os
import platform
import pstats
import signal
import statistics
import subprocess
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import deep
import gradient
import partition
import torch
import torchvision
import waits
import zoo
from torch import Tensor, nn

from shapsight import DeepShap, Explanation, GradientShap, PartitionShap, RegionShap
from shapsight.attribution.deep import explainer as deep_explainer
from shapsight.attribution.maskers import as_masker
from shapsight.attribution.partition.shares import painted
from shapsight.attribution.shared import memory
from shapsight.attribution.shared.game import distinct
from shapsight.attribution.trees import as_tree

NETWORKS = (
    "torchvision/resnet18",
    "timm/deit_tiny_patch16_224",
    "torchvision/convnext_tiny",
    "torchvision/swin_t",
    "torchvision/efficientnet_b0",
    "torchvision/mobilenet_v3_large",
    "torchvision/densenet121",
    "torchvision/inception_v3",
    "torchvision/vit_b_16",
    "torchvision/resnet50",
    "torchvision/squeezenet1_1",
    "torchvision/shufflenet_v2_x1_0",
    "torchvision/regnet_y_400mf",
    "torchvision/googlenet",
    "timm/mobilevit_s",
    "timm/poolformer_s12",
    "timm/levit_128s",
    "timm/mixer_s32_224",
    "timm/xcit_nano_12_p16_224",
    "timm/maxvit_rmlp_pico_rw_256",
)
SPEED = {
    "steering": deep.CASES["steering"],
    "resnet50": deep.Case("resnet50", images=2, outputs=2, references=100),
    "vit_b_16": deep.Case("vit_b_16", images=2, outputs=2, references=100),
    "convnext_tiny": deep.Case("convnext_tiny", images=2, outputs=2, references=100),
}
PRECISIONS = {"float32": False, "TF32": True}
MASKERS = ("blur(128,128)", "inpaint_diffuse", "inpaint_telea")


def main() -> None:
    options = _options()
    warnings.filterwarnings("ignore")
    if options.register:
        importlib.import_module(options.register)
        # A device written in Python cannot make views of tensors from inference mode.
        torch.inference_mode = lambda mode=True: torch.no_grad() if mode else nullcontext()  # type: ignore
    bench = Bench(torch.device(options.device), options)
    bench.write()
    for name in options.sections:
        try:
            SECTIONS[name](bench)
        except (
            Exception,
            OutOfTime,
        ) as error:  # what one section meets must not keep the others from running
            bench.failed(name, error)
    bench.finish()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("gpu"), help="folder for gpu.md and gpu.json")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--minutes", type=float, default=8, help="what no longer fits is skipped")
    parser.add_argument("--quick", action="store_true", help="tiny pictures and counts: does it run?")
    parser.add_argument("--photographs", help="a folder of .jpg, instead of random pictures")
    parser.add_argument("--networks", default="", help="only networks of `accuracy` with this in their name")
    parser.add_argument("--register", help="a module that makes the device known when it is imported")
    return parser.parse_args()


class OutOfTime(BaseException):
    """A step took longer than it may. No `Exception`: what is being run must not take it for an error of its own."""


@dataclass
class Bench:
    """The device, what is asked for, and what came out so far."""

    device: torch.device
    options: argparse.Namespace
    start: float = field(default_factory=time.monotonic)
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)

    @functools.cached_property
    def about(self) -> dict[str, Any]:
        return about(self.device)

    @property
    def is_quick(self) -> bool:
        return bool(self.options.quick)

    @property
    def left(self) -> float:
        return self.options.minutes * 60 - (time.monotonic() - self.start)

    def row(self, table: str, **cells: Any) -> None:
        """A line of a table, written at once."""
        self.tables.setdefault(table, []).append(cells)
        shown = "  ".join(f"{name}={_cell(value)}" for name, value in cells.items())
        print(f"[{time.monotonic() - self.start:5.0f} s] {table}: {shown}", flush=True)
        self.write()

    def note(self, table: str, text: str) -> None:
        """A sentence below a table."""
        if text not in self.notes.setdefault(table, []):
            self.notes[table].append(text)
            print(f"[{time.monotonic() - self.start:5.0f} s] {table}: {text}", flush=True)
        self.write()

    def failed(self, what: str, error: BaseException) -> None:
        """One failure: printed whole, kept in a sentence."""
        if not isinstance(error, OutOfTime | ImportError):
            traceback.print_exception(error)
        self.skipped.append(f"{what}: {_in_short(error)}")
        print(f"[{time.monotonic() - self.start:5.0f} s] FAILED {self.skipped[-1]}", flush=True)
        self.empty()
        self.write()

    @contextmanager
    def step(self, what: str, cap: float) -> Iterator[None]:
        """Run something for at most `cap` seconds and what is left; skip it, and say so, where nothing is."""
        if self.left < 2:
            raise OutOfTime(f"no time left for {what}")
        with limited(min(cap, self.left)):
            yield

    def attempt(self, what: str, function: Callable[[], Any], cap: float = 60) -> Any:
        """What a function returns, or None and a line in the list of failures."""
        try:
            with self.step(what, cap):
                return function()
        except (Exception, OutOfTime) as error:
            self.failed(what, error)
            return None

    def wait(self) -> None:
        if self.device.type in ("cuda", "mps", "xpu"):
            getattr(torch, self.device.type).synchronize()

    def empty(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def seconds(self, function: Callable[[], object]) -> float:
        """Of one call, with the device waited for before and after."""
        self.wait()
        start = time.perf_counter()
        function()
        self.wait()
        return time.perf_counter() - start

    def cost(self, function: Callable[[], object], repeats: int = 3) -> tuple[float, float]:
        """Median seconds after a first call that is not counted, and the peak of the device's memory in gigabytes."""
        first = self.seconds(function)
        if self.is_quick:
            return first, math.nan
        self.empty()
        before = self.forget_peak()
        times = [self.seconds(function) for _ in range(repeats)]
        return statistics.median(times), self.peak() - before

    def forget_peak(self) -> float:
        if self.device.type != "cuda":
            return math.nan
        torch.cuda.reset_peak_memory_stats(self.device)
        return torch.cuda.memory_allocated(self.device) / 1e9

    def peak(self) -> float:
        return torch.cuda.max_memory_allocated(self.device) / 1e9 if self.device.type == "cuda" else math.nan

    def pictures(self, count: int, size: int) -> Tensor:
        """Prepared as for a network: photographs, one after another, or random ones; on the processor."""
        if not self.options.photographs:
            return zoo.pictures(count, size, torch.Generator().manual_seed(1))
        found = partition.photographs(count, size, self.options.photographs)
        pixels = found[torch.arange(count) % len(found)] / 255
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
        return (pixels - mean) / std

    def write(self) -> None:
        self.options.out.mkdir(parents=True, exist_ok=True)
        facts = self.about | {
            "command": " ".join(["python", *sys.argv]),
            "seconds": round(time.monotonic() - self.start),
        }
        held = {"about": facts, "tables": self.tables, "notes": self.notes, "skipped": self.skipped}
        for name, text in (
            ("gpu.json", json.dumps(held, indent=1, default=str)),
            ("gpu.md", self.page(facts)),
        ):
            partial = self.options.out / f"{name}.part"
            partial.write_text(text)
            partial.replace(self.options.out / name)

    def page(self, facts: dict[str, Any]) -> str:
        lines = ["# shapsight on a GPU", "", f"    {facts['command']}", ""]
        lines += [f"- {name}: {value}" for name, value in facts.items() if name != "command"]
        for table in {**self.tables, **self.notes}:
            rows = self.tables.get(table, [])
            names = list({name: None for row in rows for name in row})
            lines += ["", f"## {table}", ""]
            if rows:
                lines += [_table_line(names), _table_line(["---"] * len(names))]
                lines += [_table_line([_cell(row.get(name, "")) for name in names]) for row in rows]
            lines += ["", *self.notes.get(table, [])] if table in self.notes else []
        if self.skipped:
            lines += ["", "## Skipped or failed", "", *(f"- {line}" for line in self.skipped)]
        return "\n".join(lines) + "\n"

    def finish(self) -> None:
        self.write()
        print("\n" + (self.options.out / "gpu.md").read_text(), flush=True)


def about(device: torch.device) -> dict[str, Any]:
    """The machine and the versions."""
    facts: dict[str, Any] = {"device": str(device)}
    if device.type == "cuda":
        card = torch.cuda.get_device_properties(device)
        facts["device"] = f"{card.name}, {card.total_memory / 2**30:.0f} GiB"
        facts["cuda"] = f"{torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
    facts["processor"] = f"{os.cpu_count()} cores, {torch.get_num_threads()} threads"
    facts["versions"] = ", ".join(
        [
            f"Python {platform.python_version()}",
            f"torch {torch.__version__}",
            f"torchvision {torchvision.__version__}",
            f"timm {zoo.timm.__version__}",
            *(f"{name} {_version(name)}" for name in ("shap", "captum")),
        ]
    )
    facts["commit"] = _commit()
    facts["date"] = datetime.now(UTC).date().isoformat()
    return facts


@functools.cache
def _version(name: str) -> str:
    try:
        return str(importlib.import_module(name).__version__)
    except Exception as error:  # one that is there and does not load is as good as missing
        return f"not installed ({_in_short(error)})"


def _commit() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _in_short(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _cell(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    if math.isnan(value):
        return "–"
    return f"{value:.1e}" if value and (abs(value) < 1e-3 or abs(value) >= 1e5) else f"{value:.3g}"


def _table_line(cells: list[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise `OutOfTime` after some seconds (where the system has alarms)."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        raise OutOfTime(f"more than {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def tf32(is_allowed: bool) -> Iterator[None]:
    """TF32 in convolutions and in products of matrices, or in neither."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = is_allowed
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


def cases(bench: Bench) -> dict[str, deep.Case]:
    """What DeepShap is timed on; with --quick so small that a processor has it in a second."""
    if not bench.is_quick:
        return SPEED
    return {
        name: replace(case, images=1, references=6, size=case.size if "vit" in name else 64, chunk=4)
        for name, case in SPEED.items()
    }


# --- speed ---------------------------------------------------------------------------------------------------------


def speed(bench: Bench) -> None:
    for name, case in cases(bench).items():
        for precision, is_allowed in PRECISIONS.items():
            with tf32(is_allowed):
                _deep_speed(bench, name, case, precision)
                if is_allowed or name == "steering":
                    _others_speed(bench, name, case, precision)
    for precision, is_allowed in PRECISIONS.items():
        with tf32(is_allowed):
            bench.attempt(f"gradient {precision}", functools.partial(_gradient_speed, bench, precision))


def _loaded(bench: Bench, case: deep.Case) -> tuple[nn.Module, Tensor, Tensor]:
    model = deep.build(case).to(bench.device).requires_grad_(False)
    pictures = bench.pictures(case.references + case.images, case.size).to(bench.device)
    return model, pictures[: case.references], pictures[case.references :]


def _deep_speed(bench: Bench, name: str, case: deep.Case, precision: str) -> None:
    def measure() -> None:
        model, references, images = _loaded(bench, case)
        last: list[Explanation] = []

        def ours() -> None:
            last[:] = [DeepShap(model, references)(images, list(range(case.outputs)), on_gap="ignore")]

        with amounts_chosen() as amounts:
            seconds, gigabytes = bench.cost(ours, 5)
        way, yardstick, bare_gigabytes = _fastest_autograd(bench, model, references, images, case)
        gap = last[0].completeness_gap.abs().max() / (last[0].predictions - last[0].base_values).abs().max()
        bench.row(
            "DeepShap",
            case=name,
            precision=precision,
            contestant="shapsight",
            seconds=seconds,
            **{"x autograd": seconds / yardstick},
            GB=gigabytes,
            gap=gap.item(),
            how=f"{amounts[-1].chunk} references and {amounts[-1].group} images at a time",
        )
        bench.row(
            "DeepShap",
            case=name,
            precision=precision,
            contestant="autograd",
            seconds=yardstick,
            **{"x autograd": 1.0},
            GB=bare_gigabytes,
            how=f"{way[1]} at a time, {'channels last' if way[0] else 'contiguous'}",
        )

    bench.attempt(f"DeepShap {name} {precision}", measure, 90)


def _fastest_autograd(
    bench: Bench, model: nn.Module, references: Tensor, images: Tensor, case: deep.Case
) -> tuple[tuple[bool, int], float, float]:
    def run(way: tuple[bool, int]) -> Callable[[], None]:
        return lambda: deep.autograd(model, references, images, case, *way)

    sizes = {case.chunk} if bench.is_quick else {16, 50, 100}
    trials = {(last, size): bench.cost(run((last, size)), 1)[0] for last in (False, True) for size in sizes}
    way = min(trials, key=lambda tried: trials[tried])
    seconds, gigabytes = bench.cost(run(way), 5)
    return way, seconds, gigabytes


@contextmanager
def amounts_chosen() -> Iterator[list[memory.Budget]]:
    """The amounts that DeepShap works with at a time."""
    chosen: list[memory.Budget] = []
    choose = deep_explainer.budget

    def noted(*args: Any) -> memory.Budget:
        chosen.append(choose(*args))
        return chosen[-1]

    deep_explainer.budget = noted
    try:
        yield chosen
    finally:
        deep_explainer.budget = choose


def _others_speed(bench: Bench, name: str, case: deep.Case, precision: str) -> None:
    """shap and captum, on a model that was edited for them."""
    ours = next(
        (r for r in bench.tables.get("DeepShap", []) if (r["case"], r["precision"]) == (name, precision)),
        None,
    )
    contestants: dict[str, Callable[..., Tensor]] = {
        "shap": deep.by_shap,
        "captum": lambda *given: deep.by_captum(*given, case.outputs),
    }
    for contestant, explain in contestants.items():
        if "not installed" in (version := _version(contestant)):
            bench.note("DeepShap", f"{contestant}: {version}.")
            continue

        def measure(explain: Callable[..., Tensor] = explain, contestant: str = contestant) -> None:
            model = deep.FirstOutputs(deep.edited(deep.build(case)), case.outputs).to(bench.device)
            _, references, images = _loaded(bench, case)
            sums: list[Tensor] = []
            seconds, gigabytes = bench.cost(
                lambda: sums.__setitem__(slice(None), [explain(model, references, images)]), 1
            )
            bench.row(
                "DeepShap",
                case=name,
                precision=precision,
                contestant=contestant,
                seconds=seconds,
                **{"x shapsight": seconds / ours["seconds"] if ours else math.nan},
                GB=gigabytes,
                gap=deep.completeness(model, references, images, sums[0].to(images.dtype)),
            )

        bench.attempt(f"{contestant} {name} {precision}", measure, 30)


def _gradient_speed(bench: Bench, precision: str) -> None:
    samples, size, count = (8, 64, 3) if bench.is_quick else (200, 224, 25)
    torch.manual_seed(0)
    model = torchvision.models.resnet18(num_classes=2).eval().to(bench.device).requires_grad_(False)
    pictures = bench.pictures(count + 2, size).to(bench.device)
    references, images = pictures[2:], pictures[:2]
    layouts = (torch.contiguous_format, torch.channels_last)
    sizes = (8,) if bench.is_quick else (50, 100, 200)
    bare = {}
    for layout in layouts:
        model.to(memory_format=layout)
        for batch in sizes:
            run = lambda: gradient.autograd(model, images, samples, layout, batch)  # noqa: B023, E731
            bare[layout, batch] = bench.cost(run, 2)[0]
    model.to(memory_format=torch.contiguous_format)
    way = min(bare, key=lambda tried: bare[tried])
    seconds, gigabytes = bench.cost(
        lambda: GradientShap(model, references, samples)(images, on_gap="ignore"), 5
    )
    bench.row(
        "GradientShap",
        precision=precision,
        contestant="shapsight",
        seconds=seconds,
        **{"x autograd": seconds / bare[way]},
        GB=gigabytes,
    )
    bench.row(
        "GradientShap",
        precision=precision,
        contestant="autograd",
        seconds=bare[way],
        how=f"{way[1]} at a time, {str(way[0]).removeprefix('torch.')}",
    )
    if "not installed" in (version := _version("shap")):
        bench.note("GradientShap", f"shap: {version}.")
        return
    theirs, gigabytes = bench.cost(lambda: gradient.theirs(model, references, images, samples, 0), 1)
    bench.row(
        "GradientShap",
        precision=precision,
        contestant="shap",
        seconds=theirs,
        **{"x shapsight": theirs / seconds},
        GB=gigabytes,
    )


# --- partition -----------------------------------------------------------------------------------------------------


def partition_speed(bench: Bench) -> None:
    count, size = (40, 64) if bench.is_quick else (500, 224)
    masker_of = {masker: masker.replace("128", "32") if bench.is_quick else masker for masker in MASKERS}
    for name in ("squeezenet1_1",) if bench.is_quick else ("resnet50", "resnet18"):
        image = partition.photographs(1, size, bench.options.photographs)[0].to(bench.device)
        for precision, is_allowed in PRECISIONS.items():
            with tf32(is_allowed):
                cells = {"model": name, "precision": precision}
                model = partition.build(name, None).to(bench.device)
                bare = bench.attempt(
                    f"bare {cells}",
                    lambda: _bare_seconds(bench, cells, model, image, count),  # noqa: B023
                )
                for masker, text in masker_of.items():
                    _one_masker(bench, cells, masker, text, model, image, count, bare or math.nan)
    bench.attempt("masks", lambda: _mask_seconds(bench, size))


def _bare_seconds(bench: Bench, cells: dict[str, str], model: nn.Module, image: Tensor, count: int) -> float:
    """The model alone: the best of the usual ways, in whose layout it is left; and by batches as large as ours."""
    batches = (10, 40) if bench.is_quick else (25, 50, 100, 250)
    best, layout = partition.best_way(model, image, bench.seconds, batches)
    seconds = {}
    for batch in (best, partition.BATCH):
        run = functools.partial(partition.bare, model, image, count, batch, layout)
        seconds[batch], gigabytes = bench.cost(run, 3)
        who = f"the bare model, by {batch}, {str(layout).removeprefix('torch.')}"
        bench.row("PartitionShap", **cells, contestant=who, seconds=seconds[batch], GB=gigabytes)
    return seconds[best]


def _one_masker(
    bench: Bench,
    cells: dict[str, str],
    masker: str,
    text: str,
    model: nn.Module,
    image: Tensor,
    count: int,
    bare: float,
) -> None:
    def ours() -> float:
        repeats = 1 if "telea" in masker else 3
        seconds, gigabytes = bench.cost(lambda: partition.ours(model, text, image, count), repeats)
        bench.row(
            "PartitionShap",
            **cells,
            contestant=f"shapsight, {masker}",
            seconds=seconds,
            **{"x model": seconds / bare},
            GB=gigabytes,
        )
        return seconds

    seconds = bench.attempt(f"PartitionShap {cells} {masker}", ours)
    if not masker.startswith(partition.SHAP_MASKERS) or cells["precision"] == "float32":
        return
    if "not installed" in (version := _version("shap")):
        bench.note("PartitionShap", f"shap: {version}.")
        return

    def shap() -> None:
        cost = partition.Cost()
        whole = bench.seconds(lambda: partition.by_shap(model, text, image, count, cost))
        theirs = whole - cost.set_up  # its tree and mask matrix, once for each size
        bench.row(
            "PartitionShap",
            **cells,
            contestant=f"shap, {masker}",
            seconds=theirs,
            **{"x model": theirs / bare, "x shapsight": theirs / seconds if seconds else math.nan},
        )

    bench.attempt(f"shap {cells} {masker}", shap, 30)


def _mask_seconds(bench: Bench, size: int) -> None:
    """What goes around the model's calls, for one batch of 50 coalitions; it should be short beside the model's."""
    image = partition.photographs(1, size, None)[0].to(bench.device)
    node = as_tree("axis")(image)
    contexts = [()]
    for _ in range(6):  # as deep as the descent usually gets
        node = (node.halves() or (node, node))[0]
        contexts.append((*contexts[-1], node.halves()[1]))  # type: ignore[index]
    contexts = [context for context in contexts for _ in range(8)][:50]
    visible = painted(contexts, image.shape)
    bench.row(
        "Around a batch of 50",
        what="paint masks",
        seconds=bench.cost(lambda: painted(contexts, image.shape))[0],
    )
    bench.row(
        "Around a batch of 50",
        what="find equal coalitions",
        seconds=bench.cost(lambda: distinct(visible))[0],
    )
    for masker in ("blur(32,32)", "mean", "inpaint_diffuse", "inpaint_telea"):
        start = bench.cost(lambda: as_masker(masker).for_image(image))[0]  # noqa: B023
        hide = as_masker(masker).for_image(image)
        on_device = visible.to(image.device)
        seconds = bench.cost(lambda: hide(on_device))[0]  # noqa: B023
        bench.row(
            "Around a batch of 50",
            what=f"hide, {masker}",
            seconds=seconds,
            **{"once for an image": start, "made on": str(hide(on_device).device)},
        )
    bench.note(
        "Around a batch of 50", f"Masks are painted on {visible.device}; the image is on {image.device}."
    )


# --- waits ---------------------------------------------------------------------------------------------------------


class Counted(nn.Module):
    """A model whose calls are counted, outside of what the explainers restore."""

    calls: ClassVar[list[int]] = []

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        Counted.calls.append(len(images))
        return self.model(images)


def waiting(bench: Bench) -> None:
    size, count, samples, evaluations = (64, 4, 8, 40) if bench.is_quick else (224, 32, 100, 102)
    step = 2 if bench.is_quick else 50
    pictures = bench.pictures(2 * count + 2, size).to(bench.device)
    references, images = pictures[2:], pictures[:2]
    pixels = partition.photographs(2, size, bench.options.photographs).to(bench.device)
    torch.manual_seed(0)
    network = torchvision.models.resnet18(num_classes=2).eval().requires_grad_(False)
    model = Counted(network.to(bench.device))
    scaled = Counted(partition.Pixels(network).to(bench.device))
    blur = "blur(16,16)"

    def deepshap(number: int, rows: int) -> Callable[[], object]:
        return lambda: DeepShap(model, references[:rows])(images[:number], on_gap="ignore")

    def gradientshap(number: int, points: int) -> Callable[[], object]:
        explainer = GradientShap(model, references[:count], points, batch_size=step)
        return lambda: explainer(images[:number], on_gap="ignore")

    def partitionshap(masker: str) -> Callable[[int, int], Callable[[], object]]:
        def made(number: int, evals: int) -> Callable[[], object]:
            explainer = PartitionShap(scaled, masker, max_evals=evals, batch_size=step)
            return lambda: explainer(pixels[:number])

        return made

    def regionshap(number: int, columns: int) -> Callable[[], object]:
        explainer = RegionShap(scaled, blur, (2, columns), batch_size=step)
        return lambda: explainer(pixels[:number])

    small_regions, large_regions = (2, 3) if bench.is_quick else (4, 5)
    cases: dict[str, tuple[Callable[[int, int], Callable[[], object]], int, int]] = {
        "DeepShap": (deepshap, count, 2 * count),
        "GradientShap": (gradientshap, samples, 2 * samples),
        "PartitionShap, blur": (partitionshap(blur), evaluations, 2 * evaluations),
        "PartitionShap, diffuse": (partitionshap("inpaint_diffuse"), evaluations, 2 * evaluations),
        "PartitionShap, telea": (partitionshap("inpaint_telea"), evaluations, 2 * evaluations),
        "RegionShap, blur": (regionshap, small_regions, large_regions),
    }
    for name, (make, less, more) in cases.items():
        bench.attempt(f"waits of {name}", lambda: _count_waits(bench, name, make, less, more), 60)  # noqa: B023
    bench.note("Waits", _how_counted(bench.device))


def _how_counted(device: torch.device) -> str:
    if device.type == "cuda":
        return (
            "A row is one run, and what one image more, and one call of the model more, add to it. Stream waits are "
            "cudaStreamSynchronize; busy is the share of the time in which the card computed, under the profiler."
        )
    return f"{device.type} has no CUDA profiler: only the lines that would wait on a GPU are counted."


def _count_waits(
    bench: Bench, name: str, make: Callable[[int, int], Callable[[], object]], less: int, more: int
) -> None:
    runs = {"one image": make(1, less), "two images": make(2, less), "one image, more": make(1, more)}
    lines, calls = {}, {}
    for what, run in runs.items():
        run()  # the first call loads libraries and allocates
        Counted.calls.clear()
        with waits.waiting_lines(bench.device) as found:
            run()
        lines[what], calls[what] = found, len(Counted.calls)
    base, extra = calls["one image"], max(1, calls["one image, more"] - calls["one image"])
    for line in sorted(lines["two images"], key=lambda key: -lines["one image, more"][key]):
        per = {what: lines[what][line] for what in runs}
        bench.row(
            "Lines that wait",
            explainer=name,
            line=line,
            **per,
            **{
                "each further image": per["two images"] - per["one image"],
                "each further model call": (per["one image, more"] - per["one image"]) / extra,
            },
        )
    if bench.device.type != "cuda":
        return
    counts = {what: waits.counted(run, bench.device) for what, run in runs.items()}
    for what, counted in counts.items():
        bench.row("Waits", explainer=name, run=what, **{"model calls": calls[what]}, **counted)
    shares = (("image", "two images", 1), ("call of the model", "one image, more", extra))
    for unit, other, share in shares:
        added = {kind: (counts[other][kind] - counts["one image"][kind]) / share for kind in waits.WAITS}
        more_calls = (calls[other] - base) / share
        bench.row("Waits", explainer=name, run=f"each further {unit}", **{"model calls": more_calls}, **added)


# --- accuracy ------------------------------------------------------------------------------------------------------


def accuracy(bench: Bench) -> None:
    names = [name for name in NETWORKS if bench.options.networks in name]
    for name in names[:3] if bench.is_quick and not bench.options.networks else names:
        bench.attempt(f"accuracy of {name}", lambda: _one_network(bench, name), 60)  # noqa: B023
    for name in NETWORKS[:2]:
        bench.attempt(f"other explainers of {name}", lambda: _other_explainers(bench, name), 60)  # noqa: B023
    bench.note(
        "Accuracy of DeepShap",
        "Gap: |prediction - base value - sum| over the sum of absolute values. Distance: of the values from those in "
        f"float64 on the {'card' if bench.device.type == 'cuda' else 'processor'}, root of the summed squares over "
        "theirs. TF32 in convolutions and in products of matrices.",
    )


def _calibrated(bench: Bench, name: str) -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(0)
    model, size = zoo.build(name)
    where = bench.device if bench.device.type == "cuda" else torch.device("cpu")  # whichever is quick at it
    zoo.calibrate(model.to(where), size, torch.Generator().manual_seed(1))
    pictures = bench.pictures(5, size)
    return model.requires_grad_(False), pictures[:4], pictures[4:]


Explain = Callable[[nn.Module, Tensor, Tensor], Explanation]


def _kinds(bench: Bench) -> dict[str, tuple[torch.device, torch.dtype, bool]]:
    """What is compared: device, precision, TF32."""
    processor = torch.device("cpu")
    kinds = {"cpu": (processor, torch.float32, False)}
    kinds |= {bench.device.type: (bench.device, torch.float32, False)} if bench.device.type != "cpu" else {}
    if bench.device.type == "cuda":
        kinds |= {"cuda TF32": (bench.device, torch.float32, True)}
    return kinds


def _compared(
    bench: Bench, model: nn.Module, references: Tensor, image: Tensor, explain: Explain
) -> dict[str, float]:
    """Gaps and distances of every kind, from float64 on the card, or on the processor where there is none."""
    where = bench.device if bench.device.type == "cuda" else torch.device("cpu")
    in_double = (where, torch.float64)
    exact = explain(model.to(*in_double), references.to(*in_double), image.to(*in_double))
    truth = exact.values.cpu()
    cells = {"gap float64": _gap(exact)}
    for kind, (device, dtype, is_allowed) in _kinds(bench).items():
        with tf32(is_allowed):
            placed = model.to(device, dtype)
            try:
                found = explain(placed, references.to(device, dtype), image.to(device, dtype))
            except Exception as error:
                bench.failed(f"{type(model).__name__}, {kind}", error)
                cells |= {f"gap {kind}": math.nan, f"distance {kind}": math.nan}
                continue
            finally:
                model.to("cpu", torch.float64)
        cells[f"gap {kind}"] = _gap(found)
        cells[f"distance {kind}"] = ((found.values.cpu().double() - truth).norm() / truth.norm()).item()
    return cells


def _gap(found: Explanation) -> float:
    values, change = found.values.cpu().double(), found.predictions.cpu().double()
    change = change - found.base_values.cpu().double()
    missed = (change - values.sum((2, 3, 4))).abs().max()
    return (missed / values.abs().sum((2, 3, 4)).max()).item()


def _one_network(bench: Bench, name: str) -> None:
    model, references, image = _calibrated(bench, name)
    start = time.perf_counter()
    cells = _compared(
        bench, model, references, image, lambda m, r, x: DeepShap(m, r)(x, outputs=0, on_gap="ignore")
    )
    bench.row(
        "Accuracy of DeepShap",
        network=name,
        px=image.shape[-1],
        **cells,
        seconds=round(time.perf_counter() - start, 1),
    )


def _other_explainers(bench: Bench, name: str) -> None:
    model, references, image = _calibrated(bench, name)
    explainers: dict[str, Explain] = {
        "GradientShap": lambda m, r, x: GradientShap(m, r, 16)(x, outputs=0, on_gap="ignore"),
        "PartitionShap, blur": lambda m, r, x: PartitionShap(m, "blur(32,32)", max_evals=50)(x, outputs=0),
        "PartitionShap, diffuse": lambda m, r, x: PartitionShap(m, "inpaint_diffuse", max_evals=50)(x, 0),
        "RegionShap, blur": lambda m, r, x: RegionShap(m, "blur(32,32)", (2, 2))(x, outputs=0),
    }
    for explainer, explain in explainers.items():
        cells = _compared(bench, model, references, image, explain)
        bench.row("Accuracy of the other explainers", explainer=explainer, network=name, **cells)


# --- sweep ---------------------------------------------------------------------------------------------------------


def sweep(bench: Bench) -> None:
    chunks = (2, 4) if bench.is_quick else (4, 8, 16, 32, 64, 100)
    for name, case in cases(bench).items():
        bench.attempt(f"sweep of {name}", functools.partial(_deep_sweep, bench, name, case, chunks))
    bench.attempt("sweep of GradientShap", lambda: _gradient_sweep(bench), 40)
    bench.attempt("sweep of PartitionShap", lambda: _partition_sweep(bench), 40)
    bench.note("Sweep", "In torch's default precision: TF32 in convolutions, not in products of matrices.")


def _deep_sweep(bench: Bench, name: str, case: deep.Case, chunks: tuple[int, ...]) -> None:
    model, references, images = _loaded(bench, case)
    for chunk in chunks:
        with largest_chunk(chunk), amounts_chosen() as amounts:
            seconds, gigabytes = bench.cost(
                lambda: DeepShap(model, references)(images, list(range(case.outputs)), on_gap="ignore"), 2
            )
        bench.row(
            "Sweep",
            what=f"DeepShap, {name}",
            asked=chunk,
            chosen=amounts[-1].chunk,
            seconds=seconds,
            GB=gigabytes,
        )


@contextmanager
def largest_chunk(references: int) -> Iterator[None]:
    """DeepShap works with so many references at a time, if they fit into memory."""
    before = memory.LARGEST_CHUNK, memory.LARGEST_CHUNK_ON_DEVICE
    memory.LARGEST_CHUNK = memory.LARGEST_CHUNK_ON_DEVICE = references
    try:
        yield
    finally:
        memory.LARGEST_CHUNK, memory.LARGEST_CHUNK_ON_DEVICE = before


def _gradient_sweep(bench: Bench) -> None:
    samples, size, count = (8, 64, 2) if bench.is_quick else (200, 224, 25)
    torch.manual_seed(0)
    model = torchvision.models.resnet18(num_classes=2).eval().to(bench.device).requires_grad_(False)
    pictures = bench.pictures(count + 2, size).to(bench.device)
    for batch in (4, 8) if bench.is_quick else (8, 25, 50, 100, 200):
        explainer = GradientShap(model, pictures[2:], samples, batch_size=batch)
        seconds, gigabytes = bench.cost(lambda: explainer(pictures[:2], on_gap="ignore"), 2)  # noqa: B023
        bench.row(
            "Sweep", what="GradientShap, resnet18", asked=batch, chosen=batch, seconds=seconds, GB=gigabytes
        )


def _partition_sweep(bench: Bench) -> None:
    count, size = (20, 64) if bench.is_quick else (500, 224)
    name = "squeezenet1_1" if bench.is_quick else "resnet50"
    model = partition.build(name, None).to(bench.device)
    image = partition.photographs(1, size, bench.options.photographs)[0].to(bench.device)
    for batch in (5, 10) if bench.is_quick else (10, 25, 50, 100, 250):
        seconds, gigabytes = bench.cost(
            lambda: partition.ours(model, "blur(32,32)", image, count, batch=batch),  # noqa: B023
            2,
        )
        bench.row(
            "Sweep", what=f"PartitionShap, {name}", asked=batch, chosen=batch, seconds=seconds, GB=gigabytes
        )


# --- host ----------------------------------------------------------------------------------------------------------


def host(bench: Bench) -> None:
    """The functions that take the processor's time in the thread that asks; the backward pass has its own thread."""
    model, references, images = _loaded(bench, cases(bench)["steering"])
    explain: dict[str, Callable[[], object]] = {
        "DeepShap": lambda: DeepShap(model, references)(images, [0, 1], on_gap="ignore"),
        "GradientShap": lambda: GradientShap(model, references, 40)(images, [0, 1], on_gap="ignore"),
    }
    count, size = (40, 64) if bench.is_quick else (500, 224)
    pixels = partition.photographs(1, size, bench.options.photographs)[0].to(bench.device)
    scaled = partition.Pixels(torchvision.models.resnet18(num_classes=10)).eval().to(bench.device)
    explain["PartitionShap, blur"] = lambda: partition.ours(scaled, "blur(32,32)", pixels, count)
    for name, run in explain.items():
        bench.attempt(f"profile of {name}", lambda: _profile(bench, name, run))  # noqa: B023


def _profile(bench: Bench, name: str, run: Callable[[], object]) -> None:
    run()
    bench.wait()
    profile = cProfile.Profile()
    profile.runcall(lambda: (run(), bench.wait()))
    stats = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    for (file, line, function), (_, calls, own, total, _) in sorted(
        stats.items(), key=lambda item: -item[1][2]
    )[:12]:
        place = function if file == "~" else f"{'/'.join(Path(file).parts[-2:])}:{line} {function}"
        bench.row(
            "Host", explainer=name, function=place, calls=calls, **{"own seconds": own, "with callees": total}
        )


SECTIONS: dict[str, Callable[[Bench], None]] = {
    "speed": speed,
    "partition": partition_speed,
    "waits": waiting,
    "accuracy": accuracy,
    "sweep": sweep,
    "host": host,
}


if __name__ == "__main__":
    main()
