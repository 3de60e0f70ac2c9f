"""References chosen from a pool: nearer to it than drawn ones, with errors that are true, whatever the pool is."""

import dataclasses
import itertools

import pytest
import torch
from torch import nn

import shapsight as ss
from shapsight.attribution.references.choosing import Pool, choose
from shapsight.errors import ExplainerError
from shapsight.models.references import ChosenReferences
from small_networks import convolutional


def network(seed=0, outputs=2):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, outputs),
    ).eval()


def pool_of(count, seed=0, size=16):
    """Smooth pictures that differ along a few directions, as photographs of one place do."""
    generator = torch.Generator().manual_seed(seed)
    directions = nn.functional.interpolate(torch.randn(4, 3, 4, 4, generator=generator), size=(size, size))
    images = torch.einsum("nd,dchw->nchw", torch.randn(count, 4, generator=generator), directions)
    return images + 0.1 * torch.randn(count, 3, size, size, generator=generator)


def line(count, seed=0):
    points = torch.randn(count, 3, generator=torch.Generator().manual_seed(seed))
    return Pool.of(points, torch.full((count,), 1 / count), seed)


def distance(pool, rows):
    """The squared kernel distance to the pool, by its definition."""
    among = torch.exp(-torch.cdist(pool.points, pool.points).square().double() / (2 * pool.width**2))
    weights = torch.zeros(len(pool.points), dtype=torch.float64)
    weights[rows] = 1 / len(rows)
    off = weights - pool.shares.double()
    return float(off @ among @ off)


@pytest.mark.parametrize("seed", range(6))
def test_the_choice_is_among_the_best_hundredth_of_all_choices_of_a_small_pool(seed):
    pool = line(13, seed)
    every = sorted(distance(pool, list(rows)) for rows in itertools.combinations(range(13), 4))
    assert distance(pool, choose(pool, 4, None, seed)) <= 1.0001 * every[len(every) // 100]


def test_chosen_are_far_nearer_to_the_pool_than_drawn_ones_and_so_are_the_first_of_them():
    pool = line(400)
    chosen = choose(pool, 24, None, 0)
    drawn = [distance(pool, torch.randperm(400)[:24]) for _ in range(30)]
    assert distance(pool, chosen) < 0.1 * sorted(drawn)[15]
    fewer = [distance(pool, torch.randperm(400)[:8]) for _ in range(30)]
    assert distance(pool, chosen[:8]) < 0.5 * sorted(fewer)[15]


def test_blocks_of_rows_give_the_kernel_of_all(monkeypatch):
    whole = line(300)
    monkeypatch.setattr("shapsight.attribution.references.choosing.BLOCK", 2000)
    torch.testing.assert_close(line(300).to_pool, whole.to_pool)


@pytest.mark.parametrize("smooth", [0.0, 0.5, 1.0])
def test_the_claimed_error_is_the_true_one_of_functions_that_are_partly_smooth(smooth):
    """Against what 300 functions on a pool really miss: their smooth part follows a kernel, the rest is noise."""
    pool = line(300)
    rows = choose(pool, 20, None, 0)
    points = pool.points.double()
    kernel = torch.exp(-torch.cdist(points, points).square() / (2 * (2 * pool.width) ** 2))
    root = torch.linalg.cholesky(kernel + 1e-8 * torch.eye(300, dtype=torch.float64))
    generator = torch.Generator().manual_seed(1)
    normal = torch.randn(2, 300, 300, generator=generator, dtype=torch.float64)
    values = smooth**0.5 * root @ normal[0] + (1 - smooth) ** 0.5 * normal[1]
    true = (values[rows].mean(0) - values.mean(0)).square().mean()
    drawn = (values[rows].var(0) / 20).mean()
    claimed = drawn * pool.likeness(rows).variance_ratio(values[rows], torch.full((20,), 1 / 20))
    assert 0.8 < (claimed / true) ** 0.5 < 1.25


def test_errors_of_an_explanation_are_true_over_pools_and_far_below_those_of_draws():
    model, images = network(), pool_of(3, 99)
    true, claimed, drawn, parts, of_parts = [], [], [], [], []
    masks = (torch.arange(16) >= 8)[:, None].expand(16, 16)
    for seed in range(8):
        pool = pool_of(150, seed)
        chosen = ss.choose_references(model, pool, 15)
        found = ss.DeepShap(model, chosen)(images, parts=masks)
        independent = ss.DeepShap(model, chosen.references)(images)
        truth = ss.DeepShap(model, pool)(images)
        true.append((found.values - truth.values).square().mean())
        claimed.append(found.std_errors.square().mean())
        drawn.append(independent.std_errors.square().mean())
        parts.append((found.parts(masks).values - truth.parts(masks).values).square().mean())
        of_parts.append(found.parts(masks).std_errors.square().mean())
    ratio = lambda one, other: float((sum(one) / sum(other)) ** 0.5)  # noqa: E731
    assert 0.8 < ratio(claimed, true) < 1.5
    assert ratio(drawn, true) > 1.5
    assert 0.6 < ratio(of_parts, parts) < 2.5


def test_the_whole_pool_has_no_error_and_its_copies_weigh_more():
    model, images, pool = network(), pool_of(2, 99), pool_of(5)
    copies = torch.cat([pool, pool[:2], pool[:1]])
    with pytest.warns(UserWarning, match=r"8 images, 3 of them copies: all are references, though 25"):
        chosen = ss.choose_references(model, copies, 25)
    assert chosen.indices.tolist() == [0, 1, 2, 3, 4]
    torch.testing.assert_close(chosen.weights * 8, torch.tensor([3.0, 2, 1, 1, 1], dtype=torch.float64))
    found, truth = ss.DeepShap(model, chosen)(images), ss.DeepShap(model, copies)(images)
    torch.testing.assert_close(found.values, truth.values, rtol=1e-4, atol=1e-6)
    masked = ss.RegionShap(model, chosen, "grid(2,2)")(images)
    torch.testing.assert_close(
        masked.values, ss.RegionShap(model, copies, "grid(2,2)")(images).values, rtol=1e-4, atol=1e-6
    )


def test_base_values_are_nearer_to_the_pools_which_are_beside_them():
    model, images, pool = network(), pool_of(2, 99), pool_of(300)
    chosen = ss.choose_references(model, pool, 20)
    found = ss.DeepShap(model, chosen, output_names=["x", "y"])(images)
    with torch.no_grad():
        means, spread = model(pool).mean(0), model(pool).std(0)
    said = found.settings["pool_base_values"]
    torch.testing.assert_close(torch.tensor([said["x"], said["y"]]), means)
    assert found.settings["references_chosen_from"] == 300
    assert ((found.base_values[0] - means).abs() < 0.3 * spread / 20**0.5).all()


def test_tolerance_stops_at_the_first_references():
    model, images, pool = network(), pool_of(1, 99), pool_of(300)
    chosen = ss.choose_references(model, pool, 40)
    some = ss.DeepShap(model, chosen, max_memory=2_000_000)(images, tolerance=0.9)
    assert some.settings["references"] < 40
    fewer = ss.DeepShap(model, chosen.first(some.settings["references"]))(images)
    torch.testing.assert_close(some.values, fewer.values)
    torch.testing.assert_close(some.std_errors, fewer.std_errors)


def test_every_group_has_a_reference_and_those_that_cannot_are_named():
    model, pool = network(), pool_of(200)
    groups = ["hall"] * 195 + ["night"] * 4 + ["rain"]
    chosen = ss.choose_references(model, pool, 8, groups=groups)
    assert {groups[i] for i in chosen.indices.tolist()} == {"hall", "night", "rain"}
    with pytest.warns(UserWarning, match="2 references cannot stand for each of 3 groups"):
        ss.choose_references(model, pool, 2, groups=groups)


class OnDisk:
    """A pool that is never in memory as a whole."""

    def __init__(self, count):
        self.count, self.largest = count, 0

    def __len__(self):
        return self.count

    def __getitem__(self, rows):
        numbers = range(self.count)[rows]
        self.largest = max(self.largest, len(numbers))
        return torch.cat([pool_of(1, number) for number in numbers])


def test_a_pool_on_disk_is_read_in_batches_and_gives_the_same():
    model, pool = network(), OnDisk(90)
    found = ss.choose_references(model, pool, 6, batch_size=16)
    assert pool.largest == 16
    assert found.indices.tolist() == ss.choose_references(model, pool[:], 6, batch_size=16).indices.tolist()
    torch.testing.assert_close(found.references[2], pool_of(1, int(found.indices[2]))[0])


class Dict(nn.Module):
    def __init__(self):
        super().__init__()
        self.network = network(outputs=7)

    def forward(self, images):
        return {"boxes": self.network(images), "none": None}


def no_layers(images):
    return images.mean((2, 3)).square()


@pytest.mark.parametrize(
    "model",
    [
        network(outputs=1),
        network(outputs=1500),
        nn.Sequential(nn.Flatten()),
        no_layers,
        Dict(),
        convolutional(),
        nn.Sequential(nn.Flatten(), nn.Linear(768, 4)),
    ],
    ids=["one output", "many outputs", "no layer", "a function", "a dict", "a CNN", "linear"],
)
@pytest.mark.parametrize("by", ["features and outputs", "features", "outputs", "pixels"])
def test_any_model_gets_references(model, by):
    assert len(ss.choose_references(model, pool_of(40), 5, by=by)) == 5


def test_a_constant_model_gets_references_by_the_pixels():
    found = ss.choose_references(lambda images: torch.ones(len(images), 3), pool_of(60), 6)
    assert len(set(found.indices.tolist())) == 6


def test_the_model_is_left_as_it_was_found():
    model = nn.Sequential(network(), nn.BatchNorm1d(2)).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    ss.choose_references(model, pool_of(70), 5)
    assert model.training and model[1].training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    "change,message",
    [
        ({"k": 0}, "at least 1"),
        ({"k": 2.5}, "whole number"),
        ({"by": "luck"}, "'features and outputs'"),
        ({"pool": torch.zeros(0, 3, 16, 16)}, "no image"),
        ({"pool": torch.zeros(3, 16, 16)}, "must be"),
        ({"groups": ["a"]}, "1 for a pool of 40"),
        ({"pool": pool_of(40).index_fill(0, torch.tensor([7]), torch.nan)}, "image 7 of the pool holds NaN"),
        ({"model": lambda images: "nothing"}, "without a tensor of a row an image"),
        ({"model": lambda images: images.flatten(1).sum(1).log()}, "makes the model answer with NaN"),
    ],
)
def test_what_cannot_be_chosen_from_says_why(change, message):
    with pytest.raises(ExplainerError, match=message):
        ss.choose_references(**{"model": network(), "pool": pool_of(40), "k": 5} | change)


def test_weights_beside_chosen_references_are_refused():
    chosen = ss.choose_references(network(), pool_of(40), 5)
    with pytest.raises(ExplainerError, match="weights of their own"):
        ss.DeepShap(network(), chosen, weights=[1] * 5)


def test_a_file_keeps_all_but_the_notes():
    chosen = ss.choose_references(network(), pool_of(40), 5)
    assert repr(chosen) == "ChosenReferences(5 of 40 images, 3 × 16 × 16)"
    back = ChosenReferences.of_tensors(chosen.tensors())
    assert torch.equal(back.references, chosen.references)
    assert (back.pool_size, back.indices.tolist()) == (40, chosen.indices.tolist())
    values, weights = torch.randn(5, 30), torch.full((5,), 0.2)
    assert back.likeness.variance_ratio(values, weights) == chosen.likeness.variance_ratio(values, weights)
    drawn = ChosenReferences.of_tensors({"references": chosen.references})
    assert drawn.likeness is None and drawn.unequal_weights is None
    assert dataclasses.replace(drawn, pool_size=None).first(2).weights.tolist() == [0.5, 0.5]


def test_explanations_of_other_classes_are_joined_with_all_base_values_of_the_pool():
    model, pool = network(outputs=6), pool_of(50)
    explainer = ss.DeepShap(model, ss.choose_references(model, pool, 8))
    parts = [explainer(pool[:2], outputs) for outputs in ([0, 1], [1, 4])]
    joined = ss.Explanation.concatenate([part.select(outputs=[0]) for part in parts])
    with torch.no_grad():
        means = model(pool).mean(0)
    said = joined.settings["pool_base_values"]
    assert said == pytest.approx({f"output {n}": float(means[n]) for n in (0, 1, 4)})
