"""The penalty on gradients outside the region: its value, and what it does to a model that is trained with it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from discs import write_discs
from shapsight.data.images import load_images
from shapsight.data.readers import read_dataset
from shapsight.data.remedies import read_recipe, right_reasons
from shapsight.data.remedies.treatment import Treatment
from shapsight.models.build import build_model
from shapsight.models.plan import TrainingPlan
from shapsight.models.train import fit


def test_the_penalty_of_a_linear_model_is_the_square_of_its_weights_outside():
    weights = torch.randn(1, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    inputs = torch.randn(4, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    regions = torch.rand(4, 3, 3) < 0.5
    outputs = (inputs * weights).sum((1, 2, 3))[:, None]
    penalty = right_reasons(outputs, inputs, regions)
    wanted = (weights**2 * ~regions[:, None]).sum((1, 2, 3)).mean()
    torch.testing.assert_close(penalty, wanted)
    (by_weights,) = torch.autograd.grad(penalty, weights)
    torch.testing.assert_close(by_weights, 2 * weights * (~regions[:, None]).double().mean(0, keepdim=True))


def test_the_mean_penalty_of_several_outputs_is_the_sum_of_each_ones():
    weights = torch.randn(3, 5, dtype=torch.float64)
    inputs = torch.randn(2, 1, 1, 5, dtype=torch.float64, requires_grad=True)
    regions = torch.tensor([[[True, False, False, True, False]]]).expand(2, 1, 5)
    outputs = inputs.flatten(1) @ weights.T
    drawn = torch.stack([right_reasons(outputs, inputs, regions) for _ in range(600)])
    wanted = weights[:, [1, 2, 4]].square().sum()
    assert abs(drawn.mean() - wanted) < 4 * drawn.std() / 600**0.5


def test_for_classes_it_is_the_gradient_of_the_summed_log_probabilities():
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 4)).double()
    inputs = torch.randn(1, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    regions = torch.tensor([[[True, False], [False, False]]])
    penalty = right_reasons(net(inputs), inputs, regions, are_logits=True)
    step, wanted = 1e-6, 0.0
    for place in np.ndindex(3, 2, 2):
        if regions[0, place[1], place[2]]:
            continue
        nudge = torch.zeros_like(inputs)
        nudge[(0, *place)] = step
        with torch.no_grad():
            up, down = (net(inputs + sign * nudge).log_softmax(1).sum() for sign in (1, -1))
        wanted += ((up - down) / (2 * step)) ** 2
    torch.testing.assert_close(penalty, torch.as_tensor(wanted), rtol=1e-5, atol=1e-7)


def test_a_model_trained_with_the_penalty_answers_less_to_the_scene(tmp_path: Path):
    write_discs(tmp_path / "red", 24)
    manifest = read_dataset(tmp_path)
    images = load_images(manifest, list(manifest.table["path"]), 32)
    masks = torch.zeros(len(images), 32, 32, dtype=torch.bool)
    masks[:, 16:] = True
    outside = {}
    for strength in (0.0, 10.0):
        treatment = Treatment(read_recipe("right-reasons"), masks, strength=strength)
        built = build_model("small_cnn", 2, weights="none")
        bundle = fit(
            built, manifest, images, TrainingPlan(epochs=6, device="cpu"), treatment=treatment, progress=False
        ).bundle
        assert bundle.card.training["recipe"] == "right-reasons"
        inputs = bundle.prepare(images).requires_grad_()
        (gradient,) = torch.autograd.grad(bundle.model(inputs)[:, 0].sum(), inputs)
        outside[strength] = gradient[:, :, :16].square().sum().item()
    assert outside[10.0] < 0.5 * outside[0.0]


def test_training_with_a_recipe_is_repeated_by_its_seed(tmp_path: Path):
    write_discs(tmp_path / "red", 12)
    manifest = read_dataset(tmp_path)
    images = load_images(manifest, list(manifest.table["path"]), 32)
    treatment = Treatment(read_recipe("flip,light,noise"), images_per_epoch=8)
    hashes = [
        fit(
            build_model("small_cnn", 2, weights="none"),
            manifest,
            images,
            TrainingPlan(epochs=2, seed=seed, device="cpu"),
            treatment=treatment,
            progress=False,
        ).bundle.card.model_hash
        for seed in (0, 0, 1)
    ]  # fmt: skip
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize("outputs", [1, 2])
def test_the_penalty_leaves_no_gradient_where_everything_is_inside(outputs):
    inputs = torch.randn(2, 1, 3, 3, requires_grad=True)
    out = inputs.flatten(1)[:, :outputs] * 3
    assert right_reasons(out, inputs, torch.ones(2, 3, 3, dtype=torch.bool)) == 0
