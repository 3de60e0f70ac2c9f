"""Vision transformers whose patches are taken away inside them, and ONNX files: how exactly each is explained.

    python benchmarks/beyond/tokens.py              # a line for each model
    python benchmarks/beyond/tokens.py --only onnx

Networks are random and calibrated as in `zoo.py`, on pictures of blotches; nothing is downloaded. RegionSHAP's gap, of
2 × 2 regions, is from Shapley's formula over all 16 coalitions, for which each model is asked without shapsight: timm's
by attention without the keys of hidden patches, Hugging Face's by hand, block by block, on the tokens that are left.
DeepSHAP's gap on an ONNX file is from what onnxruntime predicts of the image and of the references.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import math
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import onnxruntime
import timm
import torch
import torchvision
import transformers as hf
from torch import Tensor, nn

sys.path += [str(Path(__file__).parent), str(Path(__file__).parent.parent)]
from row import Row, print_rows
from zoo import _leave_zero, _scale_weights, calibrate, pictures

from shapsight import Bundle, DeepShap, RegionShap

REFERENCES = 4
SMALL = {
    "hidden_size": 192,
    "num_hidden_layers": 6,
    "num_attention_heads": 3,
    "intermediate_size": 768,
    "image_size": 224,
    "patch_size": 16,
}


def rows(only: str = "") -> Iterator[Row]:
    """What came out, model by model."""
    warnings.filterwarnings("ignore")
    for name, (make, asked, output) in TRANSFORMERS.items():
        if only.lower() in f"tokens {name}".lower():
            yield _tokens(name, make, asked, output)
    for name, make in NETWORKS.items():
        if only.lower() in f"onnx {name}".lower():
            yield _onnx(name, make)


def _tokens(name: str, make: Callable[[], nn.Module], asked: Any, output: str | None) -> Row:
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    model = _calibrated(make())
    image = pictures(1, 224, generator)
    explainer = RegionShap(model, "tokens", "grid(2,2)", output=output)
    explainer.by_region(image, 0)  # the first run finds the tokens
    found, seconds = _timed(lambda: explainer.by_region(image, 0))
    with torch.no_grad():
        worth = [float(asked(model, image, _kept(coalition, model, image))[0, 0]) for coalition in range(16)]
        _, bare = _timed(lambda: [model(image) for _ in range(16)])
    change = abs(worth[15] - worth[0])
    gap = float((found.values[0, 0] - torch.tensor(_shapley(worth))).abs().max()) / change
    note = f"{found.evaluations} coalitions"
    return Row("tokens", name, "RegionSHAP", gap, "Shapley's formula, 16 coalitions", seconds, bare, note)


def _onnx(name: str, make: Callable[[], nn.Module]) -> Row:
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    model = calibrate(make(), 224, generator).eval()
    image, references = pictures(1, 224, generator), pictures(REFERENCES, 224, generator)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            torch.onnx.export(model, (references,), path, dynamic_shapes=({0: "images"},), verbose=False)
        bundle = Bundle.wrap(path, task="regression")
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        (given,) = session.get_inputs()
        says = torch.from_numpy(session.run(None, {given.name: torch.cat([image, references]).numpy()})[0])
    if not bundle.has_gradients:
        return Row("ONNX", name, "DeepSHAP", math.nan, "onnxruntime", math.nan, math.nan, bundle.notes[0])
    explainer = DeepShap(bundle.model, references)
    explainer(image, 0, on_gap="ignore")
    found, seconds = _timed(lambda: explainer(image, 0, on_gap="ignore"))

    def gradients() -> None:
        points = torch.cat([image, references]).requires_grad_()
        torch.autograd.grad(model(points)[:, 0].sum(), points)

    change = float(says[0, 0] - says[1:, 0].mean())
    gap = abs(float(found.values.double().sum()) - change) / abs(change)
    gradients()
    return Row(
        "ONNX", name, "DeepSHAP", gap, "onnxruntime", seconds, _timed(gradients)[1], "default exporter"
    )


def _calibrated(model: nn.Module) -> nn.Module:
    for module in model.modules():
        _scale_weights(module)
    for name, parameter in model.named_parameters():
        _leave_zero(name, parameter)
    return model.eval()


def _kept(coalition: int, model: nn.Module, image: Tensor) -> Tensor:
    """The patches of a coalition of quarters, row by row."""
    side = 224 // next(m.kernel_size[0] for m in model.modules() if isinstance(m, nn.Conv2d))
    quarter = torch.arange(side) * 2 // side
    return (coalition >> (quarter[:, None] * 2 + quarter) & 1).bool().flatten()


def _by_attention(model: Any, image: Tensor, kept: Tensor) -> Tensor:
    keys = torch.cat([torch.ones(model.num_prefix_tokens, dtype=torch.bool), kept])
    mask = torch.zeros(1, 1, 1, len(keys)).masked_fill(~keys, -math.inf)
    return model.forward_head(model.forward_features(image, attn_mask=mask))


def _vit(model: Any, image: Tensor, kept: Tensor) -> Tensor:
    hidden = model.vit.embeddings(image)[:, torch.cat([torch.ones(1, dtype=torch.bool), kept])]
    for layer in model.vit.layers:
        hidden = layer(hidden, None)
    return model.classifier(model.vit.layernorm(hidden)[:, 0])


def _dino(model: Any, image: Tensor, kept: Tensor) -> Tensor:
    hidden = model.dinov2.embeddings(image)[:, torch.cat([torch.ones(1, dtype=torch.bool), kept])]
    for layer in model.dinov2.encoder.layer:
        hidden = layer(hidden)
    hidden = model.dinov2.layernorm(hidden)
    mean = hidden[:, 1:].sum(1) / max(1, int(kept.sum()))  # of none: 0
    return model.classifier(torch.cat([hidden[:, 0], mean], 1))


def _clip(model: Any, image: Tensor, kept: Tensor) -> Tensor:
    tower = model.vision_model
    hidden = tower.embeddings(image)[:, torch.cat([torch.ones(1, dtype=torch.bool), kept])]
    hidden = tower.pre_layrnorm(hidden)
    for layer in tower.encoder.layers:
        hidden = layer(hidden, None)
    return model.visual_projection(tower.post_layernorm(hidden[:, 0]))


def _shapley(worth: list[float]) -> list[float]:
    shares = []
    for player in range(4):
        others = [1 << other for other in range(4) if other != player]
        coalitions = [c for size in range(4) for c in itertools.combinations(others, size)]
        shares.append(
            sum(
                math.factorial(len(c)) * math.factorial(3 - len(c)) / 24
                * (worth[sum(c) | 1 << player] - worth[sum(c)])
                for c in coalitions
            )
        )  # fmt: skip
    return shares


def _timed(run: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    found = run()
    return found, time.perf_counter() - start


TRANSFORMERS: dict[str, tuple[Callable[[], nn.Module], Any, str | None]] = {
    "timm vit_tiny": (lambda: timm.create_model("vit_tiny_patch16_224"), _by_attention, None),
    "timm deit_tiny": (lambda: timm.create_model("deit_tiny_patch16_224"), _by_attention, None),
    "timm DINOv2 small": (
        lambda: timm.create_model("vit_small_patch14_dinov2", img_size=224, num_classes=10),
        _by_attention,
        None,
    ),
    "Hugging Face ViT": (lambda: hf.ViTForImageClassification(hf.ViTConfig(**SMALL)), _vit, None),
    "Hugging Face DINOv2": (
        lambda: hf.Dinov2ForImageClassification(hf.Dinov2Config(**{**SMALL, "patch_size": 14})),
        _dino,
        None,
    ),
    "CLIP's image tower": (
        lambda: hf.CLIPVisionModelWithProjection(hf.CLIPVisionConfig(**SMALL, projection_dim=64)),
        _clip,
        "image_embeds",
    ),
}
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "resnet18": torchvision.models.resnet18,
    "mobilenet_v3_small": torchvision.models.mobilenet_v3_small,
    "vit_tiny": lambda: timm.create_model("vit_tiny_patch16_224"),
    "convnext_atto": lambda: timm.create_model("convnext_atto"),
}


if __name__ == "__main__":
    print_rows(rows, str(__doc__))
