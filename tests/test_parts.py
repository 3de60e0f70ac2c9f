"""Parts of explanations: signed sums over any partition, their standard errors, and exact values of the same parts."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from shapsight import DeepShap, Explanation, GradientShap, TopK
from shapsight.diagnosis.exact_parts import AGREE, agreement_of, exact_parts
from shapsight.errors import DataError, ExplainerError
from small_networks import convolutional

SIDE = 12


def network(outputs: int = 2) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(36, outputs)
    ).eval()


def tensors(images: int = 3, references: int = 9, seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(images, 3, SIDE, SIDE, generator=generator),
        torch.randn(references, 3, SIDE, SIDE, generator=generator),
    )


def regions(images: int = 3) -> Tensor:
    return torch.rand(images, SIDE, SIDE, generator=torch.Generator().manual_seed(2)) > 0.6


@pytest.fixture(scope="module")
def explained() -> Explanation:
    images, references = tensors()
    return DeepShap(network(), references)(images)


def test_parts_are_sums_of_values_with_their_sign(explained):
    roi = regions()
    found = explained.parts(roi.long())
    heat = explained.values.sum(2)
    for image, output in itertools.product(range(3), range(2)):
        expected = [heat[image, output][~roi[image]].sum(), heat[image, output][roi[image]].sum()]
        torch.testing.assert_close(found.values[image, output], torch.stack(expected))
    assert found.std_errors is None


@settings(max_examples=25, deadline=None)
@given(parts=st.integers(1, 9), seed=st.integers(0, 1000))
def test_parts_of_any_partition_sum_to_the_prediction_less_the_base_value(parts, seed):
    images, references = tensors(2, 3)
    explanation = DeepShap(network(), references)(images)
    labels = torch.randint(parts, (2, SIDE, SIDE), generator=torch.Generator().manual_seed(seed))
    found = explanation.parts(labels).values.sum(2)
    change = explanation.predictions - explanation.base_values - explanation.completeness_gap
    torch.testing.assert_close(found, change, rtol=1e-4, atol=1e-6)


def test_masks_of_parts_and_their_label_map_say_the_same(explained):
    labels = torch.arange(SIDE * SIDE).reshape(SIDE, SIDE) % 3
    masks = torch.stack([labels == part for part in range(3)])
    expected = explained.parts(labels).values
    for given_masks in (masks, masks.numpy(), masks.expand(3, -1, -1, -1), labels.expand(3, -1, -1)):
        assert torch.equal(explained.parts(given_masks).values, expected)
    one = explained.parts(masks[1])  # a single mask: part 1, and all else part 0
    torch.testing.assert_close(one.values[..., 1], expected[..., 1])


def test_a_part_without_pixels_has_zero_and_no_nan(explained):
    masks = torch.zeros(3, SIDE, SIDE, dtype=torch.bool)
    masks[1] = True
    values = explained.parts(masks).values
    assert torch.equal(values[..., [0, 2]], torch.zeros(3, 2, 2))
    torch.testing.assert_close(values[..., 1], explained.values.sum((2, 3, 4)))


@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 0.5, 1.0, 1.0, 3.0, 1.0, 1.0, 0.25]])
def test_standard_errors_of_parts_are_those_of_the_parts_of_single_references(weights):
    images, references = tensors()
    labels = regions().long()
    found = DeepShap(network(), references, weights=weights)(images, parts=labels).parts()
    each = torch.stack(
        [DeepShap(network(), one[None])(images).parts(labels).values.double() for one in references]
    )
    w = torch.ones(9, dtype=torch.float64) if weights is None else torch.tensor(weights, dtype=torch.float64)
    w = w.reshape(-1, 1, 1, 1)
    mean = (w * each).sum(0) / w.sum()
    spread = (w.square() * (each - mean).square()).sum(0) / (w.sum() ** 2 - w.square().sum())
    torch.testing.assert_close(found.std_errors.double(), spread.sqrt(), rtol=1e-4, atol=1e-8)
    if weights is None:
        torch.testing.assert_close(
            found.std_errors.double(), each.std(0) / math.sqrt(9), rtol=1e-4, atol=1e-8
        )


def test_standard_errors_of_a_part_account_for_what_its_pixels_share():
    """Every pixel moves with the mean of the reference, so errors of pixels must not be added in quadrature."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 1))
    nn.init.ones_(model[1].weight)
    images = torch.zeros(1, 3, SIDE, SIDE)
    references = torch.linspace(0, 2, 9).reshape(9, 1, 1, 1).expand(9, 3, SIDE, SIDE).contiguous()
    explanation = DeepShap(model, references)(images, parts=torch.zeros(SIDE, SIDE, dtype=torch.long))
    pixels = 3 * SIDE * SIDE
    assert explanation.parts().std_errors.item() == pytest.approx(
        pixels * references[:, 0, 0, 0].std().item() / 3, rel=1e-4
    )
    assert explanation.std_errors.square().sum().sqrt() < explanation.parts().std_errors / 10


def test_known_standard_errors_are_kept_by_selection_files_and_arithmetic(tmp_path):
    images, references = tensors()
    labels = regions().long()
    whole = DeepShap(network(), references)(images, parts=labels)
    some = whole.select(images=[2, 0], outputs=[1])
    assert torch.equal(some.parts().std_errors, whole.parts().std_errors[[2, 0]][:, [1]])
    assert torch.equal(some.parts(labels[[2, 0]]).std_errors, some.parts().std_errors)
    assert some.parts(1 - labels[[2, 0]]).std_errors is None  # other parts
    loaded = Explanation.load(whole.save(tmp_path / "parts.safetensors"))
    assert torch.equal(loaded.parts().std_errors, whole.parts().std_errors)
    torch.testing.assert_close((whole * -2).parts().std_errors, 2 * whole.parts().std_errors)
    torch.testing.assert_close((whole + whole).parts().std_errors, math.sqrt(2) * whole.parts().std_errors)
    joined = Explanation.concatenate([whole[:1], whole[1:]])
    assert torch.equal(joined.parts().std_errors, whole.parts().std_errors)
    other = DeepShap(network(), references)(images, parts=1 - labels)
    assert (whole - other).part_labels is None


def test_parts_of_several_inputs_sum_to_the_change_together():
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.other = network(1), network(1)

        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return self.one(x) * self.other(y)

    images, references = tensors()
    first, second = DeepShap(Two().eval(), (references, references.flip(0)))((images, images.flip(0)))
    labels = regions().long()
    total = first.parts(labels).values.sum(2) + second.parts(labels).values.sum(2)
    change = first.predictions - first.base_values - first.completeness_gap
    torch.testing.assert_close(total, change, rtol=1e-4, atol=1e-6)


def test_parts_of_a_layer_are_of_the_map_drawn_over_the_image():
    images, references = tensors()
    explanation = DeepShap(network(), references, layer="2")(images)
    labels = regions().long()
    torch.testing.assert_close(
        explanation.parts(labels).values.sum(2), explanation.values.sum((2, 3, 4)), rtol=1e-4, atol=1e-6
    )
    with pytest.raises(ExplainerError, match="no layer="):
        DeepShap(network(), references, layer="2")(images, parts=labels)


def test_every_explainers_values_have_parts():
    images, references = tensors()
    found = GradientShap(network(), references, samples=16)(images, on_gap="ignore").parts(regions().long())
    assert found.values.shape == (3, 2, 2)
    assert found.plot() is not None


@pytest.mark.parametrize(
    ("masks", "said"),
    [
        (torch.zeros(5, 5, dtype=torch.long), r"shape \(5, 5\) do not fit values of 12 × 12"),
        (torch.zeros(2, SIDE, SIDE, dtype=torch.long), "masks of 2 images came with an explanation of 3"),
        (torch.rand(SIDE, SIDE), "float32: say masks > 0.5"),
        (torch.full((SIDE, SIDE), -1), "no pixel may have a number below 0"),
        (torch.zeros(1, SIDE, SIDE, dtype=torch.bool), "image 0 are no partition: 144 pixels lie in no part and 0 in"),
        (torch.ones(2, SIDE, SIDE, dtype=torch.bool), "0 pixels lie in no part and 144 in several"),
        (torch.zeros(3, 2, SIDE, SIDE, dtype=torch.long), "no label map"),
        ("below:112", "got str"),
        (None, "it was told of none"),
    ],
)  # fmt: skip
def test_masks_that_are_no_partition_of_the_images_are_refused(explained, masks, said):
    with pytest.raises(ExplainerError, match=said):
        explained.parts(masks)


def test_values_that_are_not_finite_are_refused_with_their_image(explained):
    values = explained.values.clone()
    values[1, 1, 0, 3, 3] = torch.nan
    bad = dataclasses.replace(explained, values=values)
    with pytest.raises(ExplainerError, match="1 values of image 1, explained output 1, are not finite"):
        bad.parts(regions().long())
    bad.select(images=[0, 2]).parts(regions()[[0, 2]].long())


def by_brute_force(model: nn.Module, image: Tensor, references: Tensor, labels: Tensor, parts: int) -> Tensor:
    """Shapley values from all orders, with hidden parts from each reference in turn."""

    def worth(coalition: frozenset[int]) -> Tensor:
        shown = torch.zeros_like(labels, dtype=torch.bool)
        for part in coalition:
            shown |= labels == part
        with torch.no_grad():
            return model(torch.where(shown, image, references)).double().mean(0)

    values = torch.zeros(parts, 2, dtype=torch.float64)
    orders = list(itertools.permutations(range(parts)))
    for order in orders:
        for place, part in enumerate(order):
            values[part] += worth(frozenset(order[: place + 1])) - worth(frozenset(order[:place]))
    return values / len(orders)


@pytest.mark.parametrize("parts", [2, 3])
def test_exact_values_of_parts_are_those_of_brute_force(parts):
    images, references = tensors()
    model = convolutional(outputs=2)
    labels = torch.randint(parts, (3, SIDE, SIDE), generator=torch.Generator().manual_seed(5))
    found = exact_parts(model, references, images, labels)
    for number in range(3):
        expected = by_brute_force(model, images[number], references, labels[number], parts)
        torch.testing.assert_close(found.values[number].T.double(), expected, rtol=1e-4, atol=1e-5)


def test_an_image_that_is_all_one_part_gives_it_the_whole_change():
    images, references = tensors()
    labels = torch.zeros(3, SIDE, SIDE, dtype=torch.long)
    labels[0], labels[2, :3] = 1, 1
    found = exact_parts(network(), references, images, labels)
    change = found.predictions - found.base_values
    torch.testing.assert_close(found.values[0, :, 1], change[0])
    assert torch.equal(found.values[0, :, 0], torch.zeros(2))
    torch.testing.assert_close(found.values[1, :, 0], change[1])
    torch.testing.assert_close(found.values.sum(2), change, rtol=1e-4, atol=1e-6)


def test_more_than_eight_parts_are_refused():
    images, references = tensors()
    with pytest.raises(DataError, match=r"10 parts have 2\^10 coalitions"):
        exact_parts(
            network(),
            references,
            images,
            torch.arange(SIDE * SIDE).reshape(1, SIDE, SIDE).expand(3, -1, -1) % 10,
        )


def test_sums_of_a_linear_model_are_the_exact_values():
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 2)).eval()
    images, references = tensors()
    labels = regions().long()
    sums = DeepShap(model, references)(images).parts(labels).values
    torch.testing.assert_close(
        sums, exact_parts(model, references, images, labels).values, rtol=1e-4, atol=1e-5
    )


def test_agreement_is_the_correlation_and_the_root_mean_square_difference():
    generator = np.random.default_rng(0)
    exact = generator.normal(size=20)
    change = exact + generator.normal(size=20)
    found = agreement_of(exact + 0.1, exact, change)
    assert found.correlation == pytest.approx(1.0)
    assert found.difference == pytest.approx(0.1)
    assert found.relative == pytest.approx(0.1 / np.sqrt(np.square(change).mean()))
    assert found.is_close == (found.relative <= AGREE)
    assert not agreement_of(exact + 9, exact, change).is_close
    assert np.isnan(agreement_of(np.zeros(5), exact[:5], change[:5]).correlation)


def test_topk_explanations_have_parts_of_each_images_own_classes():
    images, references = tensors()
    explanation = DeepShap(network(5), references)(images, TopK(2))
    found = explanation.parts(regions().long())
    assert torch.equal(found.output_index, explanation.output_index)
    assert found.values.shape == (3, 2, 2)
