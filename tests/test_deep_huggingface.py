"""Hugging Face's image classifiers, built from configurations: explained as they are, by the logits of their output."""

import warnings

import pytest
import torch

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


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_the_logits_of_a_classifier_are_explained_exactly(name: str):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = getattr(transformers, f"{name}Config")(**CLASSIFIERS[name], num_labels=4)
        model = getattr(transformers, f"{name}ForImageClassification")(config).eval().double()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
    size = CLASSIFIERS[name].get("image_size", 64)
    images, references = torch.randn(2, 3, size, size).double(), torch.randn(3, 3, size, size).double()
    explanation = DeepShap(model, references)(images)
    with torch.no_grad():
        change = model(images).logits - model(references).logits.mean(0)
    torch.testing.assert_close(
        explanation.values.sum((2, 3, 4)), change, rtol=1e-9, atol=1e-9 * change.abs().max().item()
    )
