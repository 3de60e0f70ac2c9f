"""Is DeepShap exact on the networks that people use? Every architecture of torchvision and timm, none of them modified.

    python benchmarks/zoo.py                    # the smallest of every family (make zoo)
    python benchmarks/zoo.py --all              # every one below 100 million parameters
    python benchmarks/zoo.py --only 'vit|swin'  # those whose name matches
    python benchmarks/zoo.py --all --part 1/2 --out one.jsonl     # every other one, for two processes side by side
    python benchmarks/zoo.py --all --summary one.jsonl two.jsonl  # what came out, without running any

Every result is a line of JSON in --out as soon as it is there; a second run goes on where the first one stopped.
A freshly initialised network often ignores its input, so each is calibrated first: weights that keep the scale, norms
and layer scales away from 0 and 1, running statistics of the images. A network is exact when in float64 the gap is
below 1e-9 of |prediction - base value|, in float32 below 1e-6 of the sum of absolute attributions.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import timm
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from shapsight import DeepShap

OUTPUTS = 50
FLOAT64, FLOAT32, FLOAT32_OF_CHANGE = 1e-9, 1e-6, 1e-4
SIZE_WORDS = (
    "test atto femto pico nano xxs xxtiny xtiny xs extratiny tiny mini small s0 b0 t0 m0 xsmall light lite 18 12 11 "
    "10 9 8 s t b 050 small".split()
)
NEAR_ZERO_SCALES = re.compile(
    r"layer_scale|gamma|skipinit|ls\d|res_scale|temperature|gain|alpha|resweight", re.I
)


@dataclass
class Result:
    """What came out for one network; gaps are per dtype and set of references."""

    name: str
    size: int = 0
    parameters: int = 0
    seconds: float = 0.0
    change: dict[str, float] = field(default_factory=dict)
    absolute: dict[str, float] = field(default_factory=dict)
    gap: dict[str, float] = field(default_factory=dict)
    error: str = ""

    def failures(self) -> list[str]:
        """What is not exact, in words; empty for an exact network."""
        if self.error:
            return [self.error]
        found = []
        for key, gap in self.gap.items():
            of_change, of_absolute = gap / max(self.change[key], 1e-30), gap / max(self.absolute[key], 1e-30)
            if "64" in key and not of_change < FLOAT64:
                found.append(f"{key}: {of_change:.1e} of the change")
            if "32" in key and not of_absolute < FLOAT32:
                found.append(f"{key}: {of_absolute:.1e} of the attributions")
            if key == "float32" and not of_change < FLOAT32_OF_CHANGE:
                found.append(f"{key}: {of_change:.1e} of the change")
        return found


def main() -> int:
    """Run the zoo; the exit code is 0 if every network could be explained exactly."""
    options = _options()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(options.threads)
    names = [name for name in _names(options.all) if re.search(options.only, name)]
    if options.summary:
        known = {name: result for path in options.summary for name, result in _results(path).items()}
        print(f"{len(known)} of {len(names)} networks")
        return _summarise([known[name] for name in names if name in known])
    part, parts = map(int, options.part.split("/"))
    names = names[part - 1 :: parts]
    done = _results(options.out)
    print(f"{len(names)} networks, {sum(name in done for name in names)} of them done before", flush=True)
    for name in names:
        if name in done:
            continue
        is_of_family = name.startswith("torchvision/") and not options.all  # all of those are tried
        most = math.inf if is_of_family else options.most * 1e6
        result = examine(name, options.references, options.flat, most)
        done[name] = result
        with options.out.open("a") as file:
            file.write(json.dumps(asdict(result)) + "\n")
        print(_line(result), flush=True)
    return _summarise([done[name] for name in names])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--all", action="store_true", help="every network below --most parameters")
    parser.add_argument("--only", default="", help="a regular expression that names must match")
    parser.add_argument(
        "--out", type=Path, default=Path("zoo.jsonl"), help="results, one JSON line a network"
    )
    parser.add_argument(
        "--most", type=float, default=100, help="million parameters; larger networks are not tried"
    )
    parser.add_argument("--part", default="1/1", help="such as 2/3: every third network, from the second on")
    parser.add_argument("--summary", type=Path, nargs="+", help="only sum up these files of results")
    parser.add_argument("--references", type=int, default=3)
    parser.add_argument("--flat", action="store_true", help="with references of all 0 and all 0.5 as well")
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def _names(has_all: bool) -> list[str]:
    """`torchvision/resnet18`, `timm/convnext_atto`, ...: of each family the one that looks smallest, or all."""
    tv_names = torchvision.models.list_models(module=torchvision.models)
    families: dict[str, list[str]] = {}
    for name in tv_names:
        families.setdefault(torchvision.models.get_model_builder(name).__module__, []).append(name)
    chosen = [f"torchvision/{min(names, key=_tv_size)}" for names in families.values()]
    timm_names = timm.list_models()
    if has_all:
        small_first = sorted(timm_names, key=_looks_large)
        return sorted(f"torchvision/{name}" for name in tv_names) + [f"timm/{name}" for name in small_first]
    families = {}
    for name in timm_names:
        family = re.match(r"[a-z]+(?:v\d)?", name)
        families.setdefault(family.group() if family else name, []).append(name)
    small_first = sorted((min(names, key=_looks_large) for names in families.values()), key=_looks_large)
    return sorted(chosen) + [f"timm/{name}" for name in small_first]


def _tv_size(name: str) -> int:
    return int(torchvision.models.get_model_weights(name).DEFAULT.meta["num_params"])


def _looks_large(name: str) -> tuple[int, int, str]:
    words = re.split(r"[_.]|(?<=[a-z])(?=\d)", name)
    ranks = [SIZE_WORDS.index(word) for word in words if word in SIZE_WORDS]
    return min(ranks, default=len(SIZE_WORDS)), len(name), name


def build(name: str, most: float = math.inf) -> tuple[nn.Module, int]:
    """A network with 50 outputs, and the smallest usual size of its images."""
    library, _, architecture = name.partition("/")
    make: Callable[[], nn.Module]
    if library == "torchvision":
        extra = {"init_weights": False} if architecture in ("googlenet", "inception_v3") else {}
        make = partial(torchvision.models.get_model, architecture, weights=None, num_classes=OUTPUTS, **extra)
    else:
        make = partial(timm.create_model, architecture, pretrained=False, num_classes=OUTPUTS)
    parameters = _parameters(_without_memory(make))
    if parameters > most:
        raise TooLarge(f"not tried: {parameters / 1e6:.0f} million parameters")
    model = make()
    if library == "torchvision":
        return model, 224 if "vit" in architecture else 128
    card = model.default_cfg
    usual = card["input_size"][-1]
    is_fixed = card.get("fixed_input_size") or usual <= 128 or re.search(FIXED_SIZE, architecture)
    return model, usual if is_fixed else 128


def _without_memory(make: Callable[[], nn.Module]) -> nn.Module:
    """The network to count parameters of; RegNet works out its widths with tensors, and so must be built for real."""
    try:
        with torch.device("meta"):
            return make()
    except NotImplementedError:
        return make()


def _parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


class TooLarge(Exception):
    """A network beyond the size that the zoo tries."""


FIXED_SIZE = r"halo|lambda|bat_|botnet|coat|maxvit|hiera|swin|vit_|crossvit|levit|xvit"


def calibrate(model: nn.Module, size: int, generator: torch.Generator) -> nn.Module:
    """Give a random network a scale, so that its outputs depend on what it is shown."""
    for module in model.modules():
        _scale_weights(module)
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = None
            module.reset_running_stats()
    for name, parameter in model.named_parameters():
        _leave_zero(name, parameter)
    model.train()
    for module in model.modules():
        if re.search("Drop|Stochastic", type(module).__name__):
            module.eval()
    device = next(model.parameters()).device
    with torch.no_grad():
        try:
            for _ in range(2):
                model(pictures(4, size, generator).to(device))
        except Exception as error:  # some networks have losses or checks in training mode
            print(f"keeps its own statistics: it does not run in training mode ({error})", file=sys.stderr)
    return model.eval()


def _scale_weights(module: nn.Module) -> None:
    if isinstance(module, nn.Conv1d | nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="linear" if module.groups > 1 else "relu")
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=module.in_features**-0.5)
    elif isinstance(module, nn.modules.batchnorm._BatchNorm | nn.LayerNorm | nn.GroupNorm):
        if module.weight is not None:
            nn.init.uniform_(module.weight, 0.7, 1.3)
    else:
        return
    if module.bias is not None:
        nn.init.uniform_(module.bias, -0.1, 0.1)


def _leave_zero(name: str, parameter: nn.Parameter) -> None:
    largest = parameter.detach().abs().max().item()
    if NEAR_ZERO_SCALES.search(name) and parameter.numel() < 10_000 and largest < 1e-2:
        nn.init.constant_(parameter.data, 0.7)
    elif parameter.dim() >= 2 and largest == 0:
        nn.init.normal_(parameter.data, std=0.02)
    elif parameter.dim() == 1 and name.endswith("weight") and largest < 1e-2:
        nn.init.constant_(parameter.data, 1.0)


def pictures(count: int, size: int, generator: torch.Generator) -> Tensor:
    """Smooth blotches with some noise on them."""
    coarse = torch.randn(count, 3, max(size // 16, 1), max(size // 16, 1), generator=generator)
    noise = torch.randn(count, 3, size, size, generator=generator)
    return F.interpolate(coarse, size=(size, size), mode="bilinear") * 1.2 + 0.25 * noise


def examine(name: str, references: int, has_flat: bool, most: float = math.inf) -> Result:
    """Explain one output of one network in both precisions."""
    start = time.perf_counter()
    result = Result(name)
    try:
        torch.manual_seed(0)
        model, result.size = build(name, most)
        result.parameters = _parameters(model)
        generator = torch.Generator().manual_seed(1)
        calibrate(model, result.size, generator)
        sets = {"": pictures(references, result.size, generator)}
        if has_flat:
            sets[" flat"] = torch.tensor([0.0, 0.5]).view(2, 1, 1, 1).expand(2, 3, result.size, result.size)
        image = pictures(1, result.size, generator)
        for dtype, convert in CONVERSIONS.items():
            converted = convert(model)
            for kind, chosen in sets.items():
                _measure(result, dtype + kind, converted, chosen, image)
    except TooLarge as error:
        result.error = str(error)
    except Exception as error:  # a network that cannot be built or explained is a line of the table
        result.error = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    result.seconds = round(time.perf_counter() - start, 1)
    gc.collect()
    return result


CONVERSIONS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "float32": nn.Module.float,
    "float64": nn.Module.double,
}


def _measure(result: Result, key: str, model: nn.Module, references: Tensor, image: Tensor) -> None:
    dtype = torch.float64 if "64" in key else torch.float32
    references, image = references.to(dtype), image.to(dtype)
    explanation = DeepShap(model, references)(image, outputs=0, on_gap="ignore")
    with torch.no_grad():
        prediction = model(image)[0, 0]
    # Another prediction: the model that was explained is another. In float32 some networks are that badly conditioned,
    # and some go through float32 on the way, whatever their weights are, where DeepShap does not follow them.
    if not torch.isclose(explanation.predictions[0, 0], prediction, rtol=1e-2 if "32" in key else 1e-5):
        raise RuntimeError(
            f"predicted {explanation.predictions.item():.6g} instead of {prediction.item():.6g}"
        )
    change = explanation.predictions.double() - explanation.base_values.double()
    result.change[key] = abs(change.item())
    result.absolute[key] = explanation.values.double().abs().sum().item()
    result.gap[key] = abs(explanation.values.double().sum().item() - change.item())


def _results(path: Path) -> dict[str, Result]:
    if not path.exists():
        return {}
    return {(result := Result(**json.loads(line))).name: result for line in path.read_text().splitlines()}


def _line(result: Result) -> str:
    head = f"{result.name:46s} {result.size:4d} px {result.seconds:6.1f} s "
    if result.error:
        return f"{head} {result.error}"
    gaps = "  ".join(
        f"{key} {gap / max(result.change[key], 1e-30):.1e} ({gap / max(result.absolute[key], 1e-30):.1e})"
        for key, gap in result.gap.items()
    )
    return f"{head} {gaps}{'   NOT EXACT' if result.failures() else ''}"


def _failing(results: list[Result]) -> Iterator[tuple[str, str]]:
    for result in results:
        if (failures := result.failures()) and not result.error.startswith("not tried"):
            yield result.name, "; ".join(failures)


def _summarise(results: list[Result]) -> int:
    tried = [result for result in results if not result.error.startswith("not tried")]
    failing = list(_failing(results))
    print(
        f"\n{len(tried) - len(failing)} of {len(tried)} exact (gap over |prediction - base value|; in brackets over"
    )
    print("the sum of absolute attributions)")
    for key in ("float32", "float64", "float32 flat", "float64 flat"):
        gaps = sorted(r.gap[key] / max(r.absolute[key], 1e-30) for r in tried if key in r.gap)
        if gaps:
            print(
                f"{key}: {gaps[len(gaps) // 2]:.1e} of the attributions at the median, {gaps[-1]:.1e} at worst"
            )
    for name, reason in failing:
        print(f"  {name}: {reason}")
    return 1 if failing else 0


if __name__ == "__main__":
    sys.exit(main())
