"""What the examples of the targets' docstrings take for given: models that are small, and images with a red thing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import detection
from transformers import (
    CLIPConfig,
    CLIPModel,
    DetrConfig,
    DetrForObjectDetection,
    DPTConfig,
    DPTForDepthEstimation,
    ResNetConfig,
    SegformerConfig,
    SegformerForSemanticSegmentation,
    SiglipConfig,
    SiglipModel,
)

import shapsight as ss

SIDE = 64
SIZES = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}


def named(*names: str) -> dict[str, dict[Any, Any]]:
    """Labels, as Hugging Face's configs have them."""
    return {
        "id2label": dict(enumerate(names)),
        "label2id": {name: number for number, name in enumerate(names)},
    }


class RedThings(nn.Module):
    """A detector whose score is known: a box around what is red, and the share of `pixels` that are."""

    def __init__(self, label: int = 1, pixels: float = 60) -> None:
        super().__init__()
        self.label, self.pixels = label, pixels

    def forward(self, images: Tensor) -> list[dict[str, Tensor]]:
        """As torchvision's detectors answer."""
        return [self._found(image) for image in images]

    def _found(self, image: Tensor) -> dict[str, Tensor]:
        red = (image[0] > 0.6) & (image[1] < 0.4)
        rows, columns = (red.any(side).nonzero().flatten() for side in (1, 0))
        edges = [[columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]] if len(rows) else []
        return {
            "boxes": torch.tensor(edges, dtype=torch.float32).reshape(-1, 4),
            "labels": torch.full((len(edges),), self.label),
            "scores": torch.tensor([red.sum() / self.pixels] * len(edges)),
        }


def small_detr() -> DetrForObjectDetection:
    """DETR with a ResNet of two blocks and six queries."""
    torch.manual_seed(0)
    backbone = ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", out_features=["stage2"]
    )
    sizes = dict.fromkeys(("encoder_layers", "decoder_layers"), 1) | dict.fromkeys(
        ("encoder_ffn_dim", "decoder_ffn_dim", "d_model"), 16
    )
    heads = dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 2)
    config = DetrConfig(
        use_timm_backbone=False, backbone=None, backbone_config=backbone, num_queries=6, **sizes, **heads,
        **named("cat", "dog", "bird"),
    )  # fmt: skip
    return DetrForObjectDetection(config).eval()


def small_segformer(*names: str) -> SegformerForSemanticSegmentation:
    """SegFormer with four layers."""
    torch.manual_seed(0)
    config = SegformerConfig(
        hidden_sizes=[8, 8, 8, 8], depths=[1, 1, 1, 1], num_attention_heads=[1, 1, 1, 1], decoder_hidden_size=8,
        **named(*names),
    )  # fmt: skip
    return SegformerForSemanticSegmentation(config).eval()


def small_clip(side: int = 32) -> CLIPModel:
    """CLIP with a layer for images and one for texts."""
    torch.manual_seed(0)
    texts = SIZES | {"vocab_size": 60, "max_position_embeddings": 12, "bos_token_id": 1, "eos_token_id": 2}
    pictures = SIZES | {"image_size": side, "patch_size": 16}
    return CLIPModel(CLIPConfig(text_config=texts, vision_config=pictures, projection_dim=8)).eval()


def tokens(texts: list[str]) -> Tensor:
    """Numbers of letters, between those of a beginning and an end."""
    return torch.tensor([[1, *(3 + ord(letter) % 50 for letter in text), 2] for text in texts])


def small_ssd() -> nn.Module:
    """The smallest one-stage detector of torchvision."""
    torch.manual_seed(0)
    return detection.ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=4).eval()


class Places(nn.Module):
    """A segmenter of 21 labels."""

    def __init__(self) -> None:
        super().__init__()
        self.scores = nn.Conv2d(3, 21, 5, 4, 2)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """As torchvision's segmenters answer."""
        return {"out": F.interpolate(self.scores(images), images.shape[2:], mode="bilinear")}


def yolo(pictures: np.ndarray) -> list[SimpleNamespace]:
    """As Ultralytics answers."""
    found = RedThings(0)(torch.from_numpy(pictures).permute(0, 3, 1, 2))
    return [
        SimpleNamespace(
            boxes=SimpleNamespace(xyxy=each["boxes"], conf=each["scores"], cls=each["labels"].float()),
            names={0: "dog"},
        )
        for each in found
    ]


def names() -> dict[str, Any]:
    """The names that the examples use."""
    torch.manual_seed(0)
    images = torch.rand(2, 3, SIDE, SIDE) * 0.2 + 0.4
    images[:, :, 28:44, 16:40] = torch.tensor([0.9, 0.1, 0.1])[:, None, None]
    region = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    region[30:50, 10:40] = True
    dpt = DPTConfig(
        **SIZES | {"num_hidden_layers": 4}, image_size=SIDE, patch_size=16, backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[8, 8, 8, 8], fusion_hidden_size=8, is_hybrid=False,
    )  # fmt: skip
    siglip = {
        "text_config": SIZES | {"vocab_size": 60, "max_position_embeddings": 12, "bos_token_id": 1, "eos_token_id": 2},
        "vision_config": SIZES | {"image_size": SIDE, "patch_size": 16},
    }  # fmt: skip
    embedding = nn.Sequential(nn.Conv2d(3, 8, 5, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
    classifier = nn.Sequential(
        nn.Conv2d(3, 8, 5, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 3)
    )
    tumour = torch.zeros(4, 8, 8, dtype=torch.bool)
    tumour[1:3, 2:5, 2:5] = True
    found = {
        name: getattr(ss, name)
        for name in ("PartitionShap", "RegionShap", "DeepShap", "GradientShap", "targets")
    }
    return found | {name: getattr(ss.targets, name) for name in ss.targets.__all__} | {
        "torch": torch, "images": images, "references": torch.rand(1, 3, SIDE, SIDE),
        "other": torch.rand(1, 3, SIDE, SIDE),
        "photographs": images.permute(0, 2, 3, 1).numpy(), "region": region, "names": ("tabby cat", "tiger cat", "dog"),
        "detector": RedThings(18, 400), "yolo": yolo, "detr": small_detr(), "retinanet": small_ssd(),
        "deeplab": Places(), "segformer": small_segformer("road", "pavement"), "dpt": DPTForDepthEstimation(dpt).eval(),
        "unet": nn.Conv3d(1, 1, 3, padding=1), "volumes": torch.rand(1, 1, 4, 8, 8), "tumour": tumour,
        "black_volumes": torch.zeros(1, 1, 4, 8, 8), "siamese": embedding, "model": classifier,
        "clip": small_clip(SIDE), "siglip": SiglipModel(SiglipConfig(**siglip)).eval(), "processor": tokens,
    }  # fmt: skip
