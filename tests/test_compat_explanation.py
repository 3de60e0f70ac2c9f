"""shap.Explanation and chains of operations on it, compared live with shap."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shapsight import Explanation as OurExplanation
from shapsight.compat import shap as ours
from shapsight.errors import ExplainerError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import shap as theirs

RANDOM = np.random.default_rng(0)
VALUES = RANDOM.normal(size=(4, 3, 2, 1, 5))
DATA = RANDOM.random((4, 3, 2, 1))
BASE = RANDOM.normal(size=(4, 5))
NAMES = ["a", "b", "c", "d", "e"]


def explanation(library):
    return library.Explanation(VALUES, BASE, DATA, output_names=NAMES)


CHAINS = {
    "argsort.flip[:4]": lambda e: e.argsort.flip[:4],
    "argsort[-3:]": lambda e: e.argsort[-3:],
    "abs.argsort.flip[:2]": lambda e: e.abs.argsort.flip[:2],
    "argsort.flip[1]": lambda e: e.argsort.flip[1],
    "argsort.sample(2)": lambda e: e.argsort.sample(2),
    "argsort.sample(3, replace)": lambda e: e.argsort.sample(3, replace=True, random_state=4),
    "identity[::2]": lambda e: e.identity[::2],
    "abs.max(0)": lambda e: e.abs.max(0),
    "mean(0)": lambda e: e.mean(0),
    "min(axis=0)": lambda e: e.min(axis=0),
    "sum(0)": lambda e: e.sum(0),
    "flip.abs[2:]": lambda e: e.flip.abs[2:],
    "[1:4].argsort": lambda e: e[1:4].argsort,
}


@pytest.mark.parametrize("name", CHAINS)
@given(outputs=st.lists(st.floats(-9, 9), min_size=5, max_size=8, unique=True))
def test_a_chain_on_outputs_is_that_of_shap(name, outputs):
    expected = CHAINS[name](theirs.Explanation).apply(theirs.Explanation(np.array(outputs)))
    found = CHAINS[name](ours.Explanation).apply(ours.Explanation(np.array(outputs)))
    assert np.array_equal(np.asarray(found.values), np.asarray(expected.values))


@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_says_how_it_was_written(name):
    assert (
        repr(ours.Explanation.argsort.flip[:4].abs.max(0)) == "shap.Explanation.argsort.flip[:4].abs.max(0)"
    )
    assert repr(CHAINS[name](ours.Explanation)).startswith("shap.Explanation")
    assert "sample(3, replace=True)" in repr(ours.Explanation.sample(3, replace=True)[0, 1:2:3])


def test_a_chain_that_begins_with_a_call_is_a_mistake():
    with pytest.raises(TypeError, match="is not called within a chain"):
        ours.sampling.OpChain()(3)


INDEXES = [
    0, -1, slice(1, 3), (slice(None), slice(0, 2)), (Ellipsis, 2), (0, Ellipsis, slice(1, 4)), (slice(0, 2), 1),
    (2, slice(None), slice(None), slice(None), "b"),
]  # fmt: skip


@pytest.mark.parametrize("index", INDEXES, ids=str)
def test_slices_cut_all_parts_as_in_shap(index):
    expected, found = explanation(theirs)[index], explanation(ours)[index]
    assert np.array_equal(found.values, expected.values)
    assert np.array_equal(found.data, expected.data)
    assert np.array_equal(found.base_values, expected.base_values)


def test_lists_and_masks_choose_images_and_outputs_together():
    assert np.array_equal(explanation(ours)[..., "c"].values, VALUES[..., 2])  # shap raises an IndexError
    chosen = explanation(ours)[[2, 0]][..., [4, 1, 3]]
    assert np.array_equal(chosen.values, VALUES[[2, 0]][..., [4, 1, 3]])
    assert np.array_equal(chosen.base_values, BASE[[2, 0]][:, [4, 1, 3]])
    assert chosen.output_names == ["e", "b", "d"]
    masked = explanation(ours)[np.array([True, False, False, True])]
    assert np.array_equal(masked.data, DATA[[0, 3]])


def test_names_that_differ_by_image_are_cut_with_it():
    names = np.array([["a", "b"], ["b", "c"]])
    pair = ours.Explanation(VALUES[:2, ..., :2], BASE[:2, :2], DATA[:2], output_names=names)
    assert list(pair[1].output_names) == ["b", "c"] and list(pair[..., 1].output_names) == ["b", "c"]
    assert pair[0][..., "b"].shape == (3, 2, 1)
    with pytest.raises(ExplainerError, match="no output is called 'b'"):
        pair[..., "b"]


def test_an_explanation_may_index_another():
    of_outputs = ours.Explanation(BASE[0])
    assert np.array_equal(
        explanation(ours)[..., of_outputs.argsort[:2]].values, VALUES[..., BASE[0].argsort()[:2]]
    )
    assert np.array_equal(of_outputs[ours.Explanation.argsort.flip[:2]].values, np.sort(BASE[0])[::-1][:2])


@pytest.mark.parametrize("operation", ["abs", "argsort", "flip"])
def test_operations_are_those_of_shap(operation):
    assert np.array_equal(
        getattr(explanation(ours), operation).values, getattr(explanation(theirs), operation).values
    )


@pytest.mark.parametrize("operation", ["max", "min", "mean", "sum"])
def test_reductions_over_images_are_those_of_shap(operation):
    expected, found = (getattr(explanation(library), operation)(0) for library in (theirs, ours))
    assert np.array_equal(found.values, expected.values)
    assert np.allclose(found.base_values, expected.base_values) and np.allclose(found.data, expected.data)
    assert found[..., "b"].shape == (3, 2, 1)


def test_reductions_over_pixels_and_outputs_keep_what_still_fits():
    whole = explanation(ours)
    assert whole.sum(1).base_values is BASE and whole.sum(1).output_names == NAMES
    assert whole.mean(-1).base_values is None and not whole.mean(-1).has_outputs
    assert whole.sum().values == pytest.approx(VALUES.sum()) and whole.sum().shape == ()


def test_arithmetic_works_on_values_and_base_values():
    whole = explanation(ours)
    assert np.array_equal((whole - whole * 0.5).values, VALUES - VALUES * 0.5)
    assert np.array_equal((whole + whole).base_values, 2 * BASE)
    assert np.array_equal((whole / 2).values, VALUES / 2)
    assert (whole + ours.Explanation(VALUES, data=DATA)).base_values is None


def test_samples_are_those_of_shap():
    assert np.array_equal(explanation(ours).sample(2).values, explanation(theirs).sample(2).values)
    rows = np.arange(50)
    assert np.array_equal(ours.sample(rows, 7), theirs.sample(rows, 7))
    assert np.array_equal(
        ours.utils.sample(rows, 7, random_state=3), theirs.utils.sample(rows, 7, random_state=3)
    )
    assert ours.sample(rows, 50) is rows
    assert ours.sample(list(rows), 7) == list(theirs.sample(list(rows), 7))


def test_attributes_can_be_set_and_it_counts_and_runs_through_its_images():
    whole = explanation(ours)
    whole.data, whole.values = DATA * 255, list(VALUES)
    assert len(whole) == 4 and [part.shape for part in explanation(ours)] == [(3, 2, 1, 5)] * 4
    assert ours.Explanation(whole).values is whole.values
    assert ".values =" in repr(whole) and ".base_values =" in repr(whole)


def test_outputs_are_numbered_without_names_as_in_shap():
    found, expected = (library.Explanation(VALUES, BASE, DATA) for library in (ours, theirs))
    assert list(found.output_names) == list(expected.output_names)
    assert ours.Explanation(VALUES[..., 0], BASE[:, 0], DATA).output_names is None


def test_one_of_shapsights_own_is_taken_over():
    index = torch.tensor([[2, 0], [2, 1]])
    own = OurExplanation(
        torch.randn(2, 2, 3, 4, 5), torch.randn(2, 2), torch.randn(2, 2), torch.zeros(2, 2), index,
        torch.rand(2, 3, 4, 5), output_names=("a", "b", "c"),
    )  # fmt: skip
    found = ours.Explanation(own)
    assert found.shape == (2, 4, 5, 3, 2) and found.data.shape == (2, 4, 5, 3)
    assert np.array_equal(found[1][..., 0].values, own.values[1, 0].permute(1, 2, 0).numpy())
    assert (
        found.output_names.tolist() == [["c", "a"], ["c", "b"]]
        and found.output_indexes.tolist() == index.tolist()
    )
    assert ours.Explanation(own.select(images=[0])).output_names == ["c", "a"]


def test_too_many_indexes_are_refused():
    with pytest.raises(ExplainerError, match="an index with 6 entries for values with 5 axes"):
        explanation(ours)[0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("path", "module"),
    [
        ("TreeExplainer", ours), ("KernelExplainer", ours), ("summary_plot", ours), ("models", ours),
        ("plots.waterfall", ours.plots), ("plots.beeswarm", ours.plots), ("maskers.Text", ours.maskers),
        ("maskers.Independent", ours.maskers), ("datasets.california", ours.datasets), ("links.logit", ours.links),
        ("explainers.Tree", ours.explainers), ("utils.hclust", ours.utils),
    ],
)  # fmt: skip
def test_what_is_not_offered_raises_one_sentence_that_names_shap(path, module):
    with pytest.raises(ExplainerError, match=f"shap.{path} is not offered here.*use shap itself") as caught:
        getattr(module, path.rpartition(".")[2])
    assert str(caught.value).count(".") <= 2 + path.count(".")
    assert not hasattr(module, "_private")


def test_a_name_that_is_nobodys_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'DeepExplaner'"):
        _ = ours.DeepExplaner


def test_every_public_name_of_shap_is_offered_or_refused_by_name():
    for name in theirs.__all__:
        try:
            getattr(ours, name)
        except ExplainerError as error:
            assert f"shap.{name} is not offered" in str(error)


def test_initjs_does_nothing():
    assert ours.initjs() is None
