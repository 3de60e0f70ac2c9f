"""Hugging Face's image classifiers, built from configurations: explained as they are, by the logits of their output."""

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from shapsight import DeepShap

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what transformers says when it is imported is not about us
    import transformers

TRANSFORMER = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48,
    "image_size": 32, "patch_size": 8,
}  # fmt: skip
STAGES = {"hidden_sizes": [8, 16], "depths": [1, 1]}
FOUR_STAGES = {"hidden_sizes": [8, 16, 16, 16], "depths": [1, 1, 1, 1]}
WINDOWS = {
    "image_size": 32,
    "patch_size": 4,
    "embed_dim": 8,
    "depths": [2, 2],
    "num_heads": [1, 2],
    "window_size": 4,
}
CLASSIFIERS = {
    "ViT": TRANSFORMER,
    "Beit": TRANSFORMER,
    "Dinov2": {name: value for name, value in TRANSFORMER.items() if name != "intermediate_size"},
    "Swin": WINDOWS,
    "Swinv2": WINDOWS,
    "ConvNext": STAGES | {"num_stages": 2},
    "ConvNextV2": STAGES | {"num_stages": 2},
    "ResNet": STAGES | {"embedding_size": 8},
    "RegNet": STAGES | {"embedding_size": 8, "groups_width": 4},
    "PoolFormer": FOUR_STAGES,
    "Segformer": FOUR_STAGES | {"num_attention_heads": [1, 1, 1, 1]},
    "MobileNetV1": {"depth_multiplier": 0.25},
    "MobileNetV2": {"depth_multiplier": 0.35},
}


def keep_the_scale(model: nn.Module) -> None:
    for parameter in model.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_the_logits_of_a_classifier_are_explained_exactly(name: str):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = getattr(transformers, f"{name}Config")(**CLASSIFIERS[name], num_labels=4)
        model = getattr(transformers, f"{name}ForImageClassification")(config).eval().double()
    keep_the_scale(model)
    size = CLASSIFIERS[name].get("image_size", 64)
    images, references = torch.randn(2, 3, size, size).double(), torch.randn(3, 3, size, size).double()
    explanation = DeepShap(model, references)(images)
    with torch.no_grad():
        change = model(images).logits - model(references).logits.mean(0)
    torch.testing.assert_close(
        explanation.values.sum((2, 3, 4)), change, rtol=1e-9, atol=1e-9 * change.abs().max().item()
    )


def vilt() -> Any:
    """It puts the patches of every image into a random order."""
    sizes = {name: value for name, value in TRANSFORMER.items() if name not in ("image_size", "patch_size")}
    config = transformers.ViltConfig(**sizes, image_size=32, patch_size=8, vocab_size=9, num_labels=4)
    return transformers.ViltForQuestionAnswering(config)


def llava() -> Any:
    """It splits the features of a batch into those of each image."""
    tongue = transformers.LlamaConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2, vocab_size=60
    )
    config = transformers.LlavaConfig(
        vision_config=transformers.CLIPVisionConfig(**TRANSFORMER),
        text_config=tongue,
        image_token_id=50,
        image_token_index=50,
        vision_feature_layer=-1,
    )
    return transformers.LlavaForConditionalGeneration(config)


DETECTOR = {
    "d_model": 32, "decoder_layers": 2, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "num_queries": 5, "num_labels": 4,
}  # fmt: skip
BACKBONE = {
    "embedding_size": 8, "hidden_sizes": [8, 8, 8, 8], "depths": [1, 1, 1, 1], "layer_type": "basic",
    "out_features": ["stage2", "stage3", "stage4"],
}  # fmt: skip


def deformable_detr() -> Any:
    """Its queries read at places that they compute."""
    config = transformers.DeformableDetrConfig(
        **DETECTOR,
        encoder_layers=1,
        use_timm_backbone=False,
        backbone=None,
        use_pretrained_backbone=False,
        backbone_config=transformers.ResNetConfig(**BACKBONE),
    )
    return transformers.DeformableDetrForObjectDetection(config)


def rt_detr() -> Any:
    """Its queries are the places with the highest scores."""
    config = transformers.RTDetrConfig(
        **DETECTOR,
        encoder_hidden_dim=32,
        encoder_in_channels=[8, 8, 8],
        decoder_in_channels=[32, 32, 32],
        backbone_config=transformers.RTDetrResNetConfig(**BACKBONE),
    )
    return transformers.RTDetrForObjectDetection(config)


class Asked(nn.Module):
    """The logits of an answer, or those of its last word or query; beside the image, words."""

    def __init__(self, model: nn.Module, words: list[int]) -> None:
        super().__init__()
        self.model, self.words = model, words

    def forward(self, images: Tensor) -> Tensor:
        asked = {"input_ids": torch.tensor([self.words]).expand(len(images), -1)} if self.words else {}
        logits: Tensor = self.model(pixel_values=images, **asked).logits
        return logits if logits.dim() == 2 else logits[:, -1]


UNUSUAL = {
    "ViLT": (vilt, [1, 4, 5, 2], 32),
    "LLaVA": (llava, [1] + [50] * 16 + [5], 32),
    "Deformable DETR": (deformable_detr, [], 96),
    "RT-DETR": (rt_detr, [], 64),
}


@pytest.mark.parametrize("name", UNUSUAL)
@pytest.mark.filterwarnings("ignore::shapsight.attribution.deep.SelectionWarning")
def test_models_that_loop_read_elsewhere_or_select_are_explained_exactly(name: str) -> None:
    make, words, size = UNUSUAL[name]
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = Asked(make(), words).double().eval()
    keep_the_scale(model)
    images, references = torch.rand(2, 3, size, size).double(), torch.rand(2, 3, size, size).double()
    explanation = DeepShap(model, references)(images, [0, 1])
    with torch.no_grad():  # parts of these compute in float32, which DeepShap does not
        torch.testing.assert_close(explanation.predictions, model(images)[:, :2], rtol=1e-4, atol=1e-5)
    change = (explanation.predictions - explanation.base_values).abs().max()
    assert explanation.completeness_gap.abs().max() < 1e-9 * change
