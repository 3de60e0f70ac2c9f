"""Which outputs are explained, and a layer's values in its own shape."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from shapsight import DeepShap, GradientShap
from shapsight.attribution.shared.outputs import choose_outputs
from shapsight.errors import ExplainerError


def network():
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)).eval()


@pytest.mark.parametrize("explainer", [DeepShap, GradientShap])
def test_several_outputs_of_each_image_are_those_of_one_after_another(explainer):
    model, references, images = network(), torch.randn(4, 2, 8, 8), torch.randn(3, 2, 8, 8)
    wanted = torch.tensor([[4, 0], [1, -1], [2, 3]])
    together = explainer(model, references)(images, wanted, on_gap="ignore")
    assert together.output_index.tolist() == [[4, 0], [1, 4], [2, 3]]
    for column in range(2):
        alone = explainer(model, references)(images, wanted[:, column], on_gap="ignore")
        assert torch.allclose(together.values[:, column], alone.values[:, 0], atol=1e-6)


def test_a_name_of_digits_is_a_name_and_one_that_two_columns_bear_is_refused():
    names = ("10", "2", "cat", "cat", "5")
    assert choose_outputs(["2", "10", 2], torch.zeros(1, 5), names).tolist() == [[1, 0, 2]]
    with pytest.raises(ExplainerError, match="2 outputs are called 'cat', columns 2, 3"):
        choose_outputs(["2", "cat"], torch.zeros(1, 5), names)


@pytest.mark.parametrize(
    "outputs", [torch.zeros(2, 1, 1).long(), torch.zeros(3).long(), torch.zeros(2, 0).long(), torch.zeros(2)]
)
def test_numbers_of_outputs_that_do_not_fit_the_images_are_refused(outputs):
    with pytest.raises(ExplainerError, match="one column number per image: 2 integers, or"):
        choose_outputs(outputs, torch.zeros(2, 5), ())


@pytest.mark.parametrize("explainer", [DeepShap, GradientShap])
def test_a_layer_keeps_its_own_shape_and_sum_where_it_is_not_spread(explainer):
    model, references, images = network(), torch.randn(4, 2, 8, 8), torch.randn(2, 2, 8, 8)
    own = explainer(model, references, layer="1", spread_layer=False)(images, on_gap="ignore")
    spread = explainer(model, references, layer="1")(images, on_gap="ignore")
    assert own.values.shape == (2, 5, 4, 6, 6) and spread.values.shape == (2, 5, 1, 8, 8)
    assert torch.allclose(own.values.sum((2, 3, 4)), spread.values.sum((2, 3, 4)), atol=1e-5)
