"""The coalitional game of an image: its values, what it costs, and what is noticed on the way."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from shapsight.attribution.maskers import Masker, as_masker
from shapsight.attribution.shared import game as games
from shapsight.attribution.shared.game import Game, UnsteadyModelWarning
from shapsight.attribution.shared.predictor import Predictor, has_bfloat16
from shapsight.errors import ExplainerError


def network():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()
    )


class Counting:
    """A function that remembers what it was asked."""

    def __init__(self):
        self.batches = []

    def __call__(self, images):
        self.batches.append(images.copy())
        return np.square(images).mean((1, 2))


def coalitions(count=12, size=16, channels=1):
    return torch.rand(count, channels, size, size) > 0.5


@pytest.mark.parametrize(
    "masker", ["blur(5,5)", "inpaint_telea", "inpaint_ns", "inpaint_diffuse", "mean", "constant(0)"]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_values_are_what_the_model_says_of_each_masked_image_alone(masker, channels):
    model, image, visible = network(), torch.rand(3, 16, 16), coalitions(channels=channels)
    game = Game(Predictor(model), as_masker(masker), image, batch_size=5)
    values = game.values(visible)
    model.eval()
    with torch.no_grad():
        alone = [model(as_masker(masker).hide(image, visible[i : i + 1]))[0] for i in range(len(visible))]
        torch.testing.assert_close(values, torch.stack(alone))
        torch.testing.assert_close(game.full(), model(image[None])[0])
        nothing = torch.zeros(1, 1, 16, 16, dtype=torch.bool)
        torch.testing.assert_close(game.empty(), model(as_masker(masker).hide(image, nothing))[0])


@pytest.mark.parametrize("batch_size", [1, 2, 7, 100])
def test_values_do_not_depend_on_the_batch_size(batch_size):
    model, image, visible = network(), torch.rand(3, 16, 16), coalitions()
    for masker in ("blur(5,5)", torch.rand(3, 3, 16, 16)):
        expected = Game(Predictor(model), as_masker(masker), image).values(visible)
        values = Game(Predictor(model), as_masker(masker), image, batch_size=batch_size).values(visible)
        torch.testing.assert_close(values, expected)


def test_references_are_averaged_over():
    model, image, visible = network().eval(), torch.rand(3, 16, 16), coalitions(4)
    references = torch.rand(5, 3, 16, 16)
    game = Game(Predictor(model), as_masker(references), image, batch_size=3)
    with torch.no_grad():
        expected = torch.stack([model(torch.where(mask, image, references)).mean(0) for mask in visible])
        torch.testing.assert_close(game.empty(), model(references).mean(0))
    torch.testing.assert_close(game.values(visible), expected)
    assert game.evaluations == 5


def test_coalitions_that_are_alike_are_asked_about_once():
    counting, visible = Counting(), coalitions(6)
    repeated = visible[[0, 1, 0, 2, 2, 3, 5, 4, 1]]
    game = Game(Predictor(counting), as_masker("mean"), torch.rand(3, 16, 16))
    values = game.values(repeated)
    assert sum(map(len, counting.batches)) == game.evaluations == 6
    torch.testing.assert_close(values, game.values(visible)[[0, 1, 0, 2, 2, 3, 5, 4, 1]])
    assert game.evaluations == 12


def test_no_more_images_than_the_batch_size_are_shown_at_a_time():
    counting = Counting()
    game = Game(Predictor(counting), as_masker(torch.rand(3, 3, 16, 16)), torch.rand(3, 16, 16), batch_size=7)
    game.values(coalitions(20))
    assert max(map(len, counting.batches)) <= 7
    assert sum(map(len, counting.batches)) == 60


def test_large_images_reach_a_module_on_a_processor_a_few_at_a_time(monkeypatch):
    sizes = []
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model.register_forward_pre_hook(lambda _module, args: sizes.append(len(args[0])))
    monkeypatch.setattr(games, "CACHED_PIXELS", 4 * 16 * 16)
    Game(Predictor(model), as_masker(0), torch.rand(3, 16, 16)).values(coalitions(10))
    assert sizes == [4, 4, 2]


def test_a_function_sees_masked_images_in_the_dtype_of_the_image():
    counting = Counting()
    image = (torch.rand(3, 16, 16) * 255).to(torch.uint8)
    for masker in (
        "blur(5,5)",
        "inpaint_telea",
        "inpaint_diffuse",
        "mean",
        "constant(9)",
        torch.rand(2, 3, 16, 16),
    ):
        game = Game(Predictor(counting), as_masker(masker), image)
        game.values(coalitions(3))
        game.empty()
    assert {batch.dtype for batch in counting.batches} == {np.dtype(np.uint8)}
    assert {batch.shape[1:] for batch in counting.batches} == {(16, 16, 3)}


def test_full_and_empty_are_asked_once_and_counted_once():
    counting = Counting()
    game = Game(Predictor(counting), as_masker("mean"), torch.rand(3, 16, 16))
    for _ in range(3):
        game.full(), game.empty()
    assert game.evaluations == 2
    assert len(counting.batches) == 3  # once more, to see whether the model is steady


def test_a_model_that_is_random_or_mixes_images_is_warned_about_with_the_difference():
    noisy = np.random.default_rng(0)
    image = torch.rand(3, 16, 16)
    for unsteady in (
        lambda images: images.mean((1, 2)) + noisy.normal(size=(len(images), 3)),
        lambda images: images.mean((1, 2)) - images.mean((0, 1, 2)) / 2 + len(images),
    ):
        with pytest.warns(UnsteadyModelWarning, match=r"changes by up to \d"):
            Game(Predictor(unsteady), as_masker("mean"), image).full()
    with warnings.catch_warnings(action="error"):
        Game(Predictor(network().train()), as_masker("mean"), image).full()


@pytest.mark.parametrize(
    "visible",
    [
        torch.ones(2, 1, 16, 16),
        torch.ones(2, 1, 16, 15, dtype=torch.bool),
        torch.ones(2, 2, 16, 16, dtype=torch.bool),
        torch.ones(2, 16, 16, dtype=torch.bool),
        torch.ones(0, 1, 16, 16, dtype=torch.bool),
    ],
)
def test_masks_that_do_not_fit_are_refused(visible):
    with pytest.raises(ExplainerError, match=r"boolean, \(coalitions, 1 or 3, 16, 16\); got"):
        Game(Predictor(network()), as_masker("mean"), torch.rand(3, 16, 16)).values(visible)


def test_a_failure_names_the_coalitions():
    def failing(images):
        if len(images) == 3:
            raise ValueError("no")
        return images.mean((1, 2))

    game = Game(Predictor(failing), as_masker("mean"), torch.rand(3, 16, 16))
    game.full()
    game.values(coalitions(4))
    with pytest.raises(ExplainerError, match=r"fails on coalitions 5 to 7 .*ValueError: no"):
        game.values(coalitions(3))
    with pytest.raises(ExplainerError, match="batch_size=0"):
        Game(Predictor(failing), as_masker("mean"), torch.rand(3, 16, 16), batch_size=0)


def test_an_own_masker_that_returns_other_shapes_is_named():
    class Cropping(Masker):
        def hide(self, image, visible):
            return image.expand(len(visible), -1, -1, -1)[:, :, 1:]

    game = Game(Predictor(network()), Cropping(), torch.rand(3, 16, 16))
    with pytest.raises(
        ExplainerError, match=r"Cropping returns \(2, 3, 15, 16\).*must return \(2, 3, 16, 16\)"
    ):
        game.values(coalitions(2))


def test_half_of_the_images_are_tried_where_memory_runs_out():
    def hungry(images):
        if len(images) > 3:
            raise MemoryError
        return images.mean((1, 2))

    image, visible = torch.rand(3, 16, 16), coalitions(10)
    values = Game(Predictor(hungry), as_masker("mean"), image).values(visible)
    torch.testing.assert_close(values, as_masker("mean").hide(image, visible).mean((2, 3)))


def test_masking_beside_a_gpu_at_work_gives_the_same_images(monkeypatch):
    image, visible = torch.rand(3, 16, 16), coalitions(11)
    game = Game(Predictor(network()), as_masker("inpaint_telea"), image, batch_size=3)
    expected = game.values(visible)
    monkeypatch.setattr(games, "is_beside_the_model", lambda device: True)
    torch.testing.assert_close(game.values(visible), expected)


def test_the_difference_that_bfloat16_makes_is_stated():
    model, image, visible = network(), torch.rand(3, 16, 16), coalitions()
    assert Game(Predictor(model), as_masker("mean"), image).precision_difference(visible) == 0
    if has_bfloat16(torch.device("cpu")):
        game = Game(Predictor(model, precision="bfloat16"), as_masker("mean"), image)
        exact = Game(Predictor(model), as_masker("mean"), image).values(visible)
        spread = (exact.amax(0) - exact.amin(0)).max()
        expected = (game.values(visible) - exact).abs().max() / spread
        assert game.precision_difference(visible) == pytest.approx(expected.item())
        assert 0 < expected < 0.5
