"""The measures of trust: closed forms where the model is linear, and what must hold for every explanation."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from scipy.stats import spearmanr
from torch import nn

from shapsight import DeepShap, RegionShap, TopK
from shapsight.data.decoding import decode_image
from shapsight.data.framing import Cropped
from shapsight.diagnosis.faithfulness import (
    against_exact,
    agreement,
    area_under,
    completeness,
    exact_agreement,
    games_of,
    hidden_effects,
    infidelity_per_image,
    max_sensitivity,
    random_rectangles,
    randomisation,
    randomised_models,
    rank_correlation,
    refuse_other_model,
    removal_curves,
    structural_similarity,
    uniform_noise,
)
from shapsight.diagnosis.faithfulness.blocks import block_map, block_sums
from shapsight.diagnosis.faithfulness.occlusion import occlusion, sliding_patches
from shapsight.diagnosis.faithfulness.randomisation import layers_from_the_output
from shapsight.errors import ExplainerError
from shapsight.models.bundle import Bundle, weights_hash
from shapsight.models.card import Card, normalise
from small_networks import convolutional, linear, pictures

GREY = 0.25


def of_linear(side=12):
    """A linear model, whose attributions against one grey reference are exact for every coalition of pixels."""
    model, images = linear(side=side), pictures(2, side=side)
    explanation = DeepShap(model, torch.full((1, 3, side, side), GREY), output_names=("x", "y"))(images)
    return model, images, explanation


@given(height=st.integers(1, 30), width=st.integers(1, 30), block=st.integers(1, 12), seed=st.integers(0, 9))
def test_blocks_divide_an_image_of_any_size_and_keep_its_sum(height, width, block, seed):
    labels = block_map((height, width), block)
    heatmap = torch.randn(2, height, width, generator=torch.Generator().manual_seed(seed))
    sums = block_sums(heatmap, labels)
    assert sorted(labels.unique().tolist()) == list(range(sums.shape[1]))
    torch.testing.assert_close(sums.sum(1), heatmap.double().sum((1, 2)))
    first = (block_map((height, width), block) == 0).nonzero()
    assert first.max() < block


def test_completeness_is_summed_again_and_a_lost_part_is_found():
    _, _, explanation = of_linear()
    exact = completeness(explanation)
    assert exact["of_attribution"].max() < 1e-6
    assert list(exact["output"]) == ["x", "y", "x", "y"]
    halved = dataclasses.replace(explanation, values=explanation.values / 2)
    np.testing.assert_allclose(completeness(halved)["of_change"], 0.5, rtol=1e-4)


def test_deletion_of_a_linear_model_loses_exactly_the_hidden_attributions():
    model, images, explanation = of_linear()
    curves = removal_curves(games_of(model, images, GREY), explanation, block=4, steps=9)
    sums = block_sums(explanation.heatmap(), block_map((12, 12), 4)).sort(2, descending=True).values
    lost = torch.cat([torch.zeros(2, 2, 1), sums.cumsum(2)], 2)
    expected = explanation.predictions.unsqueeze(2) - lost
    found = curves[curves["curve"] == "deletion"]["prediction"].to_numpy().reshape(2, 2, 10)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_insertion_ends_where_deletion_begins_and_begins_where_it_ends():
    model, images = convolutional(), pictures(2)
    explanation = DeepShap(model, pictures(3, seed=5))(images, TopK(2))
    curves = removal_curves(games_of(model, images, "blur(8,8)"), explanation, order="size", steps=5)
    for _, rows in curves.groupby(["image", "output"]):
        inserted, deleted = (rows[rows["curve"] == name] for name in ("insertion", "deletion"))
        assert inserted["prediction"].iloc[-1] == deleted["prediction"].iloc[0]
        assert inserted["prediction"].iloc[0] == deleted["prediction"].iloc[-1]
        assert deleted["distance"].iloc[0] == 0
        np.testing.assert_allclose(deleted["share"], np.linspace(0, 1, 6), atol=0.01)


def test_of_a_linear_model_no_order_deletes_faster_than_by_value():
    model, images, explanation = of_linear()
    games = games_of(model, images, GREY)
    keys = ["image", "output", "curve"]
    best = area_under(removal_curves(games, explanation, block=4, steps=9), "prediction").set_index(keys)[
        "area"
    ]
    for seed in range(5):
        chance = removal_curves(games, explanation, order="random", block=4, steps=9, seed=seed)
        other = area_under(chance, "prediction").set_index(keys)["area"]
        assert (best - other)[:, :, "deletion"].max() <= 1e-5
        assert (best - other)[:, :, "insertion"].min() >= -1e-5


def test_the_area_of_a_straight_line_is_its_middle():
    table = pd.DataFrame({"image": 0, "output": "x", "order": "value", "curve": "deletion"}, index=range(5))
    table = table.assign(share=np.linspace(0, 1, 5), value=np.linspace(2, 4, 5))
    assert area_under(table, "value")["area"].item() == pytest.approx(3)


def test_infidelity_of_a_linear_model_is_zero_and_of_shuffled_blocks_is_not():
    model, images, explanation = of_linear()
    effects = hidden_effects(games_of(model, images, GREY), explanation, block=3, perturbations=16)
    table = infidelity_per_image(effects)
    assert table["relative"].max() < 1e-9
    assert table["correlation"].min() > 0.999
    assert table["shuffled"].min() > 0.2


def test_twice_the_attribution_has_the_infidelity_of_none():
    model, images, explanation = of_linear()
    twice = dataclasses.replace(explanation, values=2 * explanation.values)
    table = infidelity_per_image(hidden_effects(games_of(model, images, GREY), twice, perturbations=8))
    np.testing.assert_allclose(table["relative"], 1, rtol=1e-4)


@given(height=st.integers(1, 40), width=st.integers(1, 40))
@settings(max_examples=30)
def test_random_rectangles_are_rectangles_inside_the_image(height, width):
    for mask in random_rectangles(height, width, 4, seed=height):
        rows, columns = mask.any(1), mask.any(0)
        assert mask.any()
        assert int(mask.sum()) == int(rows.sum() * columns.sum())
        assert int(rows.sum()) <= max(1, round(height / 2))


@given(height=st.integers(4, 40), width=st.integers(4, 40))
@settings(max_examples=30)
def test_patches_slide_over_all_of_the_image(height, width):
    patches = sliding_patches(height, width)
    assert patches.shape == (49, height, width)
    assert patches.any(0).all()
    assert (patches.flatten(1).sum(1) == round(height / 4) * round(width / 4)).all()


def test_an_image_too_small_for_a_patch_is_refused():
    with pytest.raises(ExplainerError, match="3 × 9 pixels"):
        sliding_patches(3, 9)


def test_occlusion_ranks_patches_as_exact_attributions_do_and_their_negatives_the_other_way():
    model, images, explanation = of_linear(side=16)
    games = games_of(model, images, GREY)
    np.testing.assert_allclose(occlusion(games, explanation)["rank_correlation"], 1, atol=1e-3)
    negative = dataclasses.replace(explanation, values=-explanation.values)
    np.testing.assert_allclose(occlusion(games, negative)["rank_correlation"], -1, atol=1e-3)


def test_occlusion_is_the_rank_correlation_of_differences_that_are_made_by_hand():
    torch.manual_seed(0)
    model, images = convolutional(outputs=1).eval(), pictures(1, side=16)
    explanation = DeepShap(model, torch.full((1, 3, 16, 16), GREY))(images)
    said, changed = [], []
    for patch in sliding_patches(16, 16):
        hidden = torch.where(patch, torch.tensor(GREY), images)
        said.append(float(explanation.values[0, 0][:, patch].sum()))
        changed.append(float((model(images) - model(hidden)).detach()))
    expected = spearmanr(said, changed).statistic
    found = occlusion(games_of(model, images, GREY), explanation)["rank_correlation"][0]
    assert found == pytest.approx(expected, abs=1e-3)


def test_max_sensitivity_of_a_linear_model_is_the_norm_of_the_moved_values():
    model, images, explanation = of_linear()
    noises = uniform_noise(images, 0.05, 4)
    explain = DeepShap(model, torch.full((1, 3, 12, 12), GREY), output_names=("x", "y"))
    weight = model[1].weight.detach().reshape(2, 3, 12, 12)
    moved = torch.stack([(weight * noise.unsqueeze(1)).flatten(2).norm(dim=2) for noise in noises]).amax(0)
    expected = moved / explanation.values.flatten(2).norm(dim=2)
    torch.testing.assert_close(max_sensitivity(explain, images, noises).float(), expected, rtol=1e-4, atol=0)
    whole = max_sensitivity(explain, images, noises, block=12, original=explanation)
    shift = torch.stack([(weight * noise.unsqueeze(1)).sum((2, 3, 4)).abs() for noise in noises]).amax(0)
    torch.testing.assert_close(
        whole.float(), shift / explanation.values.sum((2, 3, 4)).abs(), rtol=1e-3, atol=0
    )


def test_noise_that_changes_the_explained_classes_is_refused():
    model, images = convolutional(), pictures(4)
    explain = DeepShap(model, pictures(2, seed=5))
    noises = uniform_noise(images, 20.0, 5)
    with pytest.raises(ExplainerError, match=r"outputs=explanation\.output_index"):
        max_sensitivity(lambda given: explain(given, TopK(1)), images, noises)


@given(st.integers(0, 1000))
@settings(max_examples=30)
def test_rank_correlation_is_scipys_with_ties_and_ignores_what_keeps_the_order(seed):
    generator = np.random.default_rng(seed)
    first, second = generator.integers(0, 6, (2, 3, 20)).astype(float)
    ours = rank_correlation(first, second)
    np.testing.assert_allclose(
        ours, [spearmanr(a, b)[0] for a, b in zip(first, second, strict=True)], atol=1e-12
    )
    np.testing.assert_allclose(rank_correlation(np.exp(first), 3 * second - 1), ours, atol=1e-12)


def test_maps_without_differences_have_no_similarity():
    flat, other = np.zeros((1, 8, 8)), np.random.default_rng(0).normal(size=(1, 8, 8))
    assert np.isnan(rank_correlation(flat.reshape(1, -1), other.reshape(1, -1))).all()
    assert np.isnan(structural_similarity(flat, other)).all()
    assert structural_similarity(other, 5 * other) == pytest.approx([1])


class OutOfOrder(nn.Module):
    """Its layers are registered in another order than they are called."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(4, 2)
        self.shift = nn.Parameter(torch.arange(4.0))
        self.first = nn.Conv2d(3, 4, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.last(self.first(images).relu().mean((2, 3)) + self.shift)


def test_layers_are_randomised_in_the_order_of_the_calls_from_the_output():
    model, image = OutOfOrder().eval(), pictures(1)
    assert layers_from_the_output(model, image) == ["last", "first", ""]
    before = weights_hash(model)
    own = {name: value.clone() for name, value in model.state_dict().items()}
    seen = []
    for layer, random in randomised_models(model, image):
        seen.append((layer, {n for n, v in random.state_dict().items() if not torch.equal(v, own[n])}))
    assert seen[0] == ("last", {"last.weight", "last.bias"})
    assert seen[1][1] == seen[0][1] | {"first.weight", "first.bias"}
    assert seen[2][1] == set(own)
    assert weights_hash(model) == before


def test_the_last_of_few_steps_leaves_nothing_learned_and_random_numbers_are_left_alone():
    model = convolutional().train()
    with torch.no_grad():
        model[1].weight.fill_(3.0)
    state = torch.get_rng_state()
    names = [name for name, _ in randomised_models(model, pictures(1), steps=2, seed=4)]
    assert torch.equal(state, torch.get_rng_state())
    assert names == ["4", "0"]
    assert model.training
    assert not any(module._forward_pre_hooks for module in model.modules())
    *_, (_, random) = randomised_models(model, pictures(1), steps=2, seed=4)
    assert (random[1].weight == 1).all()


def test_a_model_without_weights_has_nothing_to_randomise():
    with pytest.raises(ExplainerError, match="no weights"):
        list(randomised_models(nn.Flatten(), pictures(1)))


def test_similarity_starts_at_one_and_falls_for_a_trained_direction():
    model, images, explanation = of_linear()
    explain = DeepShap(model, torch.full((1, 3, 12, 12), GREY), output_names=("x", "y"))
    same, _ = randomisation(lambda _: explain(images), [("none", model)], explanation)
    np.testing.assert_allclose(same[["rank_correlation", "absolute", "ssim"]], 1, atol=1e-6)
    table, explanations = randomisation(
        lambda random: DeepShap(random, explain.references[0])(images),
        randomised_models(model, images[:1]),
        explanation,
    )
    assert list(explanations) == ["1"]
    assert table["rank_correlation"].abs().max() < 0.3


def test_methods_agree_with_themselves_and_not_with_noise():
    _, _, explanation = of_linear()
    noise = dataclasses.replace(explanation, values=torch.randn_like(explanation.values))
    opposite = dataclasses.replace(explanation, values=-explanation.values)
    table = agreement(
        {"one": explanation, "same": explanation, "noise": noise, "opposite": opposite}, block=2
    )
    means = table.groupby(["first", "second"])["rank_correlation"].mean()
    assert means["one", "same"] == pytest.approx(1)
    assert means["one", "opposite"] == pytest.approx(-1)
    assert abs(means["one", "noise"]) < 0.35
    assert len(table) == 6 * 4
    with pytest.raises(ExplainerError, match="same images and outputs"):
        agreement({"one": explanation, "less": explanation[:1]}, block=2)


def test_of_a_linear_model_deepshap_gives_regions_their_exact_shapley_values():
    model, images, explanation = of_linear()
    exact = RegionShap(model, GREY, "grid(3,4)").by_region(images)
    table = against_exact(explanation, exact)
    assert len(table) == 2 * 2 * 12
    np.testing.assert_allclose(table["attribution"], table["exact"], atol=1e-5)
    per_image = exact_agreement(table)
    np.testing.assert_allclose(per_image[["rank_correlation", "correlation", "same_sign"]], 1, atol=1e-9)
    with pytest.raises(ExplainerError, match="other images or outputs"):
        against_exact(explanation[:1], exact)


def test_games_of_other_images_are_refused_with_both_sizes():
    model, images, explanation = of_linear()
    with pytest.raises(ExplainerError, match=r"1 images of .*\(12, 12\)"):
        removal_curves(games_of(model, images[:1], GREY), explanation)


def tiny_bundle(seed):
    torch.manual_seed(seed)
    model = convolutional(outputs=2)
    with torch.no_grad():
        model[-1].weight += 0.1 * seed
    card = Card(
        "tiny", ("x", "y"), {}, 16, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), model_hash=weights_hash(model)
    )
    images = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8)
    return Bundle(model, card, images[:2]), images


def test_an_explanation_of_another_model_is_refused_by_its_hash_and_by_its_predictions():
    bundle, images = tiny_bundle(0)
    other, _ = tiny_bundle(1)
    explanation = DeepShap(bundle.model, bundle.prepare(bundle.references))(bundle.prepare(images))
    refuse_other_model(explanation, bundle, images)
    with pytest.raises(ExplainerError, match="predictions differ"):
        refuse_other_model(explanation, other, images)
    with pytest.raises(ExplainerError, match="predictions differ"):
        refuse_other_model(explanation, bundle, images.flip(0))
    hashed = dataclasses.replace(explanation, settings={"model_hash": weights_hash(bundle.model)})
    refuse_other_model(hashed, bundle, images)
    with pytest.raises(ExplainerError, match="weights' hash"):
        refuse_other_model(hashed, other, images)
    with pytest.raises(ExplainerError, match="does not fit"):
        refuse_other_model(explanation, bundle, images[:2])


@pytest.mark.shared
def test_on_a_photograph_deepshap_of_squeezenet_goes_along_with_exact_values_and_the_model(shared):
    """The egret, which ImageNet's SqueezeNet-1.1 is sure of."""
    network = torchvision.models.squeezenet1_1()
    weights = load_file(shared / "models" / "squeezenet1_1_imagenet.safetensors")
    network.load_state_dict({name: value.float() for name, value in weights.items()})
    files = sorted((shared / "data" / "imagenet50").glob("*.jpg"))
    egret = next(path for path in files if path.name == "sim_n02010272_1613.jpg")
    others = [path for path in files if path != egret]
    pixels = torch.stack([Cropped(224).see(decode_image(path)) for path in [egret, *others[:16]]])
    images = normalise(pixels, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    explanation = DeepShap(network.eval(), images[1:])(images[:1], TopK(1))
    exact = RegionShap(network, "blur(112,112)", "grid(2,4)").by_region(images[:1], explanation.output_index)
    agreed = exact_agreement(against_exact(explanation, exact))
    assert agreed["correlation"].item() > 0.9
    assert agreed["same_sign"].item() == 1
    games = games_of(network, images[:1], "blur(112,112)")
    curves = [removal_curves(games, explanation, order=order, steps=8) for order in ("value", "random")]
    areas = area_under(pd.concat(curves), "prediction").set_index(["curve", "order"])["area"]
    assert areas["deletion", "value"] < areas["deletion", "random"]
    assert areas["insertion", "value"] > areas["insertion", "random"]
