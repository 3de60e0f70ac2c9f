"""The measures of trust against Quantus's, on the same explanations, where both define the same number."""

import numpy as np
import pytest
import quantus
import torch
from captum.metrics import infidelity as captum_infidelity

from shapsight import DeepShap
from shapsight.diagnosis.faithfulness import (
    games_of,
    hidden_effects,
    infidelity_per_image,
    max_sensitivity,
    pearson,
    randomisation,
    removal_curves,
    structural_similarity,
    uniform_noise,
)
from small_networks import convolutional, pictures

CHANNELS = pytest.mark.parametrize("channels", [1, 3])
CLASSES = torch.tensor([2, 0, 1])
QUIET = {"disable_warnings": True, "display_progressbar": False}


def explained(model, images):
    return DeepShap(model, pictures(4, images.shape[1], images.shape[2], seed=9))(images, CLASSES)


def arrays(images, values):
    return {
        "x_batch": images.numpy(),
        "y_batch": CLASSES.numpy(),
        "a_batch": values.numpy(),
        "channel_first": True,
        "softmax": False,
    }


@CHANNELS
def test_pixel_flipping_by_blocks_is_quantus_selectivity(channels):
    model, images = convolutional(channels), pictures(3, channels)
    explanation = explained(model, images)
    curves = removal_curves(games_of(model, images, 0.25), explanation, block=4, steps=16)
    ours = curves[curves["curve"] == "deletion"]["prediction"].to_numpy().reshape(3, 17)[:, 1:]
    theirs = quantus.Selectivity(patch_size=4, perturb_baseline=0.25, normalise=False, **QUIET)(
        model, **arrays(images, explanation.values[:, 0])
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_flipping_pixel_after_pixel_is_quantus_pixel_flipping():
    model, images = convolutional(1), pictures(3, 1, 8)
    explanation = explained(model, images)
    curves = removal_curves(games_of(model, images, 0.0), explanation, block=1, steps=16)
    ours = curves[curves["curve"] == "deletion"]["prediction"].to_numpy().reshape(3, 17)[:, 1:]
    theirs = quantus.PixelFlipping(features_in_step=4, perturb_baseline=0.0, normalise=False, **QUIET)(
        model, **arrays(images, explanation.values[:, 0])
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


@CHANNELS
def test_infidelity_is_that_of_quantus(channels):
    """Quantus hides block after block and takes gradients, which SHAP values are once divided by the change."""
    model, images = convolutional(channels), pictures(3, channels)
    explanation = explained(model, images)
    hidden = torch.zeros(16, 16, 16, dtype=torch.bool)
    for number in range(16):
        for before in range(number + 1):
            row, column = divmod(before, 4)
            hidden[number, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] = True
    ours = infidelity_per_image(hidden_effects(games_of(model, images, 0.0), explanation, hidden=hidden))
    metric = quantus.Infidelity(
        perturb_patch_sizes=[4], n_perturb_samples=1, perturb_baseline=0.0, normalise=False, **QUIET
    )
    theirs = metric(model, **arrays(images, explanation.values[:, 0] / images))
    np.testing.assert_allclose(ours["infidelity"], theirs, atol=1e-4, rtol=1e-4)


def test_infidelity_is_that_of_captum():
    model, images = convolutional(), pictures()
    explanation = explained(model, images)
    hidden = torch.rand(20, 1, 16, 16, generator=torch.Generator().manual_seed(3)) < 0.3
    drawn = iter(hidden)

    def perturb(inputs):
        mask = next(drawn)
        return inputs * mask, inputs * ~mask

    theirs = captum_infidelity(
        model, perturb, images, explanation.values[:, 0] / images, target=CLASSES, n_perturb_samples=20,
        max_examples_per_batch=3,
    )  # fmt: skip
    effects = hidden_effects(games_of(model, images, 0.0), explanation, hidden=hidden[:, 0])
    np.testing.assert_allclose(
        infidelity_per_image(effects)["infidelity"], theirs.detach(), atol=1e-4, rtol=1e-4
    )


@CHANNELS
def test_max_sensitivity_is_that_of_quantus(channels):
    model, images = convolutional(channels), pictures(3, channels)
    explanation = explained(model, images)
    noises = uniform_noise(images, 0.05, 5, seed=4)
    drawn = iter(noises)

    def add_ours(arr, indices, **_):
        return arr + next(drawn).flatten(1).numpy()

    def explain_again(model, inputs, targets, **_):
        return explained(model, torch.as_tensor(inputs)).values[:, 0].numpy()

    theirs = quantus.MaxSensitivity(nr_samples=5, perturb_func=add_ours, **QUIET)(
        model, explain_func=explain_again, **arrays(images, explanation.values[:, 0])
    )
    ours = max_sensitivity(lambda given: explained(model, given), images, noises)
    np.testing.assert_allclose(ours[:, 0], theirs, atol=1e-4)


@pytest.mark.parametrize(("is_absolute", "column"), [(False, "rank_correlation"), (True, "absolute")])
def test_similarity_under_cascading_randomisation_is_that_of_quantus(is_absolute, column):
    model, images = convolutional(1), pictures(3, 1)
    explanation = explained(model, images)

    def explain_again(model, inputs, targets, **_):
        return explained(model, torch.as_tensor(inputs)).values[:, 0].numpy()

    theirs = quantus.MPRT(abs=is_absolute, normalise=False, seed=5, **QUIET)(
        model, explain_func=explain_again, **arrays(images, explanation.values[:, 0])
    )
    # The same random models as Quantus makes: one copy that loses one layer after another.
    models = quantus.helpers.utils.get_wrapped_model(model, True, False).get_random_layer_generator(seed=5)
    ours, _ = randomisation(lambda random: explained(random, images), models, explanation)
    for layer, rows in ours.groupby("layer"):
        np.testing.assert_allclose(rows[column], theirs[layer], atol=1e-4)
    assert set(ours["layer"]) == set(theirs) - {"original"}


def test_structural_similarity_is_that_of_quantus():
    generator = np.random.default_rng(0)
    first = generator.normal(size=(3, 16, 16))
    second = first + generator.normal(size=(3, 16, 16))
    one, two = (maps / np.abs(maps).max((1, 2), keepdims=True) for maps in (first, second))
    theirs = quantus.similarity_func.ssim(one, two, batched=True)
    np.testing.assert_allclose(structural_similarity(first, second), theirs, atol=1e-4)


def test_correlation_with_the_change_is_that_of_quantus_similarity():
    """Quantus's faithfulness correlation draws its subsets inside; what is compared here is its similarity."""
    said, did = np.random.default_rng(1).normal(size=(2, 1, 40))
    assert pearson(said[0], did[0]) == pytest.approx(
        float(quantus.similarity_func.correlation_pearson(said, did, batched=True)[0]), abs=1e-4
    )
