"""Training for real: classes, units, resuming after a kill, and the commands train and evaluate."""

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader
from typer.testing import CliRunner

from discs import WALLS, disc, write_discs
from shapsight import DeepShap, load_bundle, read_dataset
from shapsight.cli import app
from shapsight.data.images import ImageBatches, load_images, whole_batch
from shapsight.data.remedies.light import ColorJitter
from shapsight.data.scale import Scale
from shapsight.diagnosis.classes import evaluate_classes
from shapsight.diagnosis.prediction_errors import predict_table
from shapsight.errors import MissingDependency, ModelError
from shapsight.models.build import build_model
from shapsight.models.loop import Regression
from shapsight.models.order import EpochDraws, EpochOrder
from shapsight.models.plan import TrainingPlan
from shapsight.models.train import _weights, fit

HERE = Path(__file__).parent
QUICK = ["--arch", "tiny_networks:Tiny", "--image-size", "32", "--references", "3", "--device", "cpu"]


def shapsight(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def loaded(folder, size: int = 32, **options):
    manifest = read_dataset(folder, **options)
    return manifest, load_images(manifest, list(manifest.table["path"]), size)


@pytest.fixture
def discs(tmp_path):
    for number, room in enumerate(("red", "green")):
        write_discs(tmp_path / "data" / room, 20, seed=number)
    return tmp_path / "data"


@pytest.fixture
def classes(tmp_path):
    """Left or right half: thirty pictures of one class, six of the other."""
    generator = np.random.default_rng(0)
    for label, columns, count in (("left", (2, 12), 30), ("right", (20, 30), 6)):
        (tmp_path / "classes" / label).mkdir(parents=True)
        for number in range(count):
            picture = disc(generator.integers(*columns), generator.integers(4, 28), 32, 32, WALLS["red"])
            Image.fromarray(picture).save(tmp_path / "classes" / label / f"{number}.png")
    return tmp_path / "classes"


def test_a_classifier_learns_left_from_right_and_comes_back_with_its_names(classes, tmp_path):
    manifest, images = loaded(classes)
    result = fit(
        build_model("small_cnn", 2, weights="none"),
        manifest,
        images,
        TrainingPlan(epochs=12, learning_rate=3e-3, schedule="one-cycle", color_jitter=False),
    )
    predictions = predict_table(result.bundle, manifest, images)
    errors = evaluate_classes(predictions, manifest.class_names).set_index("split")
    assert errors.loc["train", "accuracy"] > 0.95
    again = load_bundle(result.bundle.save(tmp_path / "model"))
    assert (again.card.task, again.card.class_names) == ("classification", ("left", "right"))
    assert again.card.output_names == ("left", "right")
    assert torch.equal(again.predict(images), result.bundle.predict(images))
    logits = again.predict(images).double()
    assert predictions["confidence"].to_numpy() == pytest.approx(logits.softmax(1).amax(1).numpy())


def test_rare_classes_weigh_as_much_as_common_ones(classes):
    manifest, _ = loaded(classes)
    weights = _weights(manifest, TrainingPlan())
    counts = manifest.split("train")["label"].value_counts()
    assert weights is not None
    assert (weights * torch.tensor([counts["left"], counts["right"]])).tolist() == pytest.approx(
        [15, 15], rel=0.1
    )
    assert _weights(manifest, TrainingPlan(class_weights=False)) is None


def test_targets_of_any_unit_are_learned_predicted_and_explained_in_it(tmp_path):
    generator = np.random.default_rng(0)
    rows = []
    for number in range(40):
        x = int(generator.integers(2, 30))
        Image.fromarray(disc(x, 16, 32, 32, WALLS["blue"])).save(tmp_path / f"{number}.png")
        rows.append({"path": f"{number}.png", "speed": 10 * x, "turn": x / 1000})
    pd.DataFrame(rows).to_csv(tmp_path / "drive.csv", index=False)
    manifest, images = loaded(tmp_path / "drive.csv", scales={"speed": "0:320:km/h"})
    result = fit(
        build_model("tiny_networks:Tiny", 2, weights="none"),
        manifest,
        images,
        TrainingPlan(epochs=25, learning_rate=3e-3, color_jitter=False),
    )
    bundle = load_bundle(result.bundle.save(tmp_path / "model"))
    assert bundle.card.scales["speed"] == (0.0, 320.0, "km/h")
    assert bundle.card.output_scales["speed"] == "km/h, from 0 to 320"
    table = predict_table(bundle, manifest, images)
    for name in ("speed", "turn"):
        spread = table[name].std()
        assert (table[f"predicted_{name}"] - table[name]).abs().mean() < 0.4 * spread
    explanation = DeepShap(bundle.model, bundle.prepare(bundle.references))(bundle.prepare(images[:2]))
    assert explanation.predictions[:, 0].tolist() == pytest.approx(
        table["predicted_speed"][:2].tolist(), rel=1e-3
    )
    assert explanation.completeness_gap.abs().max() < 1e-2
    halves = {name: manifest.scales[name].half for name in manifest.targets}
    rows = manifest.rows("validation")
    loss = (
        sum((((table[f"predicted_{n}"] - table[n]) / h) ** 2).iloc[rows].mean() for n, h in halves.items())
        / 2
    )
    assert bundle.card.metrics["validation_loss"] == pytest.approx(loss, rel=1e-3)


def stopped_after(epochs: int):
    def stop(epoch: int, *_: object) -> None:
        if epoch == epochs:
            raise KeyboardInterrupt

    return stop


@pytest.mark.parametrize("schedule", ["constant", "one-cycle"])
def test_a_resumed_training_ends_at_the_weights_of_one_that_was_not_stopped(discs, tmp_path, schedule):
    manifest, images = loaded(discs, train_on="red")
    options = {"epochs": 5, "schedule": schedule, "warm_up": 1, "references": 3}
    whole = fit(
        build_model("tiny_networks:Tiny", 2, weights="none"), manifest, images, TrainingPlan(**options)
    )
    for epochs in (1, 3):
        fit(
            build_model("tiny_networks:Tiny", 2, weights="none"),
            manifest,
            images,
            TrainingPlan(**options),
            checkpoints=tmp_path / "saved",
            on_epoch=stopped_after(epochs + 1),
        )
    resumed = fit(
        build_model("tiny_networks:Tiny", 2, weights="none"),
        manifest,
        images,
        TrainingPlan(**options),
        checkpoints=tmp_path / "saved",
    )
    pd.testing.assert_frame_equal(resumed.history, whole.history)
    assert resumed.bundle.card.model_hash == whole.bundle.card.model_hash
    assert resumed.bundle.card.training["resumed"] == 2
    assert any("resumed twice" in note for note in resumed.notes)


KILLED = """
import os, signal, sys
from shapsight.models import train
from shapsight.studies.shared import analysis
fit = train.fit
def killed(*args, **kwargs):
    def stop(epoch, *_):
        if epoch == 3:
            os.kill(os.getpid(), signal.SIGKILL)
    return fit(*args, **kwargs, on_epoch=stop)
analysis.fit = killed
from shapsight.cli import main
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_killed_training_goes_on_and_says_how_often(discs, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    command = ["train", discs, "--train-on", "red", "--epochs", "5", "--out", tmp_path / "run", *QUICK]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])}
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, *map(str, command)], env=environment, capture_output=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "run").exists()

    refused = shapsight(*command)
    assert refused.exit_code == 1
    assert "--resume" in refused.stderr
    other = shapsight(*command[:4], "--epochs", "6", *command[6:], "--seed", "3", "--resume")
    assert other.exit_code == 1
    assert "epochs was 5, is 6; seed was 0, is 3" in " ".join(other.stderr.split())

    resumed = shapsight(*command, "--resume")
    assert resumed.exit_code == 0, resumed.output
    assert json.loads((tmp_path / "run" / "run.json").read_text())["resumed"] == 1
    whole = shapsight(*command[: -len(QUICK) - 1], tmp_path / "whole", *QUICK)
    assert whole.exit_code == 0, whole.output
    one, two = (load_bundle(tmp_path / name / "model").card for name in ("run", "whole"))
    assert (one.model_hash, one.training["resumed"], two.training["resumed"]) == (two.model_hash, 1, 0)
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_finished_run_says_how_its_model_is_trained_further_and_that_works(discs, tmp_path):
    command = ["train", discs, "--train-on", "red", "--epochs", "1", "--scale", "x=0:32", *QUICK]
    assert shapsight(*command, "--out", tmp_path / "run").exit_code == 0
    refused = shapsight(*command, "--out", tmp_path / "run", "--resume")
    assert refused.exit_code == 1
    weights = tmp_path / "run" / "model" / "model.safetensors"
    assert f"--weights {weights} and another --out, without --resume" in " ".join(refused.stderr.split())
    further = shapsight(
        *command, "--weights", weights, "--learning-rate", "1e-9", "--out", tmp_path / "further"
    )
    assert further.exit_code == 0, further.output
    one, two = (load_bundle(tmp_path / name / "model").model.state_dict() for name in ("run", "further"))
    for name, value in one.items():
        if not name.endswith(("num_batches_tracked", "running_mean", "running_var")):
            torch.testing.assert_close(two[name], value, atol=1e-6, rtol=1e-5)


def test_a_resume_with_other_data_is_refused(discs, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    command = ["train", discs, "--train-on", "red", "--epochs", "3", "--out", tmp_path / "run", *QUICK]
    fitting = fit
    monkeypatch.setattr(
        "shapsight.studies.shared.analysis.fit", lambda *a, **k: fitting(*a, **k, on_epoch=stopped_after(2))
    )
    assert shapsight(*command).exit_code == 130
    monkeypatch.undo()
    monkeypatch.syspath_prepend(str(HERE))
    next((discs / "red").iterdir()).unlink()
    refused = shapsight(*command, "--resume")
    assert refused.exit_code == 1
    assert "40 images then, 39 now" in " ".join(refused.stderr.split())
    assert shapsight(*command, "--overwrite").exit_code == 0


def test_a_full_disk_keeps_the_checkpoint_before_and_says_so(discs, tmp_path):
    manifest, images = loaded(discs, train_on="red")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    sizes = []

    def fill(epoch: int, *_: object) -> None:
        sizes.append((tmp_path / "last.ckpt").read_bytes() if epoch > 1 else b"")
        if epoch == 2:  # from now on no file may grow beyond some kilobytes
            resource.setrlimit(resource.RLIMIT_FSIZE, (4000, before[1]))

    try:
        result = fit(
            build_model("tiny_networks:Tiny", 2, weights="none"),
            manifest,
            images,
            TrainingPlan(epochs=3),
            checkpoints=tmp_path,
            on_epoch=fill,
        )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert any("checkpoint of epoch 3 could not be written" in note for note in result.notes)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["last.ckpt"]
    assert (tmp_path / "last.ckpt").read_bytes() == sizes[1] == sizes[2]
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["epoch"] == 0


def test_warm_up_trains_the_last_layer_alone(discs):
    manifest, images = loaded(discs, train_on="red")
    built = build_model("tiny_networks:Tiny", 2, weights="none")
    states = []
    built.model.body[0].register_forward_pre_hook(
        lambda module, _: (
            states.append((module.training, module.weight.detach().clone())) if module.training else None
        )
    )
    fit(built, manifest, images, TrainingPlan(epochs=2, warm_up=1, batch_size=8, color_jitter=False))
    weights = [weight for _, weight in states]
    assert all(
        torch.equal(weight, built.model.body[0].weight) for weight in weights[:3]
    )  # 16 images: two batches
    assert not torch.equal(weights[-1], weights[0])


def test_training_stops_early_when_the_loss_no_longer_falls(discs):
    manifest, images = loaded(discs, train_on="red")
    result = fit(
        build_model("tiny_networks:Tiny", 2, weights="none"),
        manifest,
        images,
        TrainingPlan(epochs=30, patience=1, learning_rate=0.1),
    )
    assert result.stopped == "early"
    assert len(result.history) < 30
    assert any("stopped after" in note for note in result.notes)


def test_an_epochs_order_depends_on_seed_and_epoch_only():
    orders = {}
    for seed in (0, 1):
        for epoch in (0, 1):
            order = EpochOrder(20, seed)
            order.set_epoch(epoch)
            orders[seed, epoch] = list(order)
            assert sorted(orders[seed, epoch]) == list(range(20))
            draws = EpochDraws(20, seed)
            draws.set_epoch(epoch)
            assert [draw - 20 * epoch for draw in draws] == orders[seed, epoch]
            assert list(order) == orders[seed, epoch]
    assert len({tuple(order) for order in orders.values()}) == 4


@pytest.mark.parametrize("processes", [1, 2, 3, 20])
def test_processes_that_train_together_share_the_images_out(monkeypatch, processes):
    shares = []
    for rank in range(processes):
        monkeypatch.setattr("shapsight.models.order._processes", lambda rank=rank: (rank, processes))
        order = EpochOrder(20, 0)
        shares.append(list(order))
        assert len(shares[-1]) == len(order)
    assert {image for share in shares for image in share} == set(range(20))
    assert len({len(share) for share in shares}) == 1
    assert sum(map(len, shares)) < 20 + processes


@pytest.mark.parametrize("workers", [0, 2])
def test_a_draw_is_the_same_picture_whatever_the_batches_the_workers_and_the_generator(discs, workers):
    manifest, images = loaded(discs, train_on="red")
    rows = manifest.rows("train")
    batches = ImageBatches(images, manifest.target_values(), rows, ColorJitter().drawn, seed=3)
    order = EpochDraws(len(rows), 3)
    order.set_epoch(2)
    expected = [changed(batches[draw]) for draw in order]
    torch.rand(5)
    state = torch.random.get_rng_state()
    loader = DataLoader(
        batches, 5, sampler=order, collate_fn=whole_batch, num_workers=workers, generator=torch.Generator()
    )
    drawn = [changed(batch) for batch in loader]
    for part in (0, 1):
        assert torch.equal(
            torch.cat([each[part] for each in drawn]), torch.cat([each[part] for each in expected])
        )
    assert torch.equal(torch.random.get_rng_state(), state)
    order.set_epoch(1)
    assert not torch.equal(changed(batches[next(iter(order))])[0], expected[0][0])


def changed(batch):
    """A batch as training sees it."""
    return Regression(torch.nn.Identity(), 1e-3, (), ()).on_after_batch_transfer(batch, 0)


def test_lightnings_own_flags_reach_its_trainer(discs, tmp_path):
    manifest, images = loaded(discs, train_on="red")
    built = build_model("tiny_networks:Tiny", 2, weights="none")
    result = fit(
        built, manifest, images, TrainingPlan(epochs=1, device="cpu", trainer={"precision": "bf16-mixed"})
    )
    assert result.bundle.predict(images).isfinite().all()
    with pytest.raises(ModelError, match="cannot be used"):
        fit(built, manifest, images, TrainingPlan(epochs=1, trainer={"precision": "3-bits"}))
    with pytest.raises(ModelError, match="cannot be used"):
        fit(built, manifest, images, TrainingPlan(epochs=1, trainer={"colour": "red"}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"schedule": "triangle"}, "schedule='triangle' is not one of constant, one-cycle"),
        ({"warm_up": 10}, "warm_up=10 must be 0 or more and below the 10 epochs"),
        ({"patience": 0}, "patience=0 must be 1 or more"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(options, message):
    with pytest.raises(ModelError, match=message):
        TrainingPlan(**options)


def test_train_and_evaluate_agree_and_another_dataset_is_unseen(discs, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    run = tmp_path / "run"
    trained = shapsight(
        "train", discs, "--train-on", "red", "--epochs", "2", "--out", run, "--logger", "csv", *QUICK
    )
    assert trained.exit_code == 0, trained.output
    assert (run / "history.csv").is_file()
    assert (run / "checks.csv").is_file()
    assert list((run / "logs").rglob("metrics.csv"))
    again = shapsight("evaluate", run)
    assert again.exit_code == 0, again.output
    errors = [pd.read_csv(folder / "errors.csv") for folder in (run, run / "evaluation")]
    pd.testing.assert_frame_equal(*errors)
    write_discs(tmp_path / "new" / "blue", 6, seed=9)
    other = shapsight("evaluate", run, tmp_path / "new", "--out", tmp_path / "other")
    assert other.exit_code == 0, other.output
    assert set(pd.read_csv(tmp_path / "other" / "errors.csv")["split"]) == {"unseen"}
    assert (tmp_path / "other" / "report.html").is_file()


def test_classes_are_trained_explained_and_evaluated_from_the_command_line(classes, tmp_path):
    run = tmp_path / "run"
    debugged = shapsight(
        "debug",
        classes,
        "--task",
        "classification",
        "--epochs",
        "2",
        "--references",
        "3",
        "--out",
        run,
        "--device",
        "cpu",
    )
    assert debugged.exit_code == 0, debugged.output
    assert load_bundle(run / "model").card.arch == "small_cnn"
    assert len(pd.read_csv(run / "explanations" / "deep.csv")) == 2
    evaluated = shapsight("evaluate", run, classes, "--out", tmp_path / "again")
    assert evaluated.exit_code == 0, evaluated.output
    table = pd.read_csv(tmp_path / "again" / "errors.csv")
    predictions = pd.read_parquet(tmp_path / "again" / "predictions.parquet")
    assert table["accuracy"].iloc[0] == pytest.approx(
        (predictions["label"] == predictions["predicted_label"]).mean()
    )
    write_discs(tmp_path / "discs" / "red", 6)
    refused = shapsight("evaluate", run, tmp_path / "discs", "--out", tmp_path / "no")
    assert refused.exit_code == 1


def test_check_prints_a_table_and_writes_it(discs, tmp_path):
    Image.new("RGB", (32, 32), (9, 9, 9)).save(discs / "red" / "1_1_flat.png")
    result = shapsight("check", discs, "--train-on", "red", "--csv", tmp_path / "checks.csv")
    assert result.exit_code == 0, result.output
    assert "constant pictures" in " ".join(result.output.split())
    table = pd.read_csv(tmp_path / "checks.csv").set_index("check")
    assert table.loc["constant pictures", "images"] == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--task", "clustering"], "--task clustering is not one of"),
        (["--scale", "speed"], "--scale speed names no target"),
        (["--pattern", "{x}{x}"], "no name pattern"),
        (["--hold-out", "purple"], "'purple' to hold out does not exist"),
        (["--warm-up", "4", "--epochs", "2"], "warm_up=4"),
        (["--logger", "paper"], "no logger called 'paper'"),
        (["--schedule", "triangle"], "schedule='triangle'"),
        (["--arch", "nowhere:Net"], "cannot be imported"),
    ],
)
def test_a_mistake_gets_one_message_and_leaves_nothing(discs, tmp_path, monkeypatch, arguments, complaint):
    monkeypatch.syspath_prepend(str(HERE))
    result = shapsight("train", discs, "--out", tmp_path / "run", *QUICK, *arguments)
    assert result.exit_code == 1
    assert complaint in " ".join(result.stderr.split())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_a_tensorboard_log_without_the_library_names_it(monkeypatch, tmp_path):
    from shapsight.models.loggers import logger_option

    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.setattr("lightning.pytorch.loggers.TensorBoardLogger", _missing)
    with pytest.raises(MissingDependency, match="pip install tensorboard"):
        logger_option("tensorboard", tmp_path)


def _missing(*_: object, **__: object) -> None:
    raise ModuleNotFoundError("tensorboard")


def test_scales_say_what_they_are():
    assert str(Scale()) == "from -1 to +1"
    assert str(Scale(0, 30, "km/h")) == "km/h, from 0 to 30"
    assert (Scale(0, 30).middle, Scale(0, 30).half) == (15, 15)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, MemoryError])
def test_what_stops_while_references_are_chosen_leaves_the_trained_model(discs, tmp_path, monkeypatch, stop):
    def stopped(*_, **__):
        raise stop

    monkeypatch.setattr("shapsight.studies.shared.analysis.with_chosen_references", stopped)
    out = tmp_path / "run"
    result = shapsight("debug", discs, "--train-on", "red", *QUICK, "--epochs", "1", "--out", out)
    assert result.exit_code != 0
    assert len(load_bundle(out / "model").references) == 3
