"""Everything that a network may do, one small model each."""

import pytest
import torch

from deep_models import CASES
from deep_parts import pictures
from deep_refusals import REFUSED
from shapsight import DeepShap
from shapsight.errors import ExplainerError

# In half precision the model's own prediction is coarse; ours are made in the precision of its weights.
COARSE = {"half precision inside": 3e-2, "autocast inside": 3e-2}


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("name", CASES)
def test_attributions_sum_to_prediction_minus_base_value(name):
    model, images, references = CASES[name]().double(), pictures(2, seed=3), pictures(3, seed=4)
    with torch.no_grad():
        predictions, base = model.eval()(images.clone()), model(references.clone()).mean(0)
    explanation = DeepShap(model, references)(images, on_gap="ignore")
    close = COARSE.get(name, 1e-12)
    torch.testing.assert_close(explanation.predictions, predictions, rtol=close, atol=close)
    change = explanation.predictions - explanation.base_values
    torch.testing.assert_close(explanation.base_values[0], base, rtol=close, atol=close)
    assert ((explanation.values.sum((2, 3, 4)) - change).abs() < 1e-9 * change.abs()).all()


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("name", CASES)
def test_references_that_are_flat_keep_the_sum(name):
    torch.manual_seed(1)
    model, images = CASES[name]().double(), pictures(1, seed=3)
    references = torch.stack([torch.zeros(3, 8, 8), torch.full((3, 8, 8), 0.5)]).double()
    explanation = DeepShap(model, references)(images, on_gap="ignore")
    assert explanation.values.isfinite().all()
    scale = explanation.values.abs().sum((2, 3, 4))
    assert (explanation.completeness_gap.abs() <= 1e-11 * scale).all()


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_followed_is_refused_with_its_reason(name):
    make, words = REFUSED[name]
    with pytest.raises(ExplainerError, match=words):
        DeepShap(make().double(), pictures(3, seed=4))(pictures(2))
