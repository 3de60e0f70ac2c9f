"""The same numbers as shap's PartitionExplainer, compared live."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torchvision.models import squeezenet1_1

from shapsight import PartitionShap

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import shap

COLUMNS = [132, 131, 135]


def both_ways(predict, image, masker, budget, contexts="both", batch=20, columns=COLUMNS):
    """Values of shap and of ours, each (outputs, channels, height, width)."""
    explainer = shap.PartitionExplainer(predict, shap.maskers.Image(masker, image.shape))
    fixed = {} if contexts == "both" else {"fixed_context": contexts}
    with warnings.catch_warnings(action="ignore"):
        theirs = explainer(
            image[None], max_evals=budget, batch_size=batch, outputs=columns, silent=True, **fixed
        )
    constant = isinstance(masker, np.ndarray)
    ours_masker = float(masker.flat[0]) if constant else masker
    ours = PartitionShap(predict, ours_masker, "axis", budget, batch, contexts)(image, outputs=columns)
    return np.moveaxis(theirs.values[0], (3, 2), (0, 1)), ours.values[0].numpy()


def close(theirs, ours):
    return np.abs(theirs - ours).max() <= 1e-5 * max(1.0, np.abs(theirs).sum((1, 2, 3)).max())


@pytest.fixture(scope="module")
def squeezenet(shared):
    weights = load_file(shared / "models" / "squeezenet1_1_imagenet.safetensors")
    model = squeezenet1_1()
    model.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    model.eval()
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])

    def predict(images):
        images = images if images.shape[3] == 3 else images.repeat(3, axis=3)
        scaled = torch.from_numpy((images / 255 - mean) / std).float().permute(0, 3, 1, 2)
        with torch.inference_mode():
            return model(scaled).numpy()

    return predict


@pytest.fixture(scope="module")
def egret(shared):
    return Image.open(shared / "data" / "imagenet50" / "sim_n02010272_1613.jpg").convert("RGB")


def sized(picture, width, height, channels=3):
    pixels = np.asarray(picture.resize((width, height)).convert("RGB" if channels == 3 else "L"), dtype=float)
    return pixels.reshape(height, width, channels)


@pytest.mark.shared
@pytest.mark.parametrize("masker", ["inpaint_telea", "inpaint_ns", "blur(64,64)", "constant"])
@pytest.mark.parametrize("shape", [(64, 64, 3), (96, 65, 1)])
def test_real_photographs_get_the_values_of_shap(squeezenet, egret, masker, shape):
    image = sized(egret, *shape)
    theirs, ours = both_ways(
        squeezenet, image, np.full(image.shape, 90.0) if masker == "constant" else masker, 100
    )
    assert close(theirs, ours)


@pytest.mark.shared
@pytest.mark.parametrize("contexts", [0, 1])
def test_fixed_contexts_get_the_values_of_shap(squeezenet, egret, contexts):
    theirs, ours = both_ways(squeezenet, sized(egret, 64, 64), "blur(64,64)", 150, contexts)
    assert close(theirs, ours)


@pytest.mark.shared
def test_a_larger_budget_gets_the_values_of_shap(squeezenet, egret):
    theirs, ours = both_ways(squeezenet, sized(egret, 64, 48), "blur(40,40)", 500, batch=50)
    assert close(theirs, ours)


@pytest.mark.parametrize("contexts", ["both", 0, 1])
@pytest.mark.parametrize("shape", [(12, 9, 3), (7, 16, 1)])
def test_five_thousand_evaluations_reach_single_channels_as_in_shap(contexts, shape):
    weights = np.random.default_rng(0).normal(size=(np.prod(shape), 2))

    def predict(images):
        return np.tanh(images.reshape(len(images), -1) @ weights / 400) * 10

    image = np.random.default_rng(1).uniform(0, 255, shape)
    theirs, ours = both_ways(predict, image, np.full(shape, 128.0), 5000, contexts, columns=[0, 1])
    assert close(theirs, ours)
