"""Models with several inputs, an image and numbers or two images, explained by asking."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

import shapsight as ss
from shapsight.errors import ExplainerError

GENERATOR = torch.Generator().manual_seed(0)
IMAGES = torch.rand(2, 3, 8, 8, generator=GENERATOR)
NUMBERS = torch.rand(2, 3, generator=GENERATOR)
USUAL = torch.tensor([0.2, 0.5, 0.9])


class Driver(nn.Module):
    """The left and right of a picture, and numbers, all of which have to do with each other."""

    def forward(self, images: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
        left, right = images[..., :4].mean((1, 2, 3)), images[..., 4:].square().mean((1, 2, 3))
        first, second, third = numbers.T
        return torch.stack([left * first + right * second * third, (left - third).relu() + right * first], 1)


def shapley(worth, players: int) -> list[torch.Tensor]:
    """By the formula, from all coalitions."""
    values = []
    for player in range(players):
        others = [other for other in range(players) if other != player]
        value = 0
        for size in range(players):
            weight = math.factorial(size) * math.factorial(players - size - 1) / math.factorial(players)
            for some in itertools.combinations(others, size):
                value = value + weight * (worth({*some, player}) - worth(set(some)))
        values.append(value)
    return values


def worth_of(model, number, hidden_pixel):
    """What coalitions of left, right and three numbers are worth."""

    def worth(some):
        image, numbers = torch.full_like(IMAGES[number], hidden_pixel), USUAL.clone()
        image[..., :4] = IMAGES[number, ..., :4] if 0 in some else image[..., :4]
        image[..., 4:] = IMAGES[number, ..., 4:] if 1 in some else image[..., 4:]
        for place in range(3):
            numbers[place] = NUMBERS[number, place] if 2 + place in some else numbers[place]
        return model(image[None], numbers[None])[0]

    return worth


def test_regions_and_numbers_have_the_shapley_values_of_brute_force():
    model = Driver()
    explainer = ss.RegionShap(model, (0.25, USUAL), "grid(1,2)", output_names=("steer", "brake"))
    picture, numbers = explainer((IMAGES, NUMBERS))
    assert picture.values.shape == (2, 2, 3, 8, 8)
    assert numbers.values.shape == (2, 2, 1, 1, 3)
    for number in range(2):
        expected = torch.stack(shapley(worth_of(model, number, 0.25), 5), 1)
        halves = picture.values[number].sum(1)
        torch.testing.assert_close(halves[..., :4].sum((1, 2)), expected[:, 0], rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(halves[..., 4:].sum((1, 2)), expected[:, 1], rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(numbers.values[number, :, 0, 0], expected[:, 2:], rtol=1e-4, atol=1e-6)
    together = picture.values.sum((2, 3, 4)) + numbers.values.sum((2, 3, 4))
    torch.testing.assert_close(together, picture.predictions - picture.base_values)
    torch.testing.assert_close(
        picture.base_values[0], model(torch.full_like(IMAGES, 0.25), USUAL.expand(2, 3))[0]
    )


def test_the_table_has_parts_of_pictures_and_numbers_side_by_side():
    explainer = ss.RegionShap(Driver(), (0.25, USUAL), "grid(1,2)")
    found = explainer((IMAGES, NUMBERS))
    table = found.inputs_table(names={1: ["speed", "hour", "rain"]})
    assert list(table["part"]) == ["the picture", "speed", "hour", "rain"]
    assert list(table["input"]) == [0, 1, 1, 1]
    change = float(found[0].predictions[0, 0] - found[0].base_values[0, 0])
    assert table["value"].sum() == pytest.approx(change, abs=1e-6)
    left = torch.zeros(8, 8, dtype=torch.long)
    left[:, :4] = 1
    parts = found.inputs_table(masks={0: left}, image=1, output=1)
    assert list(parts["part"][:2]) == ["part 0", "part 1"]
    assert parts["value"][:2].sum() == pytest.approx(float(found[0].values[1, 1].sum()), abs=1e-6)
    with pytest.raises(ExplainerError, match="input 1 has 3 parts, and names= has 1"):
        found.inputs_table(names={1: ["speed"]})


def owen(worth, nested):
    """Owen values of a tree of players, by going down both contexts of every node."""
    values: dict[int, torch.Tensor] = {}

    def members(node):
        return {node} if isinstance(node, int) else members(node[0]) | members(node[1])

    def descend(node, context, weight):
        if isinstance(node, int):
            gain = worth(context | {node}) - worth(context)
            values[node] = values.get(node, 0) + weight * gain
            return
        for one, other in (node, node[::-1]):
            descend(one, context, weight / 2)
            descend(one, context | members(other), weight / 2)

    descend(nested, set(), 1.0)
    return values


def test_partition_values_are_owen_values_of_inputs_first_and_then_of_each():
    """A picture of two pixels: (the picture: (left, right), the numbers: ((first, second), third))."""

    class Few(nn.Module):
        def forward(self, images: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
            left, right = images[:, 0, 0, 0], images[:, 0, 0, 1]
            return (left * numbers[:, 0] + (right * numbers[:, 2]).sin() * numbers[:, 1] + left * right)[
                :, None
            ]

    image, model = torch.tensor([[[[0.9, 0.4]]]]), Few()

    def worth(some):
        picture, numbers = torch.full((1, 1, 1, 2), 0.1), USUAL.clone()
        for place in range(2):
            picture[..., place] = image[..., place] if place in some else 0.1
        for place in range(3):
            numbers[place] = NUMBERS[0, place] if 2 + place in some else USUAL[place]
        return model(picture, numbers[None])[0, 0]

    expected = owen(worth, ((0, 1), ((2, 3), 4)))
    explainer = ss.PartitionShap(model, (0.1, USUAL), "axis", max_evals=200, contexts="both")
    picture, numbers = explainer((image, NUMBERS[:1]))
    found = torch.cat([picture.values.flatten(), numbers.values.flatten()])
    torch.testing.assert_close(
        found, torch.stack([expected[place] for place in range(5)]), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("tree", ["regions", "axis"])
def test_two_images_each_have_their_tree_and_sum_together(tree):
    class Siamese(nn.Module):
        def forward(self, one: torch.Tensor, two: torch.Tensor) -> torch.Tensor:
            return nn.functional.cosine_similarity(one.flatten(1), two.flatten(1))[:, None]

    other = torch.rand(2, 3, 6, 10, generator=GENERATOR)[..., :8].repeat(1, 1, 2, 1)[:, :, :8]
    explainer = ss.PartitionShap(Siamese(), "mean", tree, max_evals=300)
    one, two = explainer((IMAGES, other))
    assert one.values.shape == two.values.shape == (2, 1, 3, 8, 8)
    torch.testing.assert_close(
        one.values.sum((2, 3, 4)) + two.values.sum((2, 3, 4)),
        one.predictions - one.base_values,
        rtol=1e-4,
        atol=1e-5,
    )
    torch.testing.assert_close(one.images, IMAGES)
    torch.testing.assert_close(two.images, other)
    assert one.std_errors is not None and one.above_noise is not None


def test_a_function_gets_its_inputs_as_they_were_given():
    seen = []

    def predict(images, numbers):
        seen.append((images.dtype, images.shape[1:], numbers.dtype, numbers.shape[1:]))
        return images.mean((1, 2)) * numbers[:, :1]

    pictures = (IMAGES * 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
    picture, numbers = ss.RegionShap(predict, ("mean", 0.0), "grid(2,2)")((pictures, NUMBERS.numpy()))
    assert set(seen) == {(np.dtype("uint8"), (8, 8, 3), np.dtype("float32"), (3,))}
    assert float(picture.images.max()) <= 1
    together = picture.values.sum((2, 3, 4)) + numbers.values.sum((2, 3, 4))
    torch.testing.assert_close(together, picture.predictions - picture.base_values, rtol=1e-4, atol=1e-3)


def test_references_of_several_inputs_are_taken_together():
    model = Driver()
    pictures = torch.rand(4, 3, 8, 8, generator=GENERATOR)
    rows = torch.rand(4, 3, generator=GENERATOR)
    picture, _ = ss.RegionShap(model, (pictures, rows), "grid(2,2)")((IMAGES, NUMBERS))
    torch.testing.assert_close(picture.base_values[0], model(pictures, rows).mean(0))
    with pytest.raises(ExplainerError, match="they must be equally many"):
        ss.RegionShap(model, (pictures, rows[:3]), "grid(2,2)")((IMAGES, NUMBERS))


def test_gradient_and_deep_shap_have_the_same_table():
    references = (torch.rand(4, 3, 8, 8, generator=GENERATOR), torch.rand(4, 3, generator=GENERATOR))
    for found in (
        ss.GradientShap(Driver(), references, samples=16)((IMAGES, NUMBERS), on_gap="ignore"),
        ss.DeepShap(Driver(), references)((IMAGES, NUMBERS)),
    ):
        table = found.inputs_table(names={1: ["speed", "hour", "rain"]})
        sums = float(
            found[0].predictions[0, 0] - found[0].base_values[0, 0] - found[0].completeness_gap[0, 0]
        )
        assert table["value"].sum() == pytest.approx(sums, abs=1e-5)


def test_numbers_that_are_looked_up_stay_whole():
    class Looks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(5, 1)

        def forward(self, images: torch.Tensor, rooms: torch.Tensor) -> torch.Tensor:
            return images.mean((1, 2, 3))[:, None] * self.table(rooms[:, 0])

    model = Looks()
    _, rooms = ss.RegionShap(model, ("mean", 0), "grid(2,2)")((IMAGES, torch.tensor([[4], [2]])))
    means = IMAGES.mean((1, 2, 3))[:, None]
    change = means * (model.table.weight[[4, 2]] - model.table.weight[0])
    torch.testing.assert_close(rooms.values.flatten(1), change.detach())


def test_what_does_not_fit_is_refused_with_what_to_do():
    model = Driver()
    with pytest.raises(ExplainerError, match="takes a masker for each, in a tuple"):
        ss.RegionShap(model, "mean", "grid(2,2)")((IMAGES, NUMBERS))
    with pytest.raises(ExplainerError, match="has 3 maskers, and the model 2 inputs"):
        ss.RegionShap(model, ("mean", USUAL, 0.0), "grid(2,2)")((IMAGES, NUMBERS))
    with pytest.raises(ExplainerError, match="has 2 maskers, one for each input of a model"):
        ss.RegionShap(model, ("mean", USUAL), "grid(2,2)")(IMAGES)
    with pytest.raises(ExplainerError, match="an input has 3 numbers, and its masker is"):
        ss.RegionShap(model, ("mean", USUAL[:2]), "grid(2,2)")((IMAGES, NUMBERS))
    with pytest.raises(ExplainerError, match="'mean' is for pictures"):
        ss.RegionShap(model, ("mean", "mean"), "grid(2,2)")((IMAGES, NUMBERS))
    with pytest.raises(ExplainerError, match="must be equally many; got 2 and 1"):
        ss.RegionShap(model, ("mean", USUAL), "grid(2,2)")((IMAGES, NUMBERS[:1]))
    with pytest.raises(ExplainerError, match="is for a model of images alone"):
        ss.RegionShap(model, ("tokens", USUAL), "grid(2,2)")((IMAGES, NUMBERS))
    with pytest.raises(ExplainerError, match="call the explainer itself"):
        ss.RegionShap(model, ("mean", USUAL), "grid(2,2)").by_region((IMAGES, NUMBERS))
