"""The same game, whatever library the model comes from: torchvision, timm, Keras on torch, scikit-learn."""

import os
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from shapsight.attribution.maskers import as_masker
from shapsight.attribution.shared.game import Game
from shapsight.attribution.shared.predictor import Predictor, as_images, is_keras

os.environ.setdefault("KERAS_BACKEND", "torch")  # read when Keras is first imported


def coalitions(count, size):
    return torch.rand(count, 1, size, size) > 0.5


def played(predict, images, count=5, masker="blur(8,8)"):
    """What a model says of some coalitions of an image, by way of a game and, one by one, without."""
    predictor = Predictor(predict)
    image = as_images(images, predictor)[0]
    game = Game(predictor, as_masker(masker), image, batch_size=3)
    visible = coalitions(count, image.shape[1])
    game.full(), game.empty()
    return game.values(visible), as_masker(masker).hide(image, visible)


@pytest.mark.parametrize("name", ["squeezenet1_1", "resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_5"])
def test_torchvision_models(name):
    import torchvision

    model = torchvision.models.get_model(name, weights=None, num_classes=5)
    values, masked = played(model, torch.rand(1, 3, 224, 224), 2, "blur(128,128)")
    with torch.no_grad():
        torch.testing.assert_close(values, model.eval()(masked), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["resnet10t", "convnext_atto", "test_vit", "test_efficientnet"])
def test_timm_models(name):
    import timm

    model = timm.create_model(name, pretrained=False, num_classes=5)
    size = model.default_cfg["input_size"][-1] if name == "test_vit" else 64
    values, masked = played(model, torch.rand(1, 3, size, size))
    with torch.no_grad():
        torch.testing.assert_close(values, model.eval()(masked), atol=1e-5, rtol=1e-4)


@pytest.fixture(scope="module")
def keras():
    with warnings.catch_warnings(action="ignore"):
        import keras
    assert keras.backend.backend() == "torch"
    return keras


@pytest.mark.filterwarnings("ignore")
def test_keras_models_get_channels_last_whether_called_themselves_or_by_a_function(keras):
    model = keras.applications.ResNet50(weights=None, input_shape=(64, 64, 3), classes=7)
    assert isinstance(model, nn.Module)  # on the torch backend
    assert is_keras(model)
    assert not is_keras(nn.Linear(2, 2))
    images = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3)).astype(np.float32)
    for predict in (model, lambda batch: model.predict(batch, verbose=0)):
        values, masked = played(predict, images)
        expected = model.predict(masked.permute(0, 2, 3, 1).numpy(), verbose=0)
        assert values.shape == (5, 7)
        np.testing.assert_allclose(values.numpy(), expected, rtol=1e-4, atol=1e-6)


def test_a_scikit_learn_pipeline_on_flattened_pixels():
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    digits = load_digits()
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
    pipeline.fit(digits.data, digits.target)
    images = digits.images[:1, :, :, None]
    values, masked = played(
        lambda batch: pipeline.predict_proba(batch.reshape(len(batch), -1)), images, masker="blur(4,4)"
    )
    np.testing.assert_allclose(values.numpy(), pipeline.predict_proba(masked.flatten(1).numpy()))


def test_a_hugging_face_classifier():
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=32,
        patch_size=8,
    )
    model = ViTForImageClassification(config)
    values, masked = played(model, torch.rand(1, 3, 32, 32))
    with torch.no_grad():
        torch.testing.assert_close(values, model.eval()(masked).logits)
