"""The model is left as it was found, and every run of it begins in the same state."""

import gc
import threading
import weakref
from collections import OrderedDict, defaultdict, deque

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from deep_parts import Restless, assert_exact, assert_left_as_found, block, pictures, small
from shapsight import DeepShap, GradientShap, PartitionShap
from shapsight.attribution.deep.replay import Replay
from shapsight.attribution.shared.modules import State

X, B = pictures(2), pictures(4, seed=1)


def test_the_model_is_left_as_it_was_found():
    model = Restless().double().train()
    assert_left_as_found(model, lambda: DeepShap(model, B)(X))
    assert model.seen == 0


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), KeyboardInterrupt()])
def test_the_model_is_left_as_it_was_found_after_an_exception(error):
    model = Restless(raises=error).double().train()

    def run():
        with pytest.raises(type(error)):
            DeepShap(model, B)(X)

    assert_left_as_found(model, run)
    assert torch.autograd.Function.apply is not None
    DeepShap(small(), B)(X)  # and nothing of the interrupted run is left in torch


def test_what_a_model_computes_once_and_remembers_does_not_look_like_control_flow():
    def body(m, x):
        if "weight" not in m.cache:
            m.cache["weight"] = m.c.weight.sigmoid() * 2
        return F.gelu(F.conv2d(x, m.cache["weight"]))

    model = small(body, c=nn.Conv2d(3, 3, 1))
    model.cache = {}
    assert DeepShap(model, B)(X).completeness_gap.abs().max() < 1e-12
    assert model.cache == {}


def test_two_threads_explain_two_models():
    models = [small(), small(lambda m, x: F.gelu(m.c(x)) * x, c=block())]
    alone = [DeepShap(model, B)(X).values for model in models]
    together = [None, None]

    def run(number):
        for _ in range(3):
            together[number] = DeepShap(models[number], B)(X).values

    threads = [threading.Thread(target=run, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    torch.testing.assert_close(together, alone)


def test_threads_that_share_a_model_leave_it_as_it_was():
    model = nn.Sequential(
        nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.ReLU(True), nn.Flatten(), nn.Linear(192, 2)
    )
    model = model.double().train()
    expected = DeepShap(model, B)(X).values
    found = []
    threads = [
        threading.Thread(target=lambda: found.extend(DeepShap(model, B)(X).values for _ in range(4)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 12
    assert all(torch.equal(values, expected) for values in found)
    assert model.training and all(parameter.requires_grad for parameter in model.parameters())


class Averaging(nn.Module):
    """Follows its activations in a buffer, and keeps them in a list."""

    def __init__(self):
        super().__init__()
        self.c = nn.Conv2d(3, 3, 1)
        self.register_buffer("mean", torch.zeros(3))
        self.seen = []
        self.grid = None

    @torch.no_grad()
    def follow(self, y):
        self.mean.mul_(0.9).add_(y.mean((0, 2, 3)))
        self.seen.append(y)

    def forward(self, images):
        if self.grid is None or len(self.grid) != len(images):  # remembered for batches of one size
            self.grid = torch.linspace(0, 1, 8, dtype=images.dtype).expand(len(images), 3, 8, 8) * 2
        y = self.c(images)
        self.follow(y)
        return (y + self.grid).tanh().mean((2, 3))


def test_what_a_model_remembers_of_a_run_is_put_back_before_the_next():
    model = Averaging().double()
    assert_exact(model, X, B)
    assert model.mean.grad_fn is None and not model.mean.requires_grad
    del model.seen[:]
    model.mean.zero_()
    model.grid = None
    DeepShap(model, B)(X)
    assert not model.seen and not model.mean.any() and model.grid is None


ONE, OTHER = torch.zeros(2), torch.zeros(2)  # equal, and not the same
CHANGES = {
    "filled": ([], lambda c: c.append(ONE)),
    "emptied": ([ONE], lambda c: c.clear()),
    "another, equal tensor": ([ONE], lambda c: c.__setitem__(0, OTHER)),
    "reversed": (deque([ONE, OTHER]), lambda c: c.reverse()),
    "a set with one more": ({1}, lambda c: c.add(2)),
    "a set with another": ({1}, lambda c: (c.clear(), c.add(2))),
    "a dictionary filled": ({}, lambda c: c.update(a=ONE)),
    "a dictionary emptied": (OrderedDict(a=ONE), lambda c: c.clear()),
    "asked for what is not there": (defaultdict(list), lambda c: c["a"]),
    "another tensor under the same key": ({"a": ONE}, lambda c: c.update(a=OTHER)),
    "the same tensor under another key": ({"a": ONE}, lambda c: c.update(b=c.pop("a"))),
    "an equal key": ({1: ONE}, lambda c: (c.clear(), c.update({1.0: ONE}))),
    "another order": (OrderedDict(a=ONE, b=ONE), lambda c: c.move_to_end("a")),
}


def parts_of(container):
    """The very objects in a container, in order, by number; small numbers with their type."""
    items = list(container.items()) if isinstance(container, dict) else [(value,) for value in container]
    return [[(type(part), id(part)) for part in item] for item in items]


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_happens_to_what_an_attribute_contains_is_put_back(change):
    make, happen = CHANGES[change]
    model = small()
    model.kept = make.copy()
    container, before = model.kept, parts_of(model.kept)
    state = State.of(model)
    for _ in range(2):
        happen(container)
        assert parts_of(container) != before
        state.restore()
        assert model.kept is container
        assert parts_of(container) == before


class Remembering(nn.Module):
    """Makes what it needs in its first run and keeps it."""

    def __init__(self):
        super().__init__()
        self.head, self.grid = nn.Linear(192, 2), None

    def forward(self, images):
        if self.grid is None:
            self.grid = torch.linspace(0, 1, 192)
        return self.head(images.flatten(1) * self.grid)


@pytest.mark.parametrize(
    "explainer",
    [
        lambda model: DeepShap(model, B.float()),
        lambda model: GradientShap(model, B.float(), 40),
        lambda model: PartitionShap(model, 0.0, max_evals=9),
    ],
    ids=["deep", "gradient", "partition"],
)
def test_what_a_model_kept_from_inference_mode_does_not_matter(explainer):
    torch.manual_seed(0)
    model = Remembering()
    expected = explainer(model)(X.float()).values
    with torch.inference_mode():
        model(X.float())
    kept = model.grid
    torch.testing.assert_close(explainer(model)(X.float()).values, expected)
    assert model.grid is kept


def test_nothing_of_a_run_stays_in_memory_after_the_explanation(monkeypatch):
    replays = []
    begin = Replay.__init__

    def noted(self, *args, **kwargs):
        begin(self, *args, **kwargs)
        replays.append(weakref.ref(self))

    monkeypatch.setattr(Replay, "__init__", noted)
    model = torchvision.models.resnet18(num_classes=2)
    DeepShap(model, torch.randn(3, 3, 32, 32))(torch.randn(1, 3, 32, 32), on_gap="ignore")
    gc.collect()
    assert len(replays) >= 2
    assert [replay() for replay in replays] == [None] * len(replays)
