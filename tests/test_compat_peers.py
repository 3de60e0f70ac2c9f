"""What shap's own tests and users ask of these names beyond drawing and explaining, compared live with shap."""

from __future__ import annotations

import io
import itertools
import math
import pickle
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from shapsight import DeepShap
from shapsight.attribution.deep import CompletenessWarning
from shapsight.compat import shap as ours
from shapsight.errors import CompletenessError, ExplainerError
from small_networks import convolutional

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import shap as theirs

RANDOM = np.random.default_rng(1)
VALUES = RANDOM.normal(size=(4, 3, 2, 1, 5))
DATA = RANDOM.random((4, 3, 2, 1))
BASE = RANDOM.normal(size=(4, 5))
NAMES = ["a", "b", "c", "d", "e"]
IMAGES = RANDOM.random((2, 8, 8, 3)).astype(np.float32)


def explanation(library):
    return library.Explanation(VALUES, BASE, DATA, output_names=NAMES)


def predict(images):
    return np.stack(
        [images[..., 0].mean((1, 2)), images[..., 1].max((1, 2)) * images[..., 2].mean((1, 2))], 1
    )


@pytest.mark.parametrize("axis", [0, (1, 2, 3), (1, 2), [0, 4], (-1, 1), (0, 1, 2, 3), None])
@pytest.mark.parametrize("name", ["sum", "mean", "max", "min"])
def test_values_are_reduced_along_several_axes_at_once(name, axis):
    found = getattr(explanation(ours), name)(axis=axis)
    over = tuple(axis) if isinstance(axis, list) else axis
    np.testing.assert_allclose(found.values, getattr(np, name)(VALUES, axis=over))
    if axis == (1, 2, 3):
        assert found.output_names == NAMES and found.shape == (4, 5)
        np.testing.assert_allclose(found.base_values, BASE)
        np.testing.assert_allclose(found[1, "c"].values, found.values[1, 2])
    if axis == (0, 1, 2, 3):
        assert found.output_names == NAMES and found.base_values.shape == (5,)


@pytest.mark.parametrize(
    "operation",
    [
        lambda e: 2 * e,
        lambda e: 2 + e,
        lambda e: 2 - e,
        lambda e: 2 / e,
        lambda e: e / 2 - 1,
    ],  # shap's 2 - e is e - 2
)
def test_numbers_may_stand_on_the_left(operation):
    found = operation(explanation(ours))
    np.testing.assert_allclose(found.values, operation(VALUES))
    np.testing.assert_allclose(found.base_values, operation(BASE))


def test_arrays_may_stand_on_the_left_and_signs_before():
    own = explanation(ours)
    np.testing.assert_allclose((VALUES * own).values, VALUES**2)
    np.testing.assert_allclose((-own).values, -VALUES)
    np.testing.assert_allclose((-own).base_values, -BASE)
    np.testing.assert_allclose((1 / own).values, 1 / VALUES)


def test_percentiles_and_output_dims_are_those_of_shap():
    for axis in (0, None):
        expected, found = (explanation(library).percentile(50, axis=axis) for library in (theirs, ours))
        np.testing.assert_allclose(found.values, expected.values)
    np.testing.assert_allclose(
        explanation(ours).percentile(50, axis=0).data, explanation(theirs).percentile(50, axis=0).data
    )
    assert tuple(explanation(theirs).output_dims) == explanation(ours).output_dims == (4,)


def test_several_outputs_are_picked_by_name():
    found = explanation(ours)[:, :, :, :, ["a", "c"]]
    np.testing.assert_allclose(found.values, VALUES[..., [0, 2]])
    assert found.output_names == ["a", "c"]
    np.testing.assert_allclose(found.base_values, BASE[:, [0, 2]])
    with pytest.raises(ExplainerError, match="no output is called 'z'"):
        explanation(ours)[..., ["a", "z"]]


def test_explanations_stand_side_by_side():
    own, other = explanation(ours), ours.Explanation(VALUES[:, :1], BASE, DATA[:, :1], output_names=NAMES)
    expected = explanation(theirs).hstack(theirs.Explanation(VALUES[:, :1], BASE, DATA[:, :1]))
    found = own.hstack(other)
    np.testing.assert_allclose(found.values, expected.values)
    assert found.data.shape == found.shape[:-1]
    with pytest.raises(ExplainerError, match="as many images and the same base values"):
        own.hstack(ours.Explanation(VALUES, BASE + 1, DATA, output_names=NAMES))


@pytest.mark.parametrize(
    "value", ["blur(4,4)", "inpaint_telea", 0.5, IMAGES.mean(0), IMAGES.mean(0).reshape(-1)]
)
def test_maskers_and_explainers_are_saved_without_pickle(value):
    masker = ours.maskers.Image(value, IMAGES[0].shape)
    explainer = ours.PartitionExplainer(predict, masker, output_names=["x", "y"], max_evals=30, seed=3)
    file, mask = io.BytesIO(), RANDOM.random((8, 8)) > 0.5
    masker.save(file)
    file.seek(0)
    np.testing.assert_array_equal(ours.maskers.Image.load(file)(mask, IMAGES[0]), masker(mask, IMAGES[0]))
    file = io.BytesIO()
    explainer.save(file)
    file.seek(0)
    again = ours.PartitionExplainer.load(file, model_loader=lambda _file: predict)
    np.testing.assert_array_equal(again(IMAGES).values, explainer(IMAGES).values)
    assert again.output_names == ["x", "y"]
    file.seek(0)
    with pytest.raises(ExplainerError, match="model_loader=lambda"):
        ours.PartitionExplainer.load(file)
    file.seek(0)
    with pytest.raises(ExplainerError, match="holds PartitionExplainer, not a Image"):
        ours.maskers.Image.load(file)


def test_a_pickle_is_not_opened():
    class Dangerous:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was run",))

    file = io.BytesIO(pickle.dumps(Dangerous()))
    with pytest.raises(ExplainerError, match="no Image saved by shapsight"):
        ours.maskers.Image.load(file)


def test_mask_values_are_arrays_as_in_shap():
    for value in (5, np.float32(5), np.full((5, 5, 3), 5)):
        expected, found = theirs.maskers.Image(value, (5, 5, 3)), ours.maskers.Image(value, (5, 5, 3))
        np.testing.assert_allclose(found.mask_value, np.ravel(expected.mask_value))
    with pytest.raises(TypeError, match="shape"):
        ours.maskers.Image("inpaint_telea")


MASKER = ours.maskers.Image("mean", IMAGES[0].shape)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: ours.PartitionExplainer(predict, MASKER)(IMAGES, max_eval=5),
            r"max_eval=; did you mean max_evals=",
        ),
        (lambda: ours.PartitionExplainer(predict, MASKER, max_eval=5), r"did you mean max_evals="),
        (lambda: ours.PartitionExplainer(predict, MASKER, partition_tree=1), r"shapsight\.PartitionShap"),
        (
            lambda: ours.DeepExplainer(convolutional(), torch.rand(2, 3, 8, 8), outputs_layout="last"),
            r"takes no outputs_layout=",
        ),
        (
            lambda: ours.Explainer(predict, MASKER, algorithm="permutation"),
            r"algorithm='partition' for images",
        ),
        (lambda: ours.image_plot([VALUES[..., 0]] * 5, DATA[:2], show=False), r'output_layout="last"'),
        (lambda: ours.image_plot([VALUES], DATA, show=False), r'output_layout="last"'),
    ],
)
def test_what_does_not_fit_is_named_with_what_to_do(make, message):
    with pytest.raises(ExplainerError, match=message):
        make()


class Softmax(nn.Module):
    """So sure that in float32 nothing changes."""

    def __init__(self):
        super().__init__()
        self.network = convolutional()

    def forward(self, images):
        return (1e4 * self.network(images)).softmax(1)


def test_a_gap_behind_a_saturated_softmax_says_to_explain_the_logits():
    from shapsight import Explanation
    from shapsight.attribution.deep.explainer import _judge

    values = torch.zeros(1, 1, 1, 2, 2)
    values[0, 0, 0, 0] = torch.tensor([1.0, -0.9])
    one = torch.ones(1, 1)
    sure = Explanation(values, one, one, -values.sum((2, 3, 4)), one.long() * 0, torch.zeros(1, 1, 2, 2))
    with pytest.raises(CompletenessError, match="saturated softmax or sigmoid: explain what goes into it"):
        _judge([sure], "raise", set())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CompletenessWarning)
        assert DeepShap(Softmax(), torch.rand(2, 3, 16, 16))(torch.rand(1, 3, 16, 16)).values.isfinite().all()


def exact(network, image, references):
    """Shapley values of nine pixels by all 512 coalitions, the hidden ones taken from each reference in turn."""
    coalitions = torch.tensor(list(itertools.product([False, True], repeat=9)))
    shown = torch.where(coalitions.reshape(1, -1, 1, 3, 3), image, references.unsqueeze(1))
    worth = network(shown.flatten(0, 1)).detach().reshape(len(references), 512, -1).mean(0)
    values = []
    for player in range(9):
        without = (~coalitions[:, player]).nonzero().flatten()
        sizes = coalitions[without].sum(1).tolist()
        weight = torch.tensor([1 / (9 * math.comb(8, size)) for size in sizes])
        values.append(weight @ (worth[without + 2 ** (8 - player)] - worth[without]))
    return torch.stack(values)


@pytest.mark.filterwarnings("ignore")
def test_behind_a_softmax_our_values_are_nearer_to_exact_ones_than_those_of_shap():
    distances = {"ours": [], "theirs": [], "size": []}
    for seed in range(20):
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Flatten(), nn.Linear(9, 16), nn.ReLU(), nn.Linear(16, 3), nn.Softmax(1)
        ).requires_grad_(False)
        for weights in network.parameters():
            weights.mul_(2)
        image, references = torch.randn(1, 1, 3, 3), torch.randn(8, 1, 3, 3)
        expected = exact(network, image[0], references)
        found = DeepShap(network, references)(image).values[0].flatten(1).T
        with_shap = theirs.DeepExplainer(network, references).shap_values(image, check_additivity=False)
        distances["ours"].append((found - expected).abs().mean())
        distances["theirs"].append((torch.as_tensor(with_shap).reshape(9, 3) - expected).abs().mean())
        distances["size"].append(expected.abs().mean())
    ours_, theirs_, size = (torch.stack(distances[name]) for name in ("ours", "theirs", "size"))
    assert (ours_ < theirs_).all()
    assert ours_.mean() < 0.01 < 0.03 < size.mean() < 0.1 < theirs_.mean()
