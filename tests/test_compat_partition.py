"""Explainer, PartitionExplainer and the image masker under shap's names, compared live with shap."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from shapsight.compat import shap as ours
from shapsight.errors import ExplainerError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import shap as theirs

SHAPE = (12, 9, 3)
NAMES = ["a", "b", "c", "d", "e"]
WEIGHTS = np.random.default_rng(0).normal(size=(np.prod(SHAPE), 5))
X = np.random.default_rng(1).uniform(0, 255, (4, *SHAPE)).round().astype(np.float32)


def predict(images):
    return np.tanh(images.reshape(len(images), -1) @ WEIGHTS / 2000) * 10


def first_only(images):
    return predict(images)[:, 0]


def both(mask_value="blur(4,3)", model=predict, images=X[1:3], **options):
    """What shap says and what we say."""
    outputs = options.pop("outputs", None)
    result = []
    for library in (theirs, ours):
        masker = library.maskers.Image(mask_value, SHAPE)
        names = NAMES if model is predict else None
        chosen = outputs(library) if callable(outputs) else outputs
        with warnings.catch_warnings(action="ignore"):
            explainer = library.Explainer(model, masker, output_names=names)
            result.append(explainer(images, outputs=chosen, silent=True, **options))
    return result


def close(a, b):
    return np.abs(np.asarray(a) - np.asarray(b)).max() <= 1e-5 * max(1.0, np.abs(b).max())


@pytest.mark.parametrize(
    "mask_value", ["inpaint_telea", "inpaint_ns", "blur(4,3)", "blur(40,30)", 100.0, X.mean(0)]
)
def test_a_chain_of_outputs_gets_the_explanation_of_shap(mask_value):
    expected, found = both(
        mask_value, max_evals=100, batch_size=50, outputs=lambda shap: shap.Explanation.argsort.flip[:3]
    )
    assert found.shape == expected.shape == (2, *SHAPE, 3)
    assert close(found.values, expected.values)
    assert close(found.base_values, expected.base_values)
    assert np.array_equal(np.array(found.output_names), np.array(expected.output_names))
    assert found.data is not None and np.array_equal(found.data, X[1:3])


@pytest.mark.parametrize("outputs", [None, [3], [0, 4], np.array([2, 1])])
def test_outputs_by_number_get_the_explanation_of_shap(outputs):
    expected, found = both(max_evals=60, outputs=outputs)
    assert found.shape == expected.shape and close(found.values, expected.values)
    assert list(found.output_names) == list(expected.output_names)


@pytest.mark.parametrize("context", [0, 1])
def test_a_fixed_context_gets_the_explanation_of_shap(context):
    expected, found = both(max_evals=80, batch_size=20, fixed_context=context)
    assert close(found.values, expected.values)


def test_defaults_are_those_of_shap():
    expected, found = both(images=X[:1])
    assert close(found.values, expected.values)


def test_a_function_of_one_number_an_image_has_no_axis_for_outputs():
    expected, found = both(model=first_only, max_evals=50)
    assert found.shape == expected.shape == (2, *SHAPE)
    assert close(found.values, expected.values) and close(found.base_values, expected.base_values)


def test_partition_explainer_is_what_the_general_explainer_makes():
    masker = ours.maskers.Image("blur(4,3)", SHAPE)
    chosen = ours.Explainer(predict, masker)
    assert type(chosen) is ours.PartitionExplainer and isinstance(chosen, ours.Explainer)
    named = ours.PartitionExplainer(predict, masker)
    assert np.array_equal(chosen(X[:1], max_evals=40).values, named(X[:1], max_evals=40).values)


def test_what_a_call_takes_may_be_given_before():
    masker = ours.maskers.Image(0, SHAPE)
    before = ours.PartitionExplainer(predict, masker, max_evals=30, outputs=[1])(X[:1])
    at_call = ours.PartitionExplainer(predict, masker)(X[:1], max_evals=30, outputs=[1])
    assert np.array_equal(before.values, at_call.values)


def test_a_function_may_change_the_images_it_is_given():
    def in_place(images):
        images /= 2000
        return np.tanh(images.reshape(len(images), -1) @ WEIGHTS) * 10

    masker = ours.maskers.Image("blur(4,3)", SHAPE)
    found, expected = (ours.Explainer(model, masker)(X[:1], max_evals=40) for model in (in_place, predict))
    assert close(found.values, expected.values)


def test_tensors_with_channels_last_are_images_as_in_shap():
    masker = ours.maskers.Image("blur(4,3)", SHAPE)
    explainer = ours.Explainer(lambda images: torch.from_numpy(predict(images)), masker)
    found, expected = explainer(torch.from_numpy(X[:1]), max_evals=40), explainer(X[:1], max_evals=40)
    assert np.array_equal(found.values, expected.values) and isinstance(found.data, torch.Tensor)


def test_a_module_is_given_channels_first():
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(140, 2)).eval()

    def function(images):
        with torch.no_grad():
            return model(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()

    masker = ours.maskers.Image(0.0, SHAPE)
    of_module, of_function = (ours.Explainer(f, masker)(X[:1] / 255, max_evals=60) for f in (model, function))
    assert close(of_module.values, of_function.values)


def test_one_image_may_come_alone():
    explainer = ours.Explainer(predict, ours.maskers.Image(0, SHAPE))
    assert explainer(X[0], max_evals=20).shape == (1, *SHAPE, 5)


def test_images_of_another_shape_are_named_with_both_shapes():
    explainer = ours.Explainer(predict, ours.maskers.Image("blur(4,3)", SHAPE))
    with pytest.raises(ExplainerError, match=r"\(12, 8, 3\), and the masker was made for \(12, 9, 3\)"):
        explainer(X[:1, :, :8])


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (ours.Explanation.flip, r"outputs=shap\.Explanation\.flip gives float"),
        ([1.5], "not numbers of outputs"),
        ([7], "output 7 is out of range"),
        ([], "not numbers of outputs"),
    ],
)
def test_outputs_that_are_none_are_refused(outputs, message):
    with pytest.raises(ExplainerError, match=message):
        ours.Explainer(predict, ours.maskers.Image(0, SHAPE))(X[:1], max_evals=20, outputs=outputs)


def test_names_of_another_number_than_outputs_are_refused():
    explainer = ours.Explainer(predict, ours.maskers.Image(0, SHAPE), output_names=["a", "b"])
    with pytest.raises(ExplainerError, match="output_names has 2 names, and the model 5 outputs"):
        explainer(X[:1])


@pytest.mark.parametrize(
    ("masker", "options", "message"),
    [
        (np.zeros((3, 4)), {}, "shap.Explainer with a ndarray as masker is not offered"),
        (None, {}, "shap.Explainer with nothing as masker is not offered"),
        (ours.maskers.Image(0, SHAPE), {"algorithm": "tree"}, "algorithm='tree' is not offered"),
        (ours.maskers.Image(0, SHAPE), {"link": np.log}, "link='log': shapsight explains the outputs"),
    ],
)
def test_what_is_not_for_images_names_shap_itself(masker, options, message):
    with pytest.raises(ExplainerError, match=message) as caught:
        ours.Explainer(predict, masker, **options)
    assert "use shap itself" in str(caught.value)


def test_the_identity_link_is_fine():
    assert ours.Explainer(predict, ours.maskers.Image(0, SHAPE), link=ours.links.identity)


@pytest.mark.parametrize(
    "mask_value", ["inpaint_telea", "inpaint_ns", "blur(4,3)", "blur(40,30)", 100.0, X.mean(0)]
)
@pytest.mark.parametrize("kind", ["none", "flat", "pixels", "everything"])
def test_a_masker_called_directly_hides_what_shap_hides(mask_value, kind):
    by_pixel = np.random.default_rng(2).random((*SHAPE[:2], 1)) < 0.6
    mask = {
        "none": None,
        "flat": np.broadcast_to(by_pixel, SHAPE).ravel().copy(),
        "pixels": (np.random.default_rng(3).random(SHAPE) < 0.6).ravel(),
        "everything": np.ones(np.prod(SHAPE), dtype=bool),
    }[kind]
    (expected,) = theirs.maskers.Image(mask_value, SHAPE)(mask, X[0])
    (found,) = ours.maskers.Image(mask_value, SHAPE)(mask, X[0])
    assert found.shape == expected.shape == (1, *SHAPE) and found.dtype == expected.dtype
    assert np.abs(found - expected).max() <= 1e-4


def test_a_masker_keeps_flat_images_flat_and_takes_masks_of_pixels():
    masker = ours.maskers.Image("blur(4,3)", SHAPE)
    mask = np.random.default_rng(2).random(SHAPE[:2]) < 0.6
    (flat,) = masker(np.repeat(mask[..., None], 3, 2).ravel(), X[0].ravel())
    (shaped,) = masker(mask, torch.from_numpy(X[0]))
    assert flat.shape == (1, np.prod(SHAPE)) and np.array_equal(flat.reshape(shaped.shape), shaped)


def test_an_eight_bit_image_stays_one():
    image = X[0].astype(np.uint8)
    for mask_value in ("inpaint_telea", "blur(40,30)"):
        (found,) = ours.maskers.Image(mask_value, SHAPE)(np.zeros(np.prod(SHAPE), bool), image)
        (expected,) = theirs.maskers.Image(mask_value, SHAPE)(np.zeros(np.prod(SHAPE), bool), image)
        assert found.dtype == np.uint8 and np.abs(found.astype(int) - expected).max() <= 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("blur(4,3)",), "needs the shape of the images as well"),
        ((0.5,), "needs the shape of the images as well"),
        (("blur(4,3)", (12, 9)), "needs the shape .height, width, channels. of one image"),
        (("inpaint_magic", SHAPE), "'inpaint_magic' is not a masker"),
        ((np.zeros((3, 3, 3)), SHAPE), r"mask_value has shape \(3, 3, 3\), and the images \(12, 9, 3\)"),
    ],
)
def test_a_masker_that_is_none_is_refused(arguments, message):
    with pytest.raises(ExplainerError, match=message):
        ours.maskers.Image(*arguments)


def test_a_mask_or_image_of_another_shape_is_refused():
    masker = ours.maskers.Image(0, SHAPE)
    with pytest.raises(ExplainerError, match=r"the mask has shape \(5,\), and the images \(12, 9, 3\)"):
        masker(np.ones(5, bool), X[0])
    with pytest.raises(ExplainerError, match=r"the image has shape \(4, 12, 9, 3\)"):
        masker(None, X)
