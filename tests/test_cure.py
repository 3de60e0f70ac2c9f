"""`shapsight cure` and `compare`, from the command line, on small pictures."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from discs import write_discs
from shapsight.cli import app
from shapsight.data.framing import Stretched
from shapsight.data.readers import read_dataset
from shapsight.data.turns import in_turn, take_turns
from shapsight.drawing.charts.ranking import error_share_plot
from shapsight.errors import DataError
from shapsight.studies.cure import study as job
from shapsight.studies.cure.trainer import trainer_of
from shapsight.studies.shared.narrator import Narrator
from shapsight.studies.shared.settings import CureSettings

TRAINED = [
    "--arch",
    "small_cnn",
    "--epochs",
    "2",
    "--batch-size",
    "4",
    "--references",
    "3",
    "--device",
    "cpu",
]
QUICK = ["--seeds", "1", "--explain", "1", "--references", "2", "--device", "cpu"]


def shapsight(*arguments: str | Path):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for number, room in enumerate(("red", "green", "blue")):
        write_discs(folder / room, 10, seed=number)
    return folder


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "red"
    result = shapsight("train", data, "--train-on", "red", "--out", out, *TRAINED)
    assert result.exit_code == 0, result.output
    return out


@pytest.fixture(scope="module")
def run_of_all(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "all"
    assert shapsight("train", data, "--out", out, *TRAINED).exit_code == 0
    return out


def test_cure_ranks_recipes_where_they_were_not_trained_and_shows_what_they_do(run: Path):
    recipes = "flip,erase-scene,swap-scene,right-reasons,more-environments,flip+light"
    result = shapsight("cure", run, "--try", recipes, "--roi", "below:16", *QUICK)
    assert result.exit_code == 0, result.output
    judged = pd.read_parquet(run / "cure" / "judged.parquet")
    for trained_on, rows in judged.groupby("trained_on"):
        assert not set(trained_on.split(", ")) & set(rows["environment"])
    assert set(judged.loc[judged["recipe"] == "baseline", "trained_on"]) == {"red", "green", "blue"}
    assert set(judged.loc[judged["recipe"] == "more-environments", "trained_on"]) == {
        "blue, green", "blue, red", "green, red",
    }  # fmt: skip
    ranking = pd.read_csv(run / "cure" / "ranking.csv")
    assert set(ranking["recipe"]) == {"baseline", *recipes.split(",")}
    mine = judged[judged["recipe"] == "flip"]
    by_hand = (
        ((mine["predicted_x"] - mine["x"]) ** 2 + (mine["predicted_y"] - mine["y"]) ** 2) / 2
    ).groupby(mine["environment"]).mean().mean()  # fmt: skip
    assert ranking.set_index("recipe").loc["flip", "error"] == pytest.approx(by_hand, rel=1e-6)
    assert ranking["scene_share"].between(0, 1).all()
    assert "3 seeds" in result.stdout or "No recipe" in result.stdout
    figures = sorted(path.name for path in (run / "cure" / "figures").iterdir())
    # Errors twice and by place, errors against shares, and each recipe that changes images, as PNG and SVG.
    assert len(figures) == 2 * (4 + 4)
    assert any("flip_light" in name for name in figures)
    assert "Before and after swap-scene" in (run / "cure" / "report.html").read_text()


def test_a_second_run_goes_on_where_the_first_was_stopped(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    made = []
    real = job.run_trial

    def stopping(cell, *arguments, **more):
        if len(made) == 4:
            raise KeyboardInterrupt
        made.append(cell)
        return real(cell, *arguments, **more)

    command = ["cure", run, "--try", "flip,noise", *QUICK, "--out", tmp_path / "cure"]
    monkeypatch.setattr(job, "run_trial", stopping)
    assert shapsight(*command).exit_code == 130
    assert len(list((tmp_path / "cure" / "cells").glob("*.parquet"))) == 4
    monkeypatch.setattr(
        job, "run_trial", lambda cell, *rest, **more: made.append(cell) or real(cell, *rest, **more)
    )
    result = shapsight(*command)
    assert result.exit_code == 0, result.output
    assert len(made) == len(set(made)) == 9
    more = shapsight(*command[:3], "flip,noise,balance", *command[4:])
    assert more.exit_code == 0
    assert len(made) == 12
    (next((tmp_path / "cure" / "cells").glob("flip*"))).write_bytes(b"cut off")
    assert shapsight(*command).exit_code == 0
    assert len(made) == 13


def test_every_recipe_trains_on_as_many_images(run: Path):
    settings = CureSettings(("more-environments",))
    opened = trainer_of(run, None, settings, Narrator(quiet=True))
    turns = take_turns(opened.manifest.environments, opened.manifest.train_on)
    budget = opened.budget(settings, turns)
    assert budget.images_per_epoch == 8
    for names in (turns.plain[0], turns.wider[0]):
        manifest = in_turn(opened.manifest, names)
        material = job.Material(manifest, np.zeros((30, 3, 32, 32)), Stretched(32))  # type: ignore[arg-type]
        treatment = job.run_trial.__globals__["treatment_of"]("baseline", budget, material)
        assert treatment.images_per_epoch == 8


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--try", "flop"], "did you mean flip"),
        (["--try", "swap-scene"], "--roi"),
        (["--try", "flip", "--mirrored", "z"], "no target"),
        (["--try", "flip", "--scenes", "nowhere"], "there is nothing at nowhere"),
    ],
)
def test_what_cannot_be_tried_is_refused_before_anything_is_trained(
    run: Path, tmp_path: Path, options: list[str], complaint: str
):
    result = shapsight("cure", run, *options, *QUICK, "--out", tmp_path / "cure")
    assert result.exit_code == 1
    assert complaint in " ".join(result.stderr.split())
    assert not list(tmp_path.glob("cure/cells/*"))


def test_a_run_of_several_environments_leaves_one_out_in_turn(run_of_all: Path, tmp_path: Path):
    refused = shapsight("cure", run_of_all, "--try", "more-environments", *QUICK)
    assert refused.exit_code == 1
    assert "nothing to add" in " ".join(refused.stderr.split())
    result = shapsight("cure", run_of_all, "--try", "flip", *QUICK, "--out", tmp_path / "cure")
    assert result.exit_code == 0, result.output
    judged = pd.read_parquet(tmp_path / "cure" / "judged.parquet")
    assert set(judged["trained_on"]) == {"blue, green", "blue, red", "green, red"}
    assert len(judged) == 2 * 30


def test_cure_ranks_classifiers_by_their_share_of_wrong_labels(tmp_path: Path):
    for number, room in enumerate(("red", "green", "blue")):
        for label in ("a", "b"):
            write_discs(tmp_path / "data" / room / label, 6, seed=10 * number + ord(label))
    rows = [
        {"path": str(path.relative_to(tmp_path / "data")), "label": path.parent.name, "room": path.parts[-3]}
        for path in sorted((tmp_path / "data").rglob("*.png"))
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "data" / "labels.csv", index=False)
    trained = shapsight(
        "train", tmp_path / "data" / "labels.csv", "--task", "classification", "--label", "label",
        "--environment", "column:room", "--train-on", "red", "--out", tmp_path / "run", *TRAINED,
    )  # fmt: skip
    assert trained.exit_code == 0, trained.output
    result = shapsight("cure", tmp_path / "run", "--try", "flip,right-reasons", "--roi", "below:16", *QUICK)
    assert result.exit_code == 0, result.output
    judged = pd.read_parquet(tmp_path / "run" / "cure" / "judged.parquet")
    assert (judged["error"] == (judged["label"] != judged["predicted_label"])).all()
    compared = shapsight("compare", tmp_path / "run", tmp_path / "run", "--out", tmp_path / "both")
    assert compared.exit_code == 0, compared.output


def test_a_single_environment_leaves_nothing_to_judge_by(data: Path):
    with pytest.raises(DataError, match="one environment only"):
        take_turns(["red"], ["red"])
    manifest = read_dataset(data, train_on="red")
    other = in_turn(manifest, ["green"])
    again = in_turn(manifest, ["blue", "green"])
    assert other.train_on == ("green",)
    for split in ("train", "validation"):
        one, two = (m.split(split) for m in (other, again))
        assert set(one["path"]) == set(two.loc[two["environment"] == "green", "path"])


def test_compare_judges_two_models_on_images_that_neither_was_trained_on(
    run: Path, run_of_all: Path, tmp_path: Path
):
    out = tmp_path / "compared"
    result = shapsight(
        "compare",
        run,
        run_of_all,
        "--roi",
        "below:16",
        "--explain",
        "1",
        "--names",
        "one,every",
        "--out",
        out,
    )
    assert result.exit_code == 0, result.output
    first, second = (pd.read_parquet(out / f"predictions_{name}.parquet") for name in ("first", "second"))
    assert list(first["path"]) == list(second["path"])
    for trained in (run, run_of_all):
        manifest = pd.read_csv(trained / "manifest.csv")
        assert not set(first["path"]) & set(manifest.loc[manifest["split"] == "train", "path"])
    change = pd.read_csv(out / "change.csv").set_index(["environment", "target"])
    blue = second[second["environment"] == "blue"]
    assert change.loc[("blue", "x"), "second"] == pytest.approx(
        ((blue["predicted_x"] - blue["x"]) ** 2).mean()
    )
    assert "one → every" in result.stdout
    report = (out / "report.html").read_text()
    assert "The same images of blue explained for both models" in report
    assert json.loads((out / "run.json").read_text())["status"] == "done"


def test_models_of_other_targets_or_sizes_are_not_compared(run: Path, data: Path, tmp_path: Path):
    assert shapsight("train", data, "--out", tmp_path / "wide", *TRAINED, "--image-size", "48").exit_code == 0
    result = shapsight("compare", run, tmp_path / "wide", "--out", tmp_path / "both")
    assert result.exit_code == 1
    assert "--image-size" in " ".join(result.stderr.split())
    nothing = shapsight("compare", run, tmp_path / "nowhere", "--out", tmp_path / "both")
    assert nothing.exit_code == 1
    assert not (tmp_path / "both").exists()


def test_pictures_refuse_to_be_drawn_from_nothing():
    with pytest.raises(DataError):
        error_share_plot(pd.DataFrame({"recipe": ["a"], "scene_share": [np.nan]}))


def test_a_recipe_can_be_trained_with_and_is_written_on_the_models_card(data: Path, tmp_path: Path):
    from shapsight import load_bundle

    command = ["train", data, "--train-on", "red", *TRAINED, "--remedies", "swap-scene,flip"]
    refused = shapsight(*command, "--out", tmp_path / "run")
    assert refused.exit_code == 1
    assert "--roi" in refused.stderr
    result = shapsight(*command, "--roi", "below:16", "--scenes", data / "blue", "--out", tmp_path / "run")
    assert result.exit_code == 0, result.output
    assert load_bundle(tmp_path / "run" / "model").card.training["recipe"] == "flip+swap-scene"
    more = shapsight(*command[:-1], "more-environments", "--out", tmp_path / "more")
    assert more.exit_code == 1
    assert "--train-on" in more.stderr
