"""Explanation: selection by number, name, slice and mask, arithmetic, and that nothing changes it."""

import copy
import dataclasses
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from explanations import NAMES, made, same
from shapsight import DeepShap, Explanation, TopK
from shapsight.errors import ExplainerError


def test_a_number_a_slice_a_list_and_a_mask_select_images_and_keep_the_dimensions():
    whole = made()
    assert whole[0].values.shape == (1, 2, 3, 6, 5)
    assert torch.equal(whole[-1].values, whole.values[2:])
    assert torch.equal(whole[1:].images, whole.images[1:])
    assert torch.equal(whole[[2, 0]].predictions, whole.predictions[[2, 0]])
    assert torch.equal(whole[::-1].values, whole.values.flip(0))
    mask = [True, False, True]
    for chosen in (mask, torch.tensor(mask), np.array(mask)):
        assert torch.equal(whole[chosen].values, whole.values[[0, 2]])
    assert torch.equal(whole[np.int64(1)].unresolved, whole.unresolved[1:2])
    assert [one.predictions.tolist() for one in whole] == [[row] for row in whole.predictions.tolist()]


def test_outputs_are_selected_by_number_slice_and_mask():
    whole = made()
    for chosen in (1, -1, [1], [False, True], slice(1, None), np.array([1]), torch.tensor([False, True])):
        assert torch.equal(whole[:, chosen].values, whole.values[:, 1:]), chosen
    assert torch.equal(whole[..., [1, 0]].std_errors, whole.std_errors[:, [1, 0]])
    assert whole[0, 1].values.shape == (1, 1, 3, 6, 5)


def test_a_name_finds_its_output_in_every_image_wherever_top_k_ranks_it():
    whole = made()
    cow = whole.select(images=[0, 1], outputs="cow")
    assert torch.equal(cow.values[:, 0], torch.stack([whole.values[0, 0], whole.values[1, 1]]))
    assert cow.output_index.tolist() == [[2], [2]]
    both = whole[:2, ["ant", 0]]
    assert both.output_index.tolist() == [[0, 2], [0, 0]]
    assert both.names() == [["ant", "cow"], ["ant", "ant"]]


def test_an_image_that_does_not_explain_a_name_is_told_by_its_number():
    with pytest.raises(
        ExplainerError, match=r"'ant' is not among the explained outputs of image 2; .*: 0, 1"
    ):
        made()[:, "ant"]
    with pytest.raises(
        ExplainerError, match="no explained output is called 'x'; there are 'cow', 'ant', 'dog'"
    ):
        made().select(outputs="x")
    assert made()[2, "dog"].output_index.tolist() == [[3]]


def test_outputs_without_names_are_called_by_their_column():
    whole = made(names=())
    assert whole.names()[0] == ["output 2", "output 0"]
    assert whole[0, "output 0"].output_index.tolist() == [[0]]


@pytest.mark.parametrize(
    "images, outputs, words",
    [
        (3, None, "image 3 is out of range: 3 images"),
        (None, -3, "output -3 is out of range: 2 outputs"),
        ([True, False], None, "mask over images needs 3 entries, this one has 2"),
        (None, [True], "mask over outputs needs 2 entries"),
        (0.5, None, "images are selected by numbers, a slice or a mask, not by 0.5"),
        (True, None, "images are selected by numbers"),
        (torch.ones(3, 2, dtype=torch.bool), None, "images are selected by numbers"),
        (None, [0, None], "outputs are selected by numbers"),
    ],
)
def test_what_cannot_be_selected_is_refused(images, outputs, words):
    with pytest.raises(ExplainerError, match=words):
        made().select(images, outputs)


def test_an_index_that_means_something_else_is_refused_with_what_to_write():
    with pytest.raises(ExplainerError, match=r"explanation\[:, 'cow'\]"):
        made()["cow"]
    with pytest.raises(ExplainerError, match="not 3 indices"):
        made()[0, 0, 0]


def test_nothing_may_be_selected_and_joined_again():
    none = made()[[]]
    assert len(none) == 0 and "0 images" in repr(none)
    assert same(Explanation.concatenate([none, made()[:0]]), none)


def test_settings_of_each_image_follow_the_images():
    whole = made()
    assert whole[[2, 0]].settings["evaluations"] == [12, 10]
    joined = Explanation.concatenate([whole[1:], whole[:1]])
    assert joined.settings == {"model": "Net", "evaluations": [11, 12, 10], "max_evals": 50}


def test_parts_joined_again_are_the_whole():
    whole = made()
    joined = Explanation.concatenate([whole[:1], whole[1:]])
    assert same(joined, whole)
    assert torch.equal(joined.std_errors, whole.std_errors)
    assert torch.equal(joined.unresolved, whole.unresolved)
    one = dataclasses.replace(whole, settings={"max_evals": 50})
    other = dataclasses.replace(whole, settings={"max_evals": 90})
    assert Explanation.concatenate([one, other]).settings == {"max_evals": (50, 90)}


@pytest.mark.parametrize(
    "change, words",
    [
        ({"method": "DeepSHAP"}, "method is 'PartitionSHAP' and 'DeepSHAP'"),
        ({"model_name": "b"}, "model_name is '' and 'b'"),
        ({"output_names": ("x",)}, "output_names"),
        ({"std_errors": None}, "std_errors is 'given' and None"),
        ({"images": torch.rand(3, 3, 8, 8)}, "of the images"),
    ],
)
def test_explanations_that_differ_in_kind_are_not_concatenated(change, words):
    with pytest.raises(ExplainerError, match=f"explanations 0 and 2 cannot be concatenated: .*{words}"):
        Explanation.concatenate([made(), made(), made(**change)])
    with pytest.raises(ExplainerError, match="no explanation"):
        Explanation.concatenate([])


def linear(weights: Tensor) -> torch.nn.Module:
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(weights.shape[1], len(weights)))
    model[1].weight.data, model[1].bias.data = weights, torch.zeros(len(weights))
    return model


def test_the_difference_of_two_explanations_explains_the_difference_of_the_models():
    images, references = torch.rand(3, 3, 4, 4), torch.rand(5, 3, 4, 4)
    one, two = torch.randn(2, 48), torch.randn(2, 48)
    a, b = (DeepShap(linear(w), references, output_names=("x", "y"))(images) for w in (one, two))
    difference = a.named("room 1") - b.named("all rooms")
    expected = DeepShap(linear(one - two), references)(images)
    torch.testing.assert_close(difference.values, expected.values, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(difference.predictions, expected.predictions, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(difference.base_values, expected.base_values, rtol=1e-5, atol=1e-5)
    assert difference.model_name == "room 1 − all rooms"
    assert difference.settings["second"]["model_name"] == "all rooms"
    assert "DeepSHAP of room 1 − all rooms" in repr(difference)
    mean = (a + b) / 2
    torch.testing.assert_close(
        mean.values, DeepShap(linear((one + two) / 2), references)(images).values, rtol=1e-5, atol=1e-6
    )


def test_names_of_models_and_methods_stay_readable_in_chains():
    a, b, c = (made(images=torch.ones(3, 3, 6, 5), model_name=name) for name in "abc")
    c = dataclasses.replace(c, method="DeepSHAP")
    assert (a - (b - a)).model_name == "a − (b − a)"
    assert (a - c).method == "PartitionSHAP − DeepSHAP"
    assert ((a + b) / 2 - c).model_name == "0.5 × (a + b) − c"
    assert sum([a, b]).model_name == "a + b"
    assert (a.named("") - b.named("")).model_name == "Net − Net"


@given(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3))
def test_scaling_is_linear_and_keeps_the_sum(first, second):
    whole = made(dtype=torch.float64)
    summed = whole * first + second * whole
    torch.testing.assert_close(summed.values, whole.values * (first + second), rtol=1e-9, atol=1e-9)
    total = summed.base_values + summed.values.sum((2, 3, 4)) + summed.completeness_gap
    torch.testing.assert_close(total, summed.predictions, rtol=1e-9, atol=1e-6)
    assert (summed.std_errors >= 0).all() and (summed.unresolved >= 0).all()
    torch.testing.assert_close(summed.std_errors, whole.std_errors * float(np.hypot(first, second)))


def test_minus_turns_every_value_and_no_uncertainty():
    whole = made()
    assert torch.equal((-whole).values, -whole.values)
    assert torch.equal((-whole).std_errors, whole.std_errors)
    assert torch.equal((whole - whole).values, torch.zeros_like(whole.values))


@pytest.mark.parametrize(
    "change, words",
    [
        ({"images": torch.zeros(3, 3, 6, 5)}, "image 0 is not the same picture"),
        ({"images": torch.zeros(3, 3, 8, 5)}, "their images have shapes"),
        (
            {"output_index": torch.tensor([[2, 0], [0, 2], [3, 2]])},
            r"image 2 has the outputs \['cow', 'dog'\]",
        ),
    ],
)
def test_other_images_or_outputs_are_not_subtracted(change, words):
    whole = made()
    with pytest.raises(ExplainerError, match=f"cannot be subtracted from each other: .*{words}"):
        _ = whole - dataclasses.replace(whole, **change)


def test_other_sizes_nonsense_factors_and_other_types_are_refused():
    with pytest.raises(ExplainerError, match=r"cannot be added: their values are \(3, .* and \(2, "):
        _ = made() + made()[:2]
    with pytest.raises(ExplainerError, match="divided by 0"):
        _ = made() / 0
    with pytest.raises(ExplainerError, match="multiplied by nan"):
        _ = made() * float("nan")
    for wrong in (lambda e: e + 1, lambda e: e * e, lambda e: e - "x", lambda e: e / "x"):
        with pytest.raises(TypeError):
            wrong(made())


def test_an_explanation_cannot_be_changed():
    whole = made()
    with pytest.raises(dataclasses.FrozenInstanceError):
        whole.values = torch.zeros(1)
    with pytest.raises(TypeError):
        whole.settings["model"] = "other"
    given = {"model": "Net"}
    held = made(settings=given)
    given["model"] = "other"
    assert held.settings["model"] == "Net"
    before = whole.values.clone()
    _ = whole * 2, whole[0], whole - whole, whole.heatmap("positive")
    assert torch.equal(whole.values, before)


def test_it_can_be_copied_and_sent_to_other_processes():
    whole = made()
    for twin in (copy.deepcopy(whole), pickle.loads(pickle.dumps(whole))):
        assert same(twin, whole)
        assert dict(twin.settings) == dict(whole.settings)


@pytest.mark.parametrize("reduce", ["sum", "abs", "positive"])
def test_a_heatmap_is_the_sum_of_channels_of_their_sizes_or_of_the_positive_ones(reduce):
    whole = made()
    expected = {"sum": lambda v: v, "abs": np.abs, "positive": lambda v: np.maximum(v, 0)}[reduce]
    np.testing.assert_allclose(
        whole.heatmap(reduce), expected(whole.values.numpy()).sum(2), rtol=1e-5, atol=1e-6
    )
    with pytest.raises(ExplainerError, match="'median' is not one of"):
        whole.heatmap("median")


@pytest.mark.parametrize(
    "change, words",
    [
        ({"values": torch.zeros(3, 2, 4, 5)}, "values must be"),
        ({"predictions": torch.zeros(3)}, r"predictions has shape \(3,\); values have \(3, 2\)"),
        ({"images": torch.zeros(2, 3, 6, 5)}, "2 images to draw for values of 3"),
        ({"std_errors": torch.zeros(3, 2, 1, 6, 5)}, "std_errors has shape"),
        ({"unresolved": torch.zeros(3, 2, 3, 6, 5)}, "unresolved has shape"),
    ],
)
def test_tensors_that_do_not_fit_each_other_are_refused(change, words):
    with pytest.raises(ExplainerError, match=words):
        made(**change)


def test_top_k_of_a_real_explainer_is_selected_by_name():
    model = linear(torch.randn(4, 48))
    explanation = DeepShap(model, torch.rand(4, 3, 4, 4), output_names=NAMES)(torch.rand(6, 3, 4, 4), TopK(4))
    bees = explanation[:, "bee"]
    whole = DeepShap(model, torch.zeros(1, 3, 4, 4), output_names=NAMES)
    assert bees.output_index.tolist() == [[1]] * 6
    torch.testing.assert_close(bees.predictions, whole(explanation.images, "bee").predictions)
