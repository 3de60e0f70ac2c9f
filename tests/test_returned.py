"""Whatever shape and type a model returns: the same values from all explainers, or a refusal that says what to do."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from shapsight import DeepShap, GradientShap, PartitionShap, RegionShap
from shapsight.errors import ExplainerError
from small_networks import convolutional, pictures

EXPLAINERS = {
    "deep": lambda model, **options: DeepShap(model, pictures(3, seed=1), **options),
    "gradient": lambda model, **options: GradientShap(model, pictures(3, seed=1), 60, **options),
    "partition": lambda model, **options: PartitionShap(model, "mean", max_evals=20, **options),
    "regions": lambda model, **options: RegionShap(model, "mean", (2, 2), **options),
}
EVERY = pytest.mark.parametrize("explainer", EXPLAINERS)
BLACK_BOXES = pytest.mark.parametrize("explainer", ["partition", "regions"])


class Returning(nn.Module):
    """A small network whose result is handed on in another form."""

    def __init__(self, form, outputs=3):
        super().__init__()
        self.network, self.form = convolutional(outputs=outputs), form

    def forward(self, images):
        return self.form(self.network(images))


def as_function(model):
    """The same model for arrays (N, H, W, C)."""
    return lambda arrays: model(torch.from_numpy(arrays).permute(0, 3, 1, 2)).numpy()


WITHOUT_BATCH = {
    "squeeze": lambda y: y.squeeze(),
    "squeeze of more dimensions": lambda y: y[:, :, None, None].squeeze(),
    "the first if there is one": lambda y: y[0] if len(y) == 1 else y,
    "the first of more dimensions if there is one": lambda y: (
        y[:, :, None, None][0] if len(y) == 1 else y[:, :, None, None]
    ),
    "view": lambda y: y.view(-1) if len(y) == 1 else y,
}


@EVERY
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("form", WITHOUT_BATCH)
def test_a_batch_of_one_that_is_taken_away_changes_no_value(form, outputs, explainer):
    images = pictures(2)
    expected = EXPLAINERS[explainer](convolutional(outputs=outputs))(images)
    found = EXPLAINERS[explainer](Returning(WITHOUT_BATCH[form], outputs))(images)
    alone = EXPLAINERS[explainer](Returning(WITHOUT_BATCH[form], outputs))(images[:1])
    torch.testing.assert_close(found.values, expected.values, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(found.predictions, expected.predictions)
    torch.testing.assert_close(alone.values, expected.values[:1], rtol=1e-4, atol=1e-7)


@BLACK_BOXES
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize(
    "form", [np.squeeze, lambda y: y.squeeze().tolist(), lambda y: y[0] if len(y) == 1 else y]
)
def test_functions_may_take_it_away_as_well(form, outputs, explainer):
    plain = as_function(convolutional(outputs=outputs))
    expected = EXPLAINERS[explainer](plain)(pictures(2))
    found = EXPLAINERS[explainer](lambda arrays: form(plain(arrays)))(pictures(2))
    torch.testing.assert_close(found.values.float(), expected.values, rtol=1e-4, atol=1e-7)


@EVERY
@pytest.mark.parametrize("form", [torch.mean, lambda y: y.mean(0, keepdim=True)])
def test_a_loss_is_still_refused(form, explainer):
    with pytest.raises(ExplainerError, match=r"single number|rows? for"):
        EXPLAINERS[explainer](Returning(form))(pictures(2))


@EVERY
@pytest.mark.parametrize(
    ("form", "output"), [(lambda y: {"scores": y, "twice": 2 * y}, "twice"), (lambda y: (y, 2 * y), 1)]
)
def test_output_picks_a_part_of_what_is_returned(form, output, explainer):
    expected = EXPLAINERS[explainer](convolutional())(pictures(2))
    found = EXPLAINERS[explainer](Returning(form), output=output)(pictures(2))
    torch.testing.assert_close(found.values, 2 * expected.values, rtol=1e-4, atol=1e-7)
    with pytest.raises(ExplainerError, match=r"say with output="):
        EXPLAINERS[explainer](Returning(form))(pictures(2))
    with pytest.raises(ExplainerError, match="no part 'loss'"):
        EXPLAINERS[explainer](Returning(form), output="loss")(pictures(2))


@BLACK_BOXES
def test_output_picks_a_part_of_what_a_function_returns(explainer):
    plain = as_function(convolutional())
    expected = EXPLAINERS[explainer](plain)(pictures(2))
    found = EXPLAINERS[explainer](lambda a: {"scores": plain(a), "names": "abc"}, output="scores")(
        pictures(2)
    )
    torch.testing.assert_close(found.values, expected.values)
    with pytest.raises(ExplainerError, match=r"a dict with 'scores', 'names'; say with output="):
        EXPLAINERS[explainer](lambda a: {"scores": plain(a), "names": "abc"})(pictures(2))


@EVERY
def test_complex_numbers_are_refused_with_what_to_return_instead(explainer):
    with pytest.raises(ExplainerError, match=r"complex64.*\.abs\(\)"):
        EXPLAINERS[explainer](Returning(lambda y: torch.complex(y, y)))(pictures(2))
    expected = EXPLAINERS[explainer](Returning(lambda y: torch.complex(y, y).real))(pictures(1))
    torch.testing.assert_close(
        expected.values, EXPLAINERS[explainer](convolutional())(pictures(1)).values, rtol=1e-4, atol=1e-7
    )


DECISIONS = {
    "boolean": lambda y: y > 0,
    "classes": lambda y: y.argmax(1),
    "whole numbers": lambda y: (100 * y).to(torch.int8),
}


@pytest.mark.parametrize("explainer", ["deep", "gradient"])
@pytest.mark.parametrize("form", DECISIONS)
def test_decisions_have_no_slope_and_are_refused_by_what_follows_slopes(form, explainer):
    with pytest.raises(ExplainerError, match="return the scores that it is decided by, or use PartitionShap"):
        EXPLAINERS[explainer](Returning(DECISIONS[form]))(pictures(2))


@BLACK_BOXES
@pytest.mark.parametrize("form", DECISIONS)
def test_decisions_are_numbers_to_a_black_box(form, explainer):
    expected = EXPLAINERS[explainer](Returning(lambda y: DECISIONS[form](y).float()))(pictures(2))
    found = EXPLAINERS[explainer](Returning(DECISIONS[form]))(pictures(2))
    torch.testing.assert_close(found.values, expected.values)
    torch.testing.assert_close(
        found.values.sum((2, 3, 4)), found.predictions - found.base_values, rtol=1e-5, atol=1e-5
    )


@BLACK_BOXES
def test_sparse_scores_are_read(explainer):
    sparse = EXPLAINERS[explainer](Returning(lambda y: y.to_sparse()))(pictures(1))
    expected = EXPLAINERS[explainer](convolutional())(pictures(1))
    torch.testing.assert_close(sparse.values, expected.values)


def traced(model):
    return torch.jit.trace(model, torch.rand(2, 3, 16, 16))


SCRIPTED = {
    "scripted": torch.jit.script,
    "traced": traced,
    "frozen": lambda model: torch.jit.freeze(torch.jit.script(model)),
    "traced and frozen": lambda model: torch.jit.freeze(traced(model)),
    "optimised": lambda model: torch.jit.optimize_for_inference(torch.jit.script(model)),
}


@pytest.mark.filterwarnings("ignore:`torch.jit")
@pytest.mark.parametrize("within", [False, True])
@pytest.mark.parametrize("explainer", ["gradient", "partition", "regions"])
@pytest.mark.parametrize("kind", SCRIPTED)
def test_torchscript_in_every_form_has_the_values_of_its_python_model(kind, explainer, within):
    model = SCRIPTED[kind](convolutional())
    model = nn.Sequential(model, nn.Identity()).train() if within else model
    expected = EXPLAINERS[explainer](convolutional())(pictures(2))
    if (kind, explainer) == ("optimised", "gradient"):
        with pytest.raises(ExplainerError, match="optimised for inference has none"):
            EXPLAINERS[explainer](model)(pictures(2))
        return
    found = EXPLAINERS[explainer](model)(pictures(2))
    torch.testing.assert_close(found.values, expected.values, rtol=1e-3, atol=1e-6)
    assert model.training if within else not getattr(model, "training", False)


class Lazy(nn.Module):
    def __init__(self):
        super().__init__()
        self.look, self.norm, self.head = nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.LazyLinear(2)

    def forward(self, images):
        return self.head(F.relu(self.norm(self.look(images))).flatten(1))


@EVERY
def test_lazy_modules_are_refused_until_they_were_run(explainer):
    model = Lazy()
    with pytest.raises(ExplainerError, match=r"look \(LazyConv2d\) has no weights yet: run the model"):
        EXPLAINERS[explainer](model)(pictures(1))
    model.eval()(pictures(1))
    found = EXPLAINERS[explainer](model)(pictures(1))
    torch.testing.assert_close(found.predictions, model(pictures(1)).detach(), rtol=1e-4, atol=1e-6)
