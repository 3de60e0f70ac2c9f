"""Training: it learns, keeps the best epoch, ends well when it is stopped, and leaves no trace elsewhere."""

import copy
import math
import os
import signal
import sys
import warnings

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn

from discs import write_discs
from shapsight.data.images import load_images
from shapsight.data.readers import read_dataset
from shapsight.diagnosis.prediction_errors import evaluate, predict_table
from shapsight.errors import DataError, MissingDependency, ModelError
from shapsight.models.build import BuiltModel, build_model
from shapsight.models.bundle import load_bundle, weights_hash
from shapsight.models.plan import TrainingPlan
from shapsight.models.train import draw_references, fit

SIZE = 32


def tiny(outputs: int = 2, seed: int = 0) -> BuiltModel:
    """A network that can find a disc, with batch norm and dropout, quick enough for a test."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = nn.Sequential(
            nn.Conv2d(3, 8, 5, stride=2),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, stride=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(0.1),
            nn.Linear(16 * 6 * 6, outputs),
        )
    return BuiltModel(model, "tiny", "none (from scratch)", ("A note of the builder.",))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for number, name in enumerate(("red", "green")):
        write_discs(folder / name, 40, seed=number)
    return folder


@pytest.fixture(scope="module")
def manifest(folder):
    return read_dataset(folder, train_on="red")


@pytest.fixture(scope="module")
def images(manifest):
    return load_images(manifest, manifest.table["path"], SIZE)


def few(tmp_path, count: int, **options):
    """A dataset of a few images, and the images."""
    write_discs(tmp_path / "red", count)
    manifest = read_dataset(tmp_path, **options)
    return manifest, load_images(manifest, manifest.table["path"], SIZE)


def test_a_network_learns_where_the_disc_is(manifest, images):
    result = fit(tiny(), manifest, images, TrainingPlan(epochs=25, learning_rate=3e-3, color_jitter=False))
    errors = evaluate(predict_table(result.bundle, manifest, images), ["x", "y"]).set_index(
        ["split", "target"]
    )
    assert errors.loc["train", "mse"].max() < 0.03
    assert errors.loc["validation", "r2"].min() > 0.5
    assert result.stopped is None


def test_history_has_a_row_for_each_epoch_and_on_epoch_hears_the_same(manifest, images):
    heard = []
    result = fit(
        tiny(), manifest, images, TrainingPlan(epochs=3), on_epoch=lambda *losses: heard.append(losses)
    )
    assert list(result.history.columns) == ["epoch", "train_loss", "validation_loss"]
    assert [(epoch, 3, train, held) for epoch, train, held in result.history.itertuples(index=False)] == heard
    assert [epoch for epoch, *_ in heard] == [1, 2, 3]


def test_the_epoch_with_the_lowest_validation_loss_is_kept(manifest, images):
    # this rate overshoots, so that the last epoch is not the best
    result = fit(tiny(), manifest, images, TrainingPlan(epochs=6, learning_rate=0.1))
    losses = result.history.set_index("epoch")["validation_loss"]
    assert result.best_epoch == losses.idxmin() != 6
    rows = manifest.rows("validation")
    errors = result.bundle.predict(images[rows]) - manifest.target_values()[rows]
    assert (errors**2).mean().item() == pytest.approx(losses.min(), rel=1e-4)
    assert result.bundle.card.metrics["validation_loss"] == losses.min()


def test_training_runs_in_training_mode_and_validation_in_eval_mode(manifest, images):
    built = tiny()
    modes = {True: set(), False: set()}
    built.model[1].register_forward_hook(
        lambda module, inputs, _: (
            modes[torch.is_grad_enabled()].add(module.training) if len(inputs[0]) > 1 else None
        )
    )
    built.model.eval()
    result = fit(built, manifest, images, TrainingPlan(epochs=1))
    assert modes == {True: {True}, False: {False}}
    assert not torch.equal(result.bundle.model[1].running_mean, built.model[1].running_mean)


def test_new_batch_norms_hold_the_mean_over_the_first_batches_and_used_ones_keep_their_momentum(
    manifest, images
):
    built = tiny()
    means = []
    built.model[1].register_forward_pre_hook(
        lambda module, inputs: means.append(inputs[0].detach().mean((0, 2, 3))) if module.training else None
    )
    result = fit(built, manifest, images, TrainingPlan(epochs=1, batch_size=8))
    norm = result.bundle.model[1]
    assert len(means) == 4
    torch.testing.assert_close(norm.running_mean, torch.stack(means).mean(0))
    assert norm.momentum == 0.1
    means.clear()
    used = BuiltModel(result.bundle.model, "tiny", "none")
    expected = norm.running_mean.clone()
    again = fit(used, manifest, images, TrainingPlan(epochs=1, batch_size=8)).bundle.model[1]
    for mean in means:
        expected = 0.9 * expected + 0.1 * mean
    torch.testing.assert_close(again.running_mean, expected)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(manifest, images):
    torch.manual_seed(5)
    hashes = []
    for seed in (0, 0, 1):
        torch.rand(3)
        hashes.append(fit(tiny(), manifest, images, TrainingPlan(epochs=2, seed=seed)).bundle.card.model_hash)
    assert hashes[0] == hashes[1] != hashes[2]


class Seen(Callback):
    """The pictures that a training shows its network."""

    def __init__(self):
        self.training, self.validation = [], []

    def on_train_batch_start(self, trainer, module, batch, number):
        self.training += [picture.numpy().tobytes() for picture in batch[0]]

    def on_validation_batch_start(self, trainer, module, batch, number):
        self.validation += [picture.numpy().tobytes() for picture in batch[0]]


def test_colour_jitter_changes_training_images_and_never_validation_images(manifest, images):
    originals = {picture.numpy().tobytes() for picture in images}
    count = len(manifest.rows("train"))
    jittered, plain = Seen(), Seen()
    fit(tiny(), manifest, images, TrainingPlan(epochs=2), watching=[jittered])
    fit(tiny(), manifest, images, TrainingPlan(epochs=2, color_jitter=False), watching=[plain])
    assert len(jittered.training) == len(plain.training) == 2 * count
    assert len(set(jittered.training)) > 1.9 * count
    assert not originals & set(jittered.training)
    assert set(plain.training) <= originals
    assert set(jittered.validation) == set(plain.validation) <= originals


def test_training_leaves_the_model_the_generator_and_the_folder_as_they_were(
    manifest, images, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    built = tiny()
    built.model.eval()
    before, state = weights_hash(built.model), torch.random.get_rng_state()
    handler = signal.getsignal(signal.SIGINT)
    fit(built, manifest, images, TrainingPlan(epochs=1))
    assert weights_hash(built.model) == before
    assert not built.model.training
    assert torch.equal(torch.random.get_rng_state(), state)
    assert signal.getsignal(signal.SIGINT) is handler
    assert list(tmp_path.iterdir()) == []


def test_training_prints_nothing_where_no_terminal_is(manifest, images, capfd):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(tiny(), manifest, images, TrainingPlan(epochs=1))
    assert [str(warning.message) for warning in caught] == []
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_our_own_warnings_are_heard_while_lightning_is_silenced(manifest, images):
    def warn(*_: object) -> None:
        warnings.warn("a warning of ours", UserWarning, stacklevel=1)

    with pytest.warns(UserWarning, match="a warning of ours"):
        fit(tiny(), manifest, images, TrainingPlan(epochs=1), on_epoch=warn)


def test_references_are_a_seeded_draw_of_unchanged_training_images(manifest, images):
    bundle = fit(tiny(), manifest, images, TrainingPlan(epochs=1, references=10)).bundle
    assert bundle.references.shape == (10, 3, SIZE, SIZE)
    assert torch.equal(bundle.references, images[draw_references(manifest, 10, seed=0)])
    assert set(draw_references(manifest, 10)) <= set(manifest.rows("train"))
    assert len(set(draw_references(manifest, 10))) == 10
    assert set(draw_references(manifest, 10)) != set(draw_references(manifest, 10, seed=1))
    assert np.array_equal(draw_references(manifest, 1000), manifest.rows("train"))


def test_the_card_tells_how_it_was_trained(manifest, images):
    result = fit(tiny(), manifest, images, TrainingPlan(epochs=2, batch_size=5, seed=3))
    card = result.bundle.card
    assert card.output_names == ("x", "y")
    assert card.output_scales["x"] == "half widths, -1 left to +1 right"
    assert card.input_size == SIZE
    assert card.training["environments"] == ["red"]
    assert card.training["images"] == {"train": 32, "validation": 8}
    assert (card.training["epochs"], card.training["batch_size"], card.training["seed"]) == (2, 5, 3)
    assert card.training["best_epoch"] == result.best_epoch
    assert result.notes[0] == "A note of the builder."


def test_ctrl_c_keeps_the_best_epoch_so_far(manifest, images):
    def interrupt(epoch: int, *_: object) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    handler = signal.getsignal(signal.SIGINT)
    result = fit(tiny(), manifest, images, TrainingPlan(epochs=5), on_epoch=interrupt)
    whole = fit(tiny(), manifest, images, TrainingPlan(epochs=2))
    assert result.stopped == "interrupted"
    assert result.best_epoch == whole.best_epoch
    assert result.bundle.card.model_hash == whole.bundle.card.model_hash
    assert any("interrupted after 2 of 5 epochs" in note for note in result.notes)
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.skipif(sys.platform == "win32", reason="a process cannot send itself Ctrl-C there")
def test_a_real_signal_in_the_middle_of_an_epoch_ends_training_and_works_the_next_time_too(manifest, images):
    for _ in range(2):
        built = tiny()
        calls = []

        def press(module, inputs, calls=calls):
            calls.append(module.training)
            if calls.count(True) == 9:  # four batches an epoch: the first of the third epoch
                os.kill(os.getpid(), signal.SIGINT)

        built.model[1].register_forward_pre_hook(press)
        before = signal.signal(
            signal.SIGINT, signal.default_int_handler
        )  # a shell's background jobs ignore it
        try:
            result = fit(built, manifest, images, TrainingPlan(epochs=50, batch_size=8))
        finally:
            signal.signal(signal.SIGINT, before)
        assert result.stopped == "interrupted"
        assert len(result.history) == 2


def test_ctrl_c_before_the_first_epoch_ended_is_raised_on(manifest, images):
    built = tiny()

    def interrupt(module, inputs):
        if module.training:
            raise KeyboardInterrupt

    built.model[1].register_forward_pre_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        fit(built, manifest, images)


def spoiled(built: BuiltModel, after: int, *, training: bool) -> BuiltModel:
    """The network with NaN outputs from its nth batch of training (or validation) on."""
    calls = []

    def spoil(module, inputs, output):
        if module.training == training and len(inputs[0]) > 1:
            calls.append(1)
        return output * math.nan if len(calls) > after else output

    built.model.register_forward_hook(spoil)
    return built


@pytest.mark.parametrize(("training", "after"), [(True, 9), (False, 2)])
def test_a_loss_that_is_no_number_stops_training_and_keeps_the_last_good_epoch(
    manifest, images, training, after
):
    result = fit(
        spoiled(tiny(), after, training=training), manifest, images, TrainingPlan(epochs=9, batch_size=8)
    )
    assert result.stopped == "nan"
    assert len(result.history) == 2
    assert np.isfinite(result.history).all(axis=None)
    assert all(torch.isfinite(value).all() for value in result.bundle.model.state_dict().values())
    note = next(note for note in result.notes if "no finite number" in note)
    assert "in epoch 3" in note
    assert f"epoch {result.best_epoch}, the best so far, was kept" in note
    assert "learning rate below 0.0003" in note


def test_a_loss_that_never_was_a_number_says_to_lower_the_learning_rate(manifest, images):
    with pytest.raises(ModelError, match=r"learning_rate=1e\+30: lower the learning rate, to 1e\+29"):
        fit(tiny(), manifest, images, TrainingPlan(learning_rate=1e30))


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_fewer_images_than_a_batch_are_enough(tmp_path, count):
    manifest, images = few(tmp_path, count)
    result = fit(tiny(), manifest, images, TrainingPlan(epochs=2))
    assert result.bundle.predict(images).isfinite().all()
    assert len(result.bundle.references) == len(manifest.rows("train"))
    assert any("one image to train on" in note for note in result.notes) == (len(manifest.rows("train")) == 1)


@pytest.mark.parametrize("count", [1, 5, 9])
def test_batch_norm_over_1_pixel_never_meets_a_batch_of_one_image(tmp_path, count):
    manifest, images = few(tmp_path, count, validation_share=0)
    pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3, 2))
    result = fit(BuiltModel(pooled, "pooled", "none"), manifest, images, TrainingPlan(epochs=1, batch_size=4))
    assert np.isfinite(result.history["train_loss"]).all()
    with pytest.raises(ModelError, match="batch_size=1: the batch norm of pooled"):
        fit(BuiltModel(pooled, "pooled", "none"), manifest, images, TrainingPlan(batch_size=1))


def test_without_validation_images_the_training_loss_judges_and_that_is_said(manifest, images, tmp_path):
    manifest, images = few(tmp_path, 12, validation_share=0)
    result = fit(tiny(), manifest, images, TrainingPlan(epochs=4, learning_rate=0.03))
    assert result.history["validation_loss"].isna().all()
    assert result.best_epoch == result.history.set_index("epoch")["train_loss"].idxmin()
    assert any("lowest training loss was kept" in note for note in result.notes)
    assert '"validation_loss": null' in result.bundle.card.to_json()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs=0"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"learning_rate": 0}, "learning_rate=0"),
        ({"learning_rate": math.nan}, "learning_rate=nan"),
        ({"device": "abacus"}, "device='abacus' cannot be used"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(manifest, images, options, message):
    with pytest.raises(ModelError, match=message):
        fit(tiny(), manifest, images, TrainingPlan(**options))


def test_images_or_outputs_that_do_not_go_together_are_refused(manifest, images):
    with pytest.raises(DataError, match="79 images came with a manifest of 80 rows"):
        fit(tiny(), manifest, images[1:])
    with pytest.raises(ModelError, match=r"tiny gives .*3.* outputs an image, but there are 2 targets"):
        fit(tiny(outputs=3), manifest, images)
    with pytest.raises(ModelError, match="tiny does not take images of 16 × 16 pixels"):
        fit(tiny(), manifest, images[..., ::2, ::2])
    with pytest.raises(DataError, match=r"square uint8 images, .* not torch\.float32"):
        fit(tiny(), manifest, images.float())
    empty = copy.copy(manifest)
    object.__setattr__(empty, "table", manifest.table.assign(split="unseen"))
    with pytest.raises(DataError, match="no image to train on"):
        fit(tiny(), empty, images)


def test_without_lightning_the_extra_to_install_is_named(manifest, images, monkeypatch):
    monkeypatch.setitem(sys.modules, "lightning.pytorch", None)
    with pytest.raises(MissingDependency, match=r"pip install 'shapsight\[train\]'"):
        fit(tiny(), manifest, images)


def test_a_torchvision_network_is_trained_saved_and_loaded_with_the_same_predictions(
    manifest, images, tmp_path
):
    built = build_model("squeezenet1_1", 2, weights="none")
    result = fit(built, manifest, images, TrainingPlan(epochs=1, references=4))
    again = load_bundle(result.bundle.save(tmp_path / "model"))
    assert torch.equal(again.predict(images), result.bundle.predict(images))
    assert again.card == result.bundle.card
