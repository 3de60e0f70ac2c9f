"""Networks that loop over the images of a batch, read where the image says, or select: each by DeepSHAP, as it is.

    python benchmarks/beyond/deep.py              # a line for each network
    python benchmarks/beyond/deep.py --only detr

Networks are random and calibrated as in `zoo.py`, small, on pictures of blotches; nothing is downloaded. One image, one
output, in float64 (RAFT, which makes its places in float32, in that). The gap is from completeness; time is beside
plain autograd's, a reference at a time where the network is run so.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import torchvision
import transformers as hf
from torch import Tensor, nn
from torchvision.models import detection, optical_flow

sys.path += [str(Path(__file__).parent), str(Path(__file__).parent.parent)]
from row import Row, print_rows
from zoo import _leave_zero, _scale_weights, pictures

from shapsight import DeepShap

REFERENCES = 8
TRANSFORMER: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
}
STAGES: dict[str, Any] = {
    "embedding_size": 16,
    "hidden_sizes": [16, 32, 32, 32],
    "depths": [1, 1, 1, 1],
    "layer_type": "basic",
    "out_features": ["stage2", "stage3", "stage4"],
}


class Asked(nn.Module):
    """A network with what else it is asked, and the numbers that are explained of its answer."""

    def __init__(self, network: nn.Module, answer: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.answer = network, answer

    def forward(self, images: Tensor) -> Tensor:
        return self.answer(self.network, images)


def words(images: Tensor, *numbers: int) -> Tensor:
    """The same words beside every image."""
    return torch.tensor([numbers], device=images.device).expand(len(images), -1)


def vilt() -> nn.Module:
    config = hf.ViltConfig(
        **TRANSFORMER, image_size=64, patch_size=16, num_labels=4, vocab_size=50, max_position_embeddings=16
    )
    return Asked(
        hf.ViltForQuestionAnswering(config),
        lambda model, x: model(input_ids=words(x, 1, 4, 5, 2), pixel_values=x).logits,
    )


def llava() -> nn.Module:
    eye = hf.CLIPVisionConfig(**TRANSFORMER, image_size=64, patch_size=16, projection_dim=16)
    tongue = hf.LlamaConfig(**TRANSFORMER, num_key_value_heads=2, vocab_size=60)
    config = hf.LlavaConfig(
        vision_config=eye,
        text_config=tongue,
        image_token_index=50,
        image_token_id=50,
        vision_feature_layer=-1,
    )

    def next_word(model: nn.Module, x: Tensor) -> Tensor:
        ids = words(x, 1, *[50] * 16, 5, 7)
        answer = model(input_ids=ids, pixel_values=x, attention_mask=torch.ones_like(ids))
        logits: Tensor = answer.logits[:, -1]
        return logits

    return Asked(hf.LlavaForConditionalGeneration(config), next_word)


class SpatialTransformer(nn.Module):
    """Jaderberg et al. 2015: a small network says by which affine map the image is looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.where = nn.Sequential(
            nn.Conv2d(3, 8, 7, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 6)
        )
        self.what = nn.Sequential(
            nn.Conv2d(3, 16, 5, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(256, 10)
        )

    def forward(self, images: Tensor) -> Tensor:
        map = 0.3 * self.where(images).view(-1, 2, 3) + torch.eye(2, 3).to(images)
        grid = F.affine_grid(map, list(images.shape), align_corners=False)
        result: Tensor = self.what(F.grid_sample(images, grid, align_corners=False))
        return result


class Deformable(nn.Module):
    """Two modulated deformable convolutions (Zhu et al. 2019)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 5, 2, 2)
        self.offsets = nn.ModuleList(nn.Conv2d(16, 18, 3, padding=1) for _ in range(2))
        self.masks = nn.ModuleList(nn.Conv2d(16, 9, 3, padding=1) for _ in range(2))
        self.layers = nn.ModuleList(torchvision.ops.DeformConv2d(16, 16, 3, padding=1) for _ in range(2))
        self.head = nn.Linear(16, 10)

    def forward(self, images: Tensor) -> Tensor:
        y = F.relu(self.stem(images))
        for offsets, masks, layer in zip(self.offsets, self.masks, self.layers, strict=True):
            y = F.relu(layer(y, offsets(y), masks(y).sigmoid()))
        result: Tensor = self.head(y.mean((2, 3)))
        return result


def raft() -> nn.Module:
    second = pictures(1, 128, torch.Generator().manual_seed(3))

    def mean_flow(model: nn.Module, x: Tensor) -> Tensor:
        flow = model(x, second.to(x).expand(len(x), -1, -1, -1), num_flow_updates=4)[-1]
        return torch.as_tensor(flow[:, :, 40:80, 40:80].mean((2, 3)))

    return Asked(optical_flow.raft_small(weights=None), mean_flow)


def deformable_detr(is_two_stage: bool) -> nn.Module:
    config = hf.DeformableDetrConfig(
        use_timm_backbone=False,
        backbone=None,
        use_pretrained_backbone=False,
        backbone_config=hf.ResNetConfig(**STAGES),
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_ffn_dim=48,
        decoder_ffn_dim=48,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        num_queries=10,
        num_labels=4,
        two_stage=is_two_stage,
        with_box_refine=is_two_stage,
    )
    return Asked(hf.DeformableDetrForObjectDetection(config), first_query)


def rt_detr() -> nn.Module:
    config = hf.RTDetrConfig(
        backbone_config=hf.RTDetrResNetConfig(**STAGES),
        encoder_in_channels=[32, 32, 32],
        encoder_hidden_dim=32,
        encoder_ffn_dim=48,
        encoder_attention_heads=2,
        d_model=32,
        num_queries=20,
        decoder_in_channels=[32, 32, 32],
        decoder_ffn_dim=48,
        decoder_attention_heads=2,
        decoder_layers=2,
        num_labels=4,
    )
    return Asked(hf.RTDetrForObjectDetection(config), first_query)


def first_query(model: nn.Module, x: Tensor) -> Tensor:
    logits: Tensor = model(pixel_values=x).logits[:, 0]
    return logits


def best_scores(model: nn.Module, x: Tensor) -> Tensor:
    """The scores of the three best detections of each image."""
    return torch.stack([found["scores"][:3] for found in model(list(x))])


def torchvision_detector(name: str, **options: Any) -> nn.Module:
    network = getattr(detection, name)(
        weights=None, weights_backbone=None, num_classes=5, min_size=128, max_size=128, **options
    )
    return Asked(network, best_scores)


@dataclass(frozen=True)
class Case:
    """A network, the size of its images, and how it is run."""

    kind: str
    name: str
    make: Callable[[], nn.Module]
    size: int
    note: str = ""
    dtype: torch.dtype = torch.float64


ALONE, SELECTED = "one reference at a time", "one reference at a time, under the image's selection"
CASES = (
    Case("loop over images", "ViLT (question answering)", vilt, 64, ALONE),
    Case("loop over images", "LLaVA (next word)", llava, 64, ALONE),
    Case("reading where it says", "spatial transformer", SpatialTransformer, 64),
    Case("reading where it says", "RAFT-small (mean flow)", raft, 128, "float32", torch.float32),
    Case("reading where it says", "deformable convolutions", Deformable, 64),
    Case("reading where it says", "Deformable DETR", lambda: deformable_detr(False), 128),
    Case("selection", "Deformable DETR, two stages", lambda: deformable_detr(True), 128, SELECTED),
    Case("selection", "RT-DETR", rt_detr, 128, SELECTED),
    Case(
        "selection",
        "Faster R-CNN (MobileNetV3)",
        lambda: torchvision_detector("fasterrcnn_mobilenet_v3_large_fpn", box_score_thresh=0.0),
        128,
        SELECTED,
    ),
)


def calibrated(case: Case) -> nn.Module:
    """The network with random weights that keep the scale of what they are given."""
    torch.manual_seed(0)
    model = case.make().eval().to(case.dtype)
    for module in model.modules():
        _scale_weights(module)
    for name, parameter in model.named_parameters():
        _leave_zero(name, parameter)
    return model


def row(case: Case) -> Row:
    """One image's first output, explained and timed."""
    model = calibrated(case)
    generator = torch.Generator().manual_seed(1)
    references = pictures(REFERENCES, case.size, generator).to(case.dtype)
    image = pictures(1, case.size, generator).to(case.dtype)
    model(image)
    start = time.perf_counter()
    explanation = DeepShap(model, references)(image, 0, on_gap="ignore")
    seconds = time.perf_counter() - start
    gap = (explanation.completeness_gap / (explanation.predictions - explanation.base_values)).abs().item()
    chunk = 1 if ALONE in case.note else REFERENCES
    bare_seconds = autograd(model, references, chunk)
    return Row(case.kind, case.name, "DeepSHAP", gap, "completeness", seconds, bare_seconds, case.note)


def autograd(model: nn.Module, references: Tensor, chunk: int) -> float:
    """Seconds of a forward and a backward pass to the input of every reference."""
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    start = time.perf_counter()
    for part in references.split(chunk):
        leaf = part.clone().requires_grad_()
        torch.autograd.grad(model(leaf)[:, 0].sum(), leaf)
    return time.perf_counter() - start


def rows(only: str = "") -> Iterator[Row]:
    """A row for each network whose name holds `only`."""
    for case in CASES:
        if only.lower() in case.name.lower():
            yield row(case)


if __name__ == "__main__":
    print_rows(rows, str(__doc__))
