"""`ShapCallback`: what it logs of a training is true, the training does not notice it, and mistakes are said before."""

import logging
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import lightning.pytorch as pl
import numpy as np
import pandas as pd
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.logger import Logger
from PIL import Image
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision.transforms import v2
from typer.testing import CliRunner

import shapsight
from discs import write_discs
from shapsight import ShapCallback, read_dataset
from shapsight.cli import app
from shapsight.data.images import load_images
from shapsight.data.roi import read_roi
from shapsight.errors import DataError, MissingDependency, ModelError
from shapsight.models.bundle import weights_hash
from shapsight.models.loop import quiet_lightning
from shapsight.studies.watch.study import as_it_was

SIDE = 32
HERE = Path(__file__).parent
TO_MODEL = v2.Compose(
    [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.25] * 3)]
)
QUICK = ["--arch", "tiny_networks:Tiny", "--image-size", "32", "--references", "3", "--device", "cpu"]


class Steering(pl.LightningModule):
    """A stranger's module, with what is easily disturbed: batch norm, dropout, a part that stays in eval mode."""

    def __init__(self, outputs: int = 2) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.body = nn.Sequential(
            nn.Conv2d(3, 4, 5, stride=4), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.2), nn.Flatten()
        )
        self.frozen = nn.BatchNorm1d(196).requires_grad_(False).eval()
        self.head = nn.Linear(196, outputs)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.frozen(self.body(images)))

    def training_step(self, batch, _):
        images, targets = batch
        images = images + 0.01 * torch.randn_like(images)
        outputs = self(images)
        loss = F.cross_entropy(outputs, targets) if targets.ndim == 1 else F.mse_loss(outputs, targets)
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), 3e-3)


class Kept(Logger):
    """A logger that keeps what it is given, pictures as TensorBoard ("figures") or as W&B ("images") takes them."""

    def __init__(self, pictures: str = "") -> None:
        super().__init__()
        self.metrics: list[dict[str, float]] = []
        self.pictures: list[tuple[str, object, int]] = []
        self.experiment = SimpleNamespace()
        if pictures == "figures":
            self.experiment.add_figure = lambda name, figure, step, close: self.pictures.append(
                (name, figure, step)
            )
        if pictures == "images":
            self.log_image = lambda key, images, step: self.pictures.append((key, images[0], step))

    name = version = "kept"

    def log_metrics(self, metrics, step=None):
        self.metrics.append({**metrics, "step": step})

    def log_hyperparams(self, *_, **__):
        pass

    def epochs(self, name: str) -> list[int]:
        return [int(each["epoch"]) for each in self.metrics if name in each]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("photos")
    for seed, wall in enumerate(("red", "green")):
        write_discs(place / wall, 12, seed=seed)
    return place


@pytest.fixture(scope="module")
def photos(folder):
    return read_dataset(folder, train_on="red", validation_share=0.4)


def fitted(photos, callbacks, *, module=None, logger=True, epochs=1, **options):
    """A module that was trained in a plain Lightning script, and the trainer."""
    rows = photos.rows("train")
    images = load_images(photos.root, list(photos.table["path"].iloc[rows]), SIDE)
    targets = photos.label_numbers() if photos.class_names else photos.target_values()
    pairs = [
        ((image / 255 - 0.5) / 0.25, target) for image, target in zip(images, targets[rows], strict=True)
    ]
    module = Steering() if module is None else module
    torch.manual_seed(1)
    loader = DataLoader(pairs, 4, shuffle=True)
    options = {"max_epochs": epochs, "enable_checkpointing": False, "logger": logger} | options
    with quiet_lightning():
        trainer = pl.Trainer(
            accelerator="cpu",
            callbacks=callbacks,
            enable_progress_bar=False,
            enable_model_summary=False,
            log_every_n_steps=1,
            **options,
        )
        trainer.fit(module, loader)
    return module, trainer


def watching(photos, **options):
    usual = {
        "every": 1,
        "roi": "below:16",
        "transform": TO_MODEL,
        "images": 4,
        "references": 3,
        "heatmaps": 0,
    }
    return ShapCallback(photos, **usual | options)


def test_the_logged_share_and_error_are_those_of_all_coalitions_of_scene_and_region(photos):
    callback = watching(photos)
    module, trainer = fitted(photos, [callback], logger=Kept())
    module.eval()
    watch = callback.watch

    @torch.no_grad()
    def asked(pictures: torch.Tensor) -> torch.Tensor:
        return module((pictures / 255 - 0.5) / 0.25)

    contributed = []
    for row, mask in zip(watch.rows.index, torch.from_numpy(watch.masks), strict=True):
        image, references = watch.images[row], watch.references
        nothing, everything = asked(references).mean(0), asked(image[None])[0]
        scene = asked(torch.where(mask, references, image)).mean(0)
        region = asked(torch.where(mask, image, references)).mean(0)
        of_scene = (scene - nothing + everything - region) / 2
        contributed.append(torch.stack([of_scene, everything - nothing - of_scene]).abs())
    values = torch.stack(contributed)
    predicted = asked(watch.images)
    for environment in ("red", "green"):
        mine = torch.tensor(list(watch.rows["environment"] == environment))
        assert mine.sum() == 4
        size = values[mine].mean(0)
        all_of_it = torch.tensor(list(watch.manifest.table["environment"] == environment))
        for number, target in enumerate(("x", "y")):
            share = trainer.logged_metrics[f"scene_share/{target}/{environment}"]
            torch.testing.assert_close(share, size[0, number] / size[:, number].sum(), rtol=1e-4, atol=1e-5)
            wanted = watch.manifest.target_values()[all_of_it, number]
            error = (predicted[all_of_it, number] - wanted).square().mean()
            torch.testing.assert_close(trainer.logged_metrics[f"mse/{target}/{environment}"], error)


def test_only_images_that_were_not_trained_on_are_looked_at(photos):
    table = watching(photos).watch.manifest.table
    assert set(table["split"]) == {"validation", "unseen"}
    assert len(table) == (photos.table["split"] != "train").sum()


@pytest.mark.parametrize("logger", ["figures", ""])
def test_a_training_that_is_watched_ends_with_the_same_weights_and_flags(photos, logger):
    plain, _ = fitted(photos, [], epochs=3, logger=Kept())
    watched, _ = fitted(photos, [watching(photos, heatmaps=1)], epochs=3, logger=Kept(logger))
    assert weights_hash(plain) == weights_hash(watched)
    flags = [{name: each.training for name, each in module.named_modules()} for module in (plain, watched)]
    assert flags[0] == flags[1]
    assert not watched.frozen.training


def test_a_look_changes_no_gradient_flag_buffer_hook_or_random_number(photos):
    def transform(image):
        torch.rand(1), np.random.rand()
        return TO_MODEL(image)

    callback = watching(photos, heatmaps=1, transform=transform)
    module = Steering().train()
    module.frozen.eval()
    module(torch.rand(4, 3, SIDE, SIDE)).sum().backward()
    before = {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}
    state, asks = (
        weights_hash(module),
        {name: parameter.requires_grad for name, parameter in module.named_parameters()},
    )
    torch.manual_seed(9)
    np.random.seed(9)
    wanted = torch.rand(3), np.random.rand(3)
    torch.manual_seed(9)
    np.random.seed(9)
    with as_it_was(module):
        callback.watch.look(callback.bundle_of(module))
    assert torch.equal(torch.rand(3), wanted[0])
    assert np.array_equal(np.random.rand(3), wanted[1])
    assert weights_hash(module) == state
    assert {name: parameter.requires_grad for name, parameter in module.named_parameters()} == asks
    after = {name: p.grad for name, p in module.named_parameters() if p.grad is not None}
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert module.training
    assert not module.frozen.training
    assert not any(each._forward_hooks or each._forward_pre_hooks for each in module.modules())


@pytest.mark.parametrize(
    ("options", "looked"),
    [
        ({"epochs": 5}, [1, 3, 4]),
        ({"epochs": 4}, [1, 3]),
        ({"epochs": -1, "max_steps": 5}, [1, 2]),  # two steps an epoch
    ],
)
def test_it_looks_every_so_many_epochs_and_after_the_last(photos, options, looked):
    logger = Kept()
    fitted(photos, [watching(photos, every=2)], logger=logger, **options)
    assert logger.epochs("scene_share/x/red") == looked


@pytest.mark.parametrize("is_first", [True, False])
def test_the_last_epoch_is_looked_at_where_another_callback_stops_the_training(photos, is_first):
    stop = EarlyStopping("train_loss", patience=1, min_delta=1e9, check_on_train_epoch_end=True)
    logger, watch = Kept(), watching(photos, every=10)
    fitted(photos, [watch, stop] if is_first else [stop, watch], logger=logger, epochs=20)
    assert logger.epochs("scene_share/x/red") == [1]


def test_the_share_can_be_monitored_by_a_checkpoint(photos, tmp_path):
    best = ModelCheckpoint(tmp_path, monitor="scene_share/x/green", mode="min")
    fitted(photos, [best, watching(photos)], logger=Kept(), epochs=2, enable_checkpointing=True)
    assert 0 < float(best.best_model_score) < 1


@pytest.mark.parametrize("kind", ["figures", "images"])
def test_loggers_that_keep_pictures_get_a_heatmap_of_each_environment(photos, kind):
    logger = Kept(kind)
    fitted(photos, [watching(photos, heatmaps=2)], logger=[CSV := Kept(), logger], epochs=2)
    assert [name for name, *_ in logger.pictures] == ["heatmaps/green", "heatmaps/red"] * 2
    assert [step for *_, step in logger.pictures] == [1, 1, 3, 3]
    assert not CSV.pictures
    picture = logger.pictures[0][1]
    if kind == "images":
        assert isinstance(picture, Image.Image)
        assert np.ptp(np.asarray(picture)) > 0
    else:
        assert len(picture.axes) >= 6  # an image and two targets, of two photos


def test_a_csv_log_has_the_numbers_and_is_told_once_that_it_keeps_no_pictures(photos, tmp_path, caplog):
    callback = watching(photos, heatmaps=1)
    with caplog.at_level(logging.INFO):
        for name in ("lightning", "lightning.pytorch"):
            logging.getLogger(name).propagate = True
        said = []
        callback._say = lambda sentence, **_: said.append(sentence)
        fitted(photos, [callback], logger=CSVLogger(tmp_path), epochs=2)
    table = pd.read_csv(next(tmp_path.rglob("metrics.csv")))
    assert table["scene_share/x/green"].between(0, 1).sum() == 2
    assert set(said) == {"CSVLogger keeps no pictures: heatmaps are for TensorBoard and W&B."}


def test_a_sentence_is_said_once(photos, recwarn):
    callback = watching(photos)
    with pytest.warns(UserWarning, match="now") as caught:
        for _ in range(3):
            callback._say("now", is_warning=True)
    assert len(caught) == 1


def test_tensorboard_holds_the_curves_and_the_pictures(photos, tmp_path):
    from lightning.pytorch.loggers import TensorBoardLogger
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    fitted(photos, [watching(photos, heatmaps=1)], logger=TensorBoardLogger(tmp_path), epochs=2)
    events = EventAccumulator(str(next(tmp_path.rglob("events.out*")).parent)).Reload()
    assert events.Tags()["images"] == ["heatmaps/green", "heatmaps/red"]
    assert [each.step for each in events.Scalars("scene_share/x/red")] == [1, 3]


def test_outputs_are_found_by_their_names_whatever_their_order(photos):
    straight, turned = Steering(), Steering()
    with torch.no_grad():
        turned.head = nn.Linear(196, 3)
        turned.head.weight[[2, 0]] = straight.head.weight
        turned.head.bias[[2, 0]] = straight.head.bias
    found = []
    for module, names in ((straight, None), (turned, ["y", "speed", "x"])):
        callback = watching(photos, output_names=names, outputs=["x"])
        with as_it_was(module):
            found.append(callback.watch.look(callback.bundle_of(module)).scalars)
    assert found[0] == pytest.approx(found[1], rel=1e-5)
    assert {name.split("/")[1] for name in found[0] if name.startswith("scene_share")} == {"x"}


def test_of_classes_it_logs_the_accuracy_and_the_share_of_the_predicted_class(folder):
    photos = read_dataset(
        folder, task="classification", label="folder:1", environment=lambda path: "one", validation_share=0.5
    )
    module = Steering(3)
    callback = watching(photos, output_names=["red", "other", "green"])
    _, trainer = fitted(photos, [callback], module=module, logger=Kept())
    table = callback.watch.manifest
    with torch.no_grad():
        said = module.eval()((callback.watch.images / 255 - 0.5) / 0.25).argmax(1)
    accuracy = (said == table.label_numbers()).float().mean()
    assert table.class_names == ("red", "other", "green")
    torch.testing.assert_close(trainer.logged_metrics["accuracy/one"], accuracy)
    assert 0 <= trainer.logged_metrics["scene_share/the predicted class/one"] <= 1


def test_a_folder_is_read_as_photos_that_nobody_trained_on(folder):
    callback = watching(folder, transform=None, references=2)
    assert set(callback.watch.manifest.table["split"]) == {"unseen"}
    assert len(callback.watch.manifest) == 24
    module = Steering()
    with as_it_was(module):
        predicted = callback.bundle_of(module).predict(callback.watch.images)
    torch.testing.assert_close(predicted, module.eval()(callback.watch.images / 255).detach())


def test_without_a_region_there_are_errors_and_no_share(photos):
    logger, callback = Kept(), watching(photos, roi=None)
    fitted(photos, [callback], logger=logger)
    assert logger.epochs("mse/x/red") == [0]
    assert not logger.epochs("scene_share/x/red")
    assert any("Without a region of interest (roi=)" in note for note in callback.watch.notes)


def test_the_region_of_the_photos_is_taken_where_none_is_given(photos):
    own = replace(photos, roi=read_roi("below:16"))
    assert (watching(own, roi=None).watch.masks == watching(photos).watch.masks).all()
    assert watching(own, roi="none").watch.masks is None


def test_a_model_that_says_nan_is_a_warning_and_trains_on(photos):
    class Lost(Steering):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return super().forward(images) * (torch.nan if self.trainer.current_epoch else 1)

    logger = Kept()
    with pytest.warns(UserWarning, match="Epoch 1 was not looked at"):
        _, trainer = fitted(photos, [watching(photos)], module=Lost(), logger=logger, epochs=2)
    assert trainer.current_epoch == 2
    assert logger.epochs("scene_share/x/red") == [0]


def test_an_error_in_a_look_is_a_warning_and_trains_on_and_a_second_training_is_looked_at_anew(photos):
    callback, logger = watching(photos, every=10), Kept()
    looked = callback.watch.look

    def out_of_memory(*_: object, **__: object) -> None:
        raise RuntimeError("out of memory")

    object.__setattr__(callback.watch, "look", out_of_memory)
    with pytest.warns(UserWarning, match="Epoch 1 was not looked at: RuntimeError: out of memory"):
        _, trainer = fitted(photos, [callback], logger=logger, epochs=2)
    assert trainer.current_epoch == 2
    object.__setattr__(callback.watch, "look", looked)
    fitted(photos, [callback], logger=logger, epochs=-1, max_steps=2)
    assert logger.epochs("scene_share/x/red") == [0]


def test_each_environment_has_as_many_images_explained_as_asked_for_whatever_the_others_have(photos):
    rows = watching(photos, images=6).watch.rows
    held_out = photos.table[photos.table["split"] != "train"]["environment"].value_counts()
    assert held_out["red"] < 6 < held_out["green"]
    assert rows["environment"].value_counts().to_dict() == {"red": held_out["red"], "green": 6}


def test_a_model_that_deepshap_cannot_follow_has_numbers_and_is_told_why_no_heatmaps(photos):
    class Angles(Steering):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            features = self.body(images)
            return self.head(torch.atan2(features, features.flip(1)))

    logger = Kept("figures")
    with pytest.warns(UserWarning, match="No heatmaps: .*atan2") as caught:
        fitted(photos, [watching(photos, heatmaps=1)], module=Angles(), logger=logger, epochs=2)
    assert len(caught) == 1
    assert logger.epochs("scene_share/x/red") == [0, 1]
    assert not logger.pictures


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"every": 0}, "every=0"),
        ({"images": 1}, "images=1"),
        ({"outputs": ["speed"]}, "outputs: 'speed' is no target of these photos: x, y"),
        ({"output_names": ["x", "speed"]}, "the target 'y', which is none of output_names: x, speed"),
        ({"transform": lambda image: image}, r"makes a Image.*ToTensor\(\)"),
        ({"transform": lambda image: torch.zeros(3, 4, 5)}, "all look alike"),
        ({"roi": "below:99"}, "below:99 leaves nothing"),
    ],
)
def test_what_does_not_fit_is_refused_when_the_callback_is_made(photos, options, complaint):
    with pytest.raises((DataError, ModelError), match=complaint):
        watching(photos, **options)


def test_photos_of_many_sizes_need_a_transform(tmp_path):
    write_discs(tmp_path / "red", 2, seed=1)
    write_discs(tmp_path / "red", 2, width=40, seed=2)
    with pytest.raises(DataError, match=r"not all squares of one size.*transform="):
        ShapCallback(tmp_path, roi="below:9")


@pytest.mark.parametrize(
    ("module", "complaint"),
    [
        (Steering(5), r"shape \(2, 5\) for 2 images, where there are 2 outputs: x, y.*output_names"),
        (
            type("Tupled", (Steering,), {"forward": lambda self, images: (images, images)})(),
            "gives a tuple for 2 images",
        ),
        (type("Picky", (Steering,), {"forward": lambda self, images: self.head(images)})(), "does not take"),
    ],
)
def test_a_module_that_cannot_be_asked_is_refused_before_the_first_step(photos, module, complaint):
    before = weights_hash(module)
    with pytest.raises(ModelError, match=complaint):
        fitted(photos, [watching(photos)], module=module, logger=Kept())
    assert weights_hash(module) == before


def test_without_lightning_it_names_the_extra(monkeypatch):
    monkeypatch.delitem(sys.modules, "shapsight.studies.watch.study")
    monkeypatch.setitem(sys.modules, "lightning.pytorch", None)
    with pytest.raises(MissingDependency, match=r"pip install 'shapsight\[train\]'"):
        _ = shapsight.ShapCallback


def shapsight_train(folder: Path, out: Path, *options: str):
    command = ["train", folder, "--train-on", "red", "--epochs", "3", "--out", out, *QUICK, *options]
    return CliRunner().invoke(app, [str(part) for part in command])


def test_train_logs_the_share_of_each_epoch_and_learns_the_same(folder, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    hashes = []
    for name, options in {
        "plain": [],
        "watched": ["--watch-every", "2", "--roi", "below:16", "--logger", "csv"],
    }.items():
        result = shapsight_train(folder, tmp_path / name, *options)
        assert result.exit_code == 0, result.output
        hashes.append(shapsight.load_bundle(tmp_path / name / "model").card.model_hash)
    assert hashes[0] == hashes[1]
    table = pd.read_csv(next((tmp_path / "watched" / "logs").rglob("metrics.csv")))
    shares = table.dropna(subset="scene_share/x/green")
    assert shares["epoch"].tolist() == [1, 2]
    assert shares["scene_share/x/green"].between(0, 1).all()
    errors = pd.read_csv(tmp_path / "watched" / "errors.csv")
    unseen = errors[(errors["environment"] == "green") & (errors["target"] == "x")]["mse"].item()
    history = pd.read_csv(tmp_path / "watched" / "history.csv")
    if history["validation_loss"].idxmin() == 2:  # the last epoch was kept, so its error is the model's
        assert shares["mse/x/green"].iloc[-1] == pytest.approx(unseen, rel=1e-5)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [(["--roi", "below:16"], "pass --logger csv"), (["--logger", "csv"], "pass --roi")],
)
def test_train_cannot_be_watched_without_a_log_or_a_region(folder, tmp_path, options, complaint):
    result = shapsight_train(folder, tmp_path / "run", "--watch-every", "1", *options)
    assert result.exit_code == 1
    assert complaint in " ".join(result.stderr.split())
    assert not list(tmp_path.iterdir())
