"""DeepExplainer and GradientExplainer under shap's names, compared live with shap."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from shapsight.attribution.deep import CompletenessWarning
from shapsight.compat import shap as ours
from shapsight.errors import CompletenessError, ExplainerError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import shap as theirs


def network(outputs=3, channels=2):
    """A sequential CNN without anything that shap gets wrong."""
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 5, 2), nn.ReLU(), nn.Flatten(),
        nn.Linear(20, outputs),
    ).eval()  # fmt: skip


def images(count, channels=2):
    return torch.randn(count, channels, 8, 8)


class TwoInputs(nn.Module):
    def __init__(self, outputs=2):
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 3, 3), nn.Conv2d(2, 3, 3)
        self.relu, self.flatten, self.head = nn.ReLU(), nn.Flatten(), nn.Linear(216, outputs)

    def forward(self, a, b):
        return self.head(self.flatten(self.relu(torch.cat([self.first(a), self.second(b)], 1))))


class Bypassed(nn.Module):
    """A layer that part of the change passes by."""

    def __init__(self):
        super().__init__()
        self.inner, self.head = nn.Conv2d(2, 2, 3, padding=1), nn.Linear(128, 2)

    def forward(self, x):
        return self.head((self.inner(x) + x).relu().flatten(1))


def quietly(function, *arguments, **options):
    with warnings.catch_warnings(action="ignore"):
        return function(*arguments, **options)


def close(a, b, tolerance=1e-5):
    return np.abs(np.asarray(a) - np.asarray(b)).max() <= tolerance * max(1.0, np.abs(b).max())


def test_a_list_holds_the_values_of_shap_for_each_output():
    model, references, batch = network(), images(6), images(4)
    expected = quietly(theirs.DeepExplainer(model, references).shap_values, batch)
    values = ours.DeepExplainer(model, references).shap_values(batch)
    assert isinstance(values, list) and len(values) == 3
    assert all(value.shape == batch.shape and isinstance(value, np.ndarray) for value in values)
    assert close(np.stack(values, axis=-1), expected)


def test_the_layout_last_is_the_array_of_newer_shap():
    model, references, batch = network(), images(6), images(2)
    expected = quietly(theirs.DeepExplainer(model, references).shap_values, batch)
    values = ours.DeepExplainer(model, references, output_layout="last").shap_values(batch)
    assert values.shape == expected.shape and close(values, expected)


def test_the_layout_can_be_set_for_the_whole_module(monkeypatch):
    model, references = network(), images(3)
    explainers = [
        ours.DeepExplainer(model, references),
        ours.GradientExplainer(model, references),
        ours.DeepExplainer(model, references, output_layout="list"),
    ]
    assert ours.__version__.startswith("0.44")
    monkeypatch.setattr(ours, "output_layout", "last")
    deep, gradient, own = (quietly(explainer.shap_values, references[:1]) for explainer in explainers)
    assert deep.shape == gradient.shape == (1, 2, 8, 8, 3)
    assert isinstance(own, list)
    assert ours.__version__.startswith("0.51")


def test_an_unknown_layout_is_refused(monkeypatch):
    with pytest.raises(ExplainerError, match="output_layout='first' is neither 'list'"):
        ours.DeepExplainer(network(), images(2), output_layout="first")
    explainer = ours.DeepExplainer(network(), images(2))
    monkeypatch.setattr(ours, "output_layout", None)
    with pytest.raises(ExplainerError, match="output_layout=None"):
        explainer.shap_values(images(1))


def test_a_single_output_has_no_list_around_it():
    model, references, batch = network(1), images(5), images(2)
    expected = quietly(theirs.DeepExplainer(model, references).shap_values, batch)
    values = ours.DeepExplainer(model, references).shap_values(batch)
    assert values.shape == batch.shape and close(values, expected[..., 0])
    last = ours.DeepExplainer(model, references, output_layout="last").shap_values(batch)
    assert last.shape == expected.shape and close(last, expected)


def test_a_network_without_an_axis_for_its_output_is_explained():
    model, references, batch = nn.Sequential(network(1), nn.Flatten(0)), images(5), images(2)
    assert ours.DeepExplainer(model, references).shap_values(batch).shape == batch.shape


@pytest.mark.parametrize("order", ["max", "min", "max_abs"])
def test_ranked_outputs_are_the_values_and_indexes_of_shap(order):
    model, references, batch = network(5), images(6), images(3)
    options = {"ranked_outputs": 2, "output_rank_order": order}
    # shap's own check compares the ranked values with the first outputs, and fails.
    explainer = theirs.DeepExplainer(model, references)
    expected, indexes = quietly(explainer.shap_values, batch, **options, check_additivity=False)
    values, found = ours.DeepExplainer(model, references).shap_values(batch, **options)
    assert len(values) == 2 and torch.equal(found, indexes)
    assert close(np.stack(values, axis=-1), expected)
    gradients, found = quietly(ours.GradientExplainer(model, references).shap_values, batch, 8, **options)
    assert torch.equal(found, indexes) and [g.shape for g in gradients] == [batch.shape] * 2


@pytest.mark.parametrize("place", [3, 5, 6])
def test_a_layer_gets_values_in_its_own_shape_as_in_shap(place):
    model, references, batch = network(), images(6), images(2)
    expected = quietly(theirs.DeepExplainer((model, model[place]), references).shap_values, batch)
    values = ours.DeepExplainer((model, model[place]), references).shap_values(batch)
    assert close(np.stack(values, axis=-1), expected)
    explainer = ours.GradientExplainer((model, model[place]), references, output_layout="last")
    assert quietly(explainer.shap_values, batch, nsamples=24).shape == expected.shape


def test_several_inputs_get_the_values_of_shap():
    model = TwoInputs().eval()
    references, batch = [images(5, 1), images(5, 2)], [images(2, 1), images(2, 2)]
    expected = quietly(theirs.DeepExplainer(model, references).shap_values, batch)
    last = ours.DeepExplainer(model, references, output_layout="last").shap_values(batch)
    assert all(close(a, b) for a, b in zip(last, expected, strict=True))
    listed = ours.DeepExplainer(model, references).shap_values(batch)
    assert len(listed) == 2 and [part.shape for part in listed[1]] == [part.shape for part in batch]
    assert close(listed[1][0], expected[0][..., 1])
    explanations = ours.DeepExplainer(model, references)(batch)
    assert [e.shape for e in explanations] == [(2, 1, 8, 8, 2), (2, 2, 8, 8, 2)]


def test_several_inputs_of_one_output_are_a_list_of_inputs():
    references, batch = [images(5, 1), images(5, 2)], [images(2, 1), images(2, 2)]
    values = ours.DeepExplainer(TwoInputs(1).eval(), references).shap_values(batch)
    assert [part.shape for part in values] == [part.shape for part in batch]


def test_expected_value_is_that_of_shap():
    model, references = network(), images(40)
    expected = theirs.DeepExplainer(model, references).expected_value
    assert close(ours.DeepExplainer(model, references).expected_value, expected)
    assert close(ours.GradientExplainer(model, references).expected_value, expected)


def test_called_it_returns_an_explanation_with_outputs_last():
    model, references, batch = network(), images(6), images(2)
    expected = quietly(theirs.DeepExplainer(model, references), batch)
    explanation = ours.DeepExplainer(model, references)(batch)
    assert explanation.shape == expected.shape and close(explanation.values, expected.values)
    assert explanation.data is batch and explanation.base_values.shape == (2, 3)
    gradient = quietly(ours.GradientExplainer(model, references), batch, nsamples=12)
    assert gradient.shape == (2, 2, 8, 8, 3)


def test_an_untouched_resnet_is_explained_exactly_where_shap_raises():
    model, references, batch = (
        resnet18(num_classes=2).eval(),
        torch.rand(3, 3, 64, 64),
        torch.rand(2, 3, 64, 64),
    )
    with pytest.raises(RuntimeError):
        quietly(theirs.DeepExplainer(model, references).shap_values, batch)
    model = resnet18(num_classes=2).eval()  # shap leaves hooks behind when it raises
    explainer = ours.DeepExplainer(model, references)
    values = np.array(explainer.shap_values(batch)).transpose(0, 1, 3, 4, 2)
    assert values.shape == (2, 2, 64, 64, 3)
    with torch.no_grad():
        change = model(batch).numpy() - explainer.expected_value
    assert np.abs(values.sum((2, 3, 4)).T - change).max() < 1e-4


def test_the_model_is_left_as_it_was_found():
    model = network().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    explainer = ours.DeepExplainer(model, images(3))
    explainer.shap_values(images(1), ranked_outputs=1)
    assert explainer.expected_value.shape == (3,)
    assert model.training and all(p.requires_grad and p.grad is None for p in model.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_additivity_fails_only_where_the_sum_is_wrong():
    model, references, batch = Bypassed().eval(), images(5), images(2)
    assert len(ours.DeepExplainer(model, references).shap_values(batch)) == 2
    explainer = ours.DeepExplainer((model, model.inner), references)
    with pytest.raises(CompletenessError, match="pass layer inner by"):
        explainer.shap_values(batch)
    with pytest.warns(CompletenessWarning):
        values = explainer.shap_values(batch, check_additivity=False)
    assert values[0].shape == batch.shape


def test_a_call_without_a_rule_is_explained_by_its_gradient_and_fails_the_check():
    class Angles(nn.Module):
        def forward(self, x):
            return torch.atan2(x.flatten(1)[:, :2] ** 2, x.flatten(1)[:, 2:4] ** 2).pow(2)

    references, batch = images(4), 2 * images(2)
    with pytest.raises(CompletenessError, match="could not follow"):
        ours.DeepExplainer(Angles(), references).shap_values(batch)


def test_more_outputs_than_anyone_looks_at_are_explained_as_in_shap():
    assert len(ours.DeepExplainer(network(40), images(2)).shap_values(images(1))) == 40


def test_expected_gradients_of_a_linear_model_have_their_closed_form():
    model, references, batch = nn.Sequential(nn.Flatten(), nn.Linear(128, 2)), images(10), images(3)
    values = ours.GradientExplainer(model, references).shap_values(batch, nsamples=40)
    weights = model[1].weight.detach().reshape(2, 1, 2, 8, 8)
    expected = weights * (batch - references.mean(0))
    assert close(np.array(values), expected.numpy())


def test_gradients_come_close_to_those_of_shap():
    model, references, batch = network(), images(5), images(1)
    np.random.seed(0)
    expected = quietly(theirs.GradientExplainer(model, references).shap_values, batch, nsamples=4000, rseed=1)
    values = ours.GradientExplainer(model, references, output_layout="last").shap_values(batch, nsamples=2000)
    assert np.abs(values - expected).max() < 0.05 * np.abs(expected).max()


def test_a_seed_repeats_and_variances_come_as_asked():
    explainer, batch = ours.GradientExplainer(network(), images(5)), images(2)
    first, variances = quietly(explainer.shap_values, batch, 20, rseed=3, return_variances=True)
    again = quietly(explainer.shap_values, batch, 20, rseed=3)
    other = quietly(explainer.shap_values, batch, 20, rseed=4)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])
    assert variances[0].shape == first[0].shape and variances[0].min() >= 0
    values, variances, ranks = quietly(explainer.shap_values, batch, 20, 1, return_variances=True)
    assert len(values) == len(variances) == 1 and ranks.shape == (2, 1)


def test_variances_of_a_layer_have_its_shape():
    model = network()
    values, variances = quietly(
        ours.GradientExplainer((model, model[3]), images(3)).shap_values,
        images(1),
        6,
        return_variances=True,
    )
    assert np.shape(values) == np.shape(variances)
    assert np.min(variances) >= 0 and np.max(variances) > 0


def test_arrays_are_taken_as_well_as_tensors():
    model, references, batch = network(), images(3), images(1)
    tensors = ours.DeepExplainer(model, references).shap_values(batch)
    arrays = ours.DeepExplainer(model, references.numpy()).shap_values(batch.numpy())
    assert close(arrays, tensors)


@pytest.mark.parametrize("explainer", [ours.DeepExplainer, ours.GradientExplainer])
def test_what_is_no_pytorch_module_is_told_to_use_shap(explainer):
    with pytest.raises(
        ExplainerError, match="explains PyTorch modules here, not a function: use shap itself"
    ):
        explainer(lambda x: x, images(2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ranked_outputs": 0}, "ranked_outputs=0 must be a whole number of at least 1"),
        ({"ranked_outputs": True}, "ranked_outputs=True"),
        ({"ranked_outputs": 1, "output_rank_order": "custom"}, "output_rank_order='custom' is not one of"),
    ],
)
def test_ranks_that_are_none_are_refused(options, message):
    with pytest.raises(ExplainerError, match=message):
        ours.DeepExplainer(network(), images(2)).shap_values(images(1), **options)


def test_images_that_do_not_fit_the_references_are_named_with_both_shapes():
    explainer = ours.DeepExplainer(network(), images(2))
    with pytest.raises(ExplainerError, match=r"\(1, 2, 9, 9\) and references \(2, 2, 8, 8\)"):
        explainer.shap_values(torch.randn(1, 2, 9, 9))
    with pytest.raises(
        ExplainerError, match="the references are a single tensor, so the images must be as well"
    ):
        explainer.shap_values([images(1)])
    with pytest.raises(ExplainerError, match="all but the first dimension must agree"):
        explainer.shap_values(images(1, 1))


def test_the_general_explainer_makes_a_deep_one():
    explainer = ours.Explainer(network(), images(3), algorithm="deep")
    assert isinstance(explainer, ours.DeepExplainer) and isinstance(explainer, ours.Explainer)
    assert len(explainer.shap_values(images(1))) == 3


@pytest.mark.parametrize("layer", ["first", "head"])
def test_a_layer_of_a_network_with_several_inputs_gets_the_values_of_shap(layer):
    model = TwoInputs().eval()
    references, batch = [images(5, 1), images(5, 2)], [images(2, 1), images(2, 2)]
    if layer == "first":  # the second input passes it by, which only we say
        with pytest.raises(CompletenessError, match="pass layer first by"):
            ours.DeepExplainer((model, model.first), references).shap_values(batch)
    explainer = theirs.DeepExplainer((model, getattr(model, layer)), references)
    expected = quietly(explainer.shap_values, batch, check_additivity=False)
    own = ours.DeepExplainer((model, getattr(model, layer)), references)
    values = quietly(own.shap_values, batch, check_additivity=False)
    assert len(values) == 2 and close(np.stack(values, axis=-1), np.asarray(expected).squeeze(0))
    explanation = ours.GradientExplainer((model, getattr(model, layer)), references)
    assert quietly(explanation, batch, nsamples=10).shape == (*values[0].shape, 2)
