"""Detectors, segmenters, depth, embeddings and image-text models, each explained for a target.

    python benchmarks/beyond/targets.py              # a line for each model and method
    python benchmarks/beyond/targets.py --only detr

Networks are random and calibrated as in `zoo.py`, small, on pictures of blotches; nothing is downloaded. DeepSHAP's gap
is from completeness, against plain gradients at as many points; RegionSHAP's, of 2 × 2 regions, from Shapley's formula
over all 16 coalitions, masked and summed up here.
"""

from __future__ import annotations

import itertools
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from torch import Tensor, nn
from torchvision.models import detection, segmentation
from torchvision.models.detection import ssd

sys.path += [str(Path(__file__).parent), str(Path(__file__).parent.parent)]
from row import Row, print_rows
from zoo import _leave_zero, _scale_weights, pictures

from shapsight import DeepShap, RegionShap
from shapsight.attribution.targets import Box, Contrast, Mask, Region, Similarity, Text
from shapsight.errors import ShapsightError

LABELS = {0: "cat", 1: "dog", 2: "bird"}
NAMED = {"id2label": LABELS, "label2id": {name: number for number, name in LABELS.items()}}
REFERENCES = 3
SIDE = 128
LEAST = 8  # pixels a side of a box
COMPLETE, FORMULA = "completeness", "Shapley's formula, 16 coalitions"
Way = Callable[[Any, Tensor], Any]


@dataclass(frozen=True)
class Case:
    """A model, and the targets that it is explained for, made of the model and an image; None: not by that method."""

    kind: str
    name: str
    make: Callable[[], nn.Module]
    smooth: Way | None
    scored: Way | None
    side: int = SIDE


def rows(only: str = "") -> Iterator[Row]:
    """What came out, model by model."""
    for case in CASES:
        if only.lower() in case.name.lower():
            yield from _rows(case)


def _rows(case: Case) -> Iterator[Row]:
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    model = calibrated(case.make(), case.side, generator)
    images, references = pictures(1, case.side, generator), pictures(REFERENCES, case.side, generator)
    for method, way, explain in (("DeepSHAP", case.smooth, _deep), ("RegionSHAP", case.scored, _regions)):
        if way is not None:
            target = way(model, images)
            yield explain(case, model, images, references, target, method)


def _deep(case: Case, model: nn.Module, images: Tensor, references: Tensor, target: Any, method: str) -> Row:
    explainer = DeepShap(model, references)
    try:
        explainer(images, target, on_gap="ignore")  # the first run makes what later ones reuse
        found, seconds = _timed(lambda: explainer(images, target, on_gap="ignore"))
    except ShapsightError as error:
        return Row(
            case.kind, case.name, method, math.nan, COMPLETE, math.nan, math.nan, str(error).split(". ")[0]
        )
    aimed, _ = explainer._aimed(target)

    def gradients() -> None:
        with torch.enable_grad():
            points = torch.cat([images, references]).requires_grad_()
            torch.autograd.grad(aimed.model(points).sum(), points)

    gap = float((found.completeness_gap / (found.predictions - found.base_values)).abs().max())
    return Row(
        case.kind, case.name, method, gap, COMPLETE, seconds, _timed(gradients)[1], found.name_of(0, 0)
    )


def _regions(
    case: Case, model: nn.Module, images: Tensor, _references: Tensor, target: Any, method: str
) -> Row:
    explainer = RegionShap(model, 0.0, "grid(2,2)", batch_size=1)
    found, seconds = _timed(lambda: explainer.by_region(images, target))
    aimed, _ = explainer._aimed(target)
    worth, bare = _timed(lambda: _worth(aimed.predictor.predict, images))
    expected = torch.tensor(_shapley(worth))
    change = float((found.predictions - found.base_values).abs())
    gap = float((found.values[0, 0] - expected).abs().max()) / change
    return Row(case.kind, case.name, method, gap, FORMULA, seconds, bare, found.output_names[0])


def _worth(model: nn.Module, images: Tensor) -> list[float]:
    half = images.shape[2] // 2
    found = []
    for coalition in range(16):
        shown = torch.zeros_like(images)
        for number in range(4):
            if coalition >> number & 1:
                rows, columns = (slice(half * at, half * at + half) for at in divmod(number, 2))
                shown[:, :, rows, columns] = images[:, :, rows, columns]
        with torch.no_grad():
            found.append(float(model(shown)))
    return found


def _shapley(worth: list[float]) -> list[float]:
    shares = []
    for player in range(4):
        others = [other for other in range(4) if other != player]
        coalitions = [c for size in range(4) for c in itertools.combinations(others, size)]
        numbers = [(len(c), sum(1 << other for other in c)) for c in coalitions]
        shares.append(
            sum(
                math.factorial(size) * math.factorial(3 - size) / 24 * (worth[n | 1 << player] - worth[n])
                for size, n in numbers
            )
        )
    return shares


def calibrated(model: nn.Module, side: int, generator: torch.Generator) -> nn.Module:
    """Weights that keep the scale, and norms that have seen pictures; as `zoo.calibrate`, but in eval mode."""
    for module in model.modules():
        _scale_weights(module)
    for name, parameter in model.named_parameters():
        _leave_zero(name, parameter)
        if isinstance(model, detection.RetinaNet | ssd.SSD) and "regression_head" in name:
            parameter.data *= 0.05  # boxes that stay near their anchors
    model.eval()
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.momentum = None
        norm.reset_running_stats()
        norm.train()
    if "Depth" in type(model).__name__:  # which ends with a ReLU
        last = [module for module in model.head.modules() if isinstance(module, nn.Conv2d)][-1]
        last.weight.data *= 0.02
        last.bias.data += 10
    images = pictures(2, side, generator)
    with torch.no_grad():
        model.get_image_features(images) if hasattr(model, "get_image_features") else model(images)
    return model.eval()


def _timed(run: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    found = run()
    return found, time.perf_counter() - start


def _region(model: nn.Module, images: Tensor) -> Tensor:
    side = images.shape[2]
    region = torch.zeros(side, side, dtype=torch.bool)
    region[side // 4 : side // 2, side // 4 : -side // 4] = True
    return region


def _found(model: nn.Module, images: Tensor) -> Box:
    with torch.no_grad():
        raw = model(images)
    if isinstance(raw, list):  # of random weights, whose surest box may have hardly any size
        extents = (raw[0]["boxes"][:, 2:] - raw[0]["boxes"][:, :2]).amin(1)
        return Box.of(raw, int((raw[0]["scores"] * (extents > LEAST)).argmax()))
    return Box.of(raw, size=images.shape[2:], labels=LABELS)


def _loose(model: nn.Module, images: Tensor) -> Box:
    return _found(model, images).loose


def _anchored(model: nn.Module, images: Tensor) -> Box:
    return _found(model, images).anchored(model, images[0])


def _mask(model: nn.Module, images: Tensor) -> Mask:
    return Mask(1, _region(model, images))


def _depth(model: nn.Module, images: Tensor) -> Region:
    return Region(_region(model, images))


def _words(texts: list[str]) -> Tensor:
    return torch.tensor([[1, *(3 + ord(letter) % 96 for letter in text), 99] for text in texts])


def _contrast(_model: nn.Module, _images: Tensor) -> Contrast:
    return Contrast(Text("a cat", _words), Text("a dog", _words))


def _alike(model: nn.Module, images: Tensor) -> Similarity:
    with torch.no_grad():
        return Similarity(model(images.flip(3)).pooler_output)


def _detector(name: str, **options: Any) -> Callable[[], nn.Module]:
    sides = {} if name.startswith("ssd") else {"min_size": SIDE, "max_size": SIDE}
    given = {"weights": None, "weights_backbone": None, "num_classes": 4, **sides, **options}
    return lambda: getattr(detection, name)(**given)


def _segmenter(name: str) -> Callable[[], nn.Module]:
    return lambda: getattr(segmentation, name)(weights=None, weights_backbone=None, num_classes=4)


def _resnet(**options: Any) -> Any:
    sizes = {"embedding_size": 32, "hidden_sizes": [32, 64, 96, 128], "depths": [2, 2, 2, 2]}
    return hf.ResNetConfig(**sizes, layer_type="basic", **options)


STAGES = ["stage2", "stage3", "stage4"]
OF_VIT = {"hidden_size": 96, "intermediate_size": 192, "num_hidden_layers": 4, "num_attention_heads": 4}
OF_DETR = {
    **dict.fromkeys(("encoder_layers", "decoder_layers"), 2),
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 4),
    **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim"), 128),
    "d_model": 64,
    "num_queries": 20,
}
OF_TEXTS = OF_VIT | {"vocab_size": 100, "max_position_embeddings": 16, "bos_token_id": 1, "eos_token_id": 99}
OF_PICTURES = OF_VIT | {"image_size": SIDE, "patch_size": 16}
OF_NECK = {"neck_hidden_sizes": [24, 48, 96, 96], "fusion_hidden_size": 32}


def _detr() -> nn.Module:
    backbone = {
        "use_timm_backbone": False,
        "backbone": None,
        "backbone_config": _resnet(out_features=["stage4"]),
    }
    return hf.DetrForObjectDetection(hf.DetrConfig(**backbone, **OF_DETR, **NAMED))


def _rt_detr() -> nn.Module:
    resnet = hf.RTDetrResNetConfig(
        embedding_size=32,
        hidden_sizes=[32, 64, 96, 128],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=STAGES,
    )
    config = hf.RTDetrConfig(
        backbone_config=resnet, encoder_in_channels=[64, 96, 128], encoder_hidden_dim=64, d_model=64,
        decoder_in_channels=[64, 64, 64], num_queries=20, decoder_layers=1, encoder_ffn_dim=128, decoder_ffn_dim=128,
        encoder_attention_heads=4, decoder_attention_heads=4, num_denoising=0, **NAMED,
    )  # fmt: skip
    return hf.RTDetrForObjectDetection(config)


def _yolos() -> nn.Module:
    return hf.YolosForObjectDetection(
        hf.YolosConfig(**OF_VIT, image_size=[SIDE, SIDE], patch_size=16, num_detection_tokens=20, **NAMED)
    )


def _segformer() -> nn.Module:
    sizes = {"hidden_sizes": [16, 32, 64, 96], "num_attention_heads": [1, 2, 2, 4], "decoder_hidden_size": 64}
    return hf.SegformerForSemanticSegmentation(hf.SegformerConfig(**sizes, depths=[1, 1, 1, 1], **NAMED))


def _dpt() -> nn.Module:
    return hf.DPTForDepthEstimation(
        hf.DPTConfig(**OF_PICTURES, **OF_NECK, backbone_out_indices=[0, 1, 2, 3], is_hybrid=False)
    )


def _depth_anything() -> nn.Module:
    backbone = hf.Dinov2Config(
        hidden_size=96, num_hidden_layers=4, num_attention_heads=4, image_size=140, patch_size=14,
        out_features=["stage1", *STAGES], reshape_hidden_states=False, apply_layernorm=True,
    )  # fmt: skip
    config = hf.DepthAnythingConfig(
        backbone_config=backbone, reassemble_hidden_size=96, patch_size=14, head_hidden_size=16, **OF_NECK
    )
    return hf.DepthAnythingForDepthEstimation(config)


def _clip() -> nn.Module:
    return hf.CLIPModel(hf.CLIPConfig(text_config=OF_TEXTS, vision_config=OF_PICTURES, projection_dim=64))


def _siglip() -> nn.Module:
    return hf.SiglipModel(hf.SiglipConfig(text_config=OF_TEXTS, vision_config=OF_PICTURES))


def _dinov2() -> nn.Module:
    return hf.Dinov2Model(
        hf.Dinov2Config(
            hidden_size=96, num_hidden_layers=4, num_attention_heads=4, image_size=140, patch_size=14
        )
    )


EVERY = {"box_score_thresh": 0.0, "box_detections_per_img": 4}
ALL = {"score_thresh": 0.0, "detections_per_img": 20}
CASES = (
    Case(
        "detector", "Faster R-CNN", _detector("fasterrcnn_mobilenet_v3_large_320_fpn", **EVERY), None, _loose
    ),
    Case(
        "detector",
        "Keypoint R-CNN",
        _detector("keypointrcnn_resnet50_fpn", **EVERY, num_keypoints=5),
        None,
        _loose,
    ),
    Case("detector", "RetinaNet", _detector("retinanet_resnet50_fpn", **ALL), _anchored, _loose),
    Case("detector", "FCOS", _detector("fcos_resnet50_fpn", **ALL), _anchored, _loose),
    Case("detector", "SSDlite", _detector("ssdlite320_mobilenet_v3_large", **ALL), _anchored, _loose),
    Case("detector", "DETR", _detr, _found, _loose),
    Case("detector", "YOLOS", _yolos, _found, _loose),
    Case("detector", "RT-DETR", _rt_detr, _found, _loose),
    Case("segmenter", "DeepLabV3", _segmenter("deeplabv3_mobilenet_v3_large"), _mask, _mask),
    Case("segmenter", "FCN", _segmenter("fcn_resnet50"), _mask, _mask),
    Case("segmenter", "LR-ASPP", _segmenter("lraspp_mobilenet_v3_large"), _mask, _mask),
    Case("segmenter", "SegFormer", _segformer, _mask, _mask),
    Case("depth", "DPT", _dpt, _depth, _depth),
    Case("depth", "Depth Anything", _depth_anything, _depth, _depth, 140),
    Case("embedding", "DINOv2", _dinov2, _alike, _alike, 140),
    Case("image and text", "CLIP", _clip, _contrast, _contrast),
    Case("image and text", "SigLIP", _siglip, _contrast, _contrast),
)


if __name__ == "__main__":
    print_rows(rows, str(__doc__))
