"""`shapsight diagnose` on what users bring: other data, other regions, absent classes, and what cannot be diagnosed."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from discs import write_discs
from shapsight.cli import app
from shapsight.studies.diagnose import explanations
from shapsight.studies.diagnose.explanations import StoredExplanations
from shapsight.studies.shared.sampling import choose_held_out

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
QUICK = ["--images", "12", "--references", "2"]


def shapsight(*arguments: str | Path):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def said(result) -> str:
    return " ".join((result.stdout + result.stderr).split())


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for number, room in enumerate(("red", "green", "blue")):
        write_discs(folder / room, 12, seed=number)
    return folder


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "red"
    result = shapsight("train", data, "--train-on", "red", "--out", out, *TRAINED)
    assert result.exit_code == 0, result.output
    return out


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "red"))


def test_a_second_call_goes_on_in_the_middle_of_the_explanations(run: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(explanations, "CHUNK", 5)
    explained: list[int] = []
    real = StoredExplanations._add

    def stopping(kept, images, *rest):
        if len(explained) == 1:
            raise KeyboardInterrupt
        explained.append(len(images))
        real(kept, images, *rest)

    command = ["diagnose", run, "--roi", "below:16", *QUICK, "--only", "strategies"]
    monkeypatch.setattr(StoredExplanations, "_add", stopping)
    assert shapsight(*command).exit_code == 130
    monkeypatch.setattr(
        StoredExplanations,
        "_add",
        lambda kept, images, *rest: explained.append(len(images)) or real(kept, images, *rest),
    )
    result = shapsight(*command)
    assert result.exit_code == 0, result.output
    assert explained == [5, 5, 2]
    assert shapsight(*command).exit_code == 0
    # More images are added to those that are there.
    more = shapsight("diagnose", run, "--images", "20", *QUICK[2:], "--only", "strategies")
    assert more.exit_code == 0, more.output
    assert sum(explained) == 20


def test_a_part_alone_needs_no_explanations_and_a_later_call_keeps_it(
    run: Path, monkeypatch: pytest.MonkeyPatch
):
    result = shapsight("diagnose", run, "--roi", "below:16", *QUICK, "--only", "why")
    assert result.exit_code == 0, result.output
    folder = run / "diagnosis"
    assert not (folder / "explanations").exists()
    assert not (folder / "look").exists()
    before = (folder / "why" / "facts.json").stat().st_mtime_ns
    again = shapsight("diagnose", run, "--roi", "below:16", *QUICK, "--only", "strategies")
    assert again.exit_code == 0, again.output
    assert (folder / "why" / "facts.json").stat().st_mtime_ns == before
    assert "Replacing only the scene" in said(again)
    other = shapsight("diagnose", run, "--roi", "below:20", *QUICK, "--only", "why")
    assert other.exit_code == 0
    assert (folder / "why" / "facts.json").stat().st_mtime_ns != before


def test_classes_one_of_them_absent_from_an_environment(tmp_path: Path):
    for number, room in enumerate(("red", "green")):
        for label in ("a", "b") if room == "red" else ("a",):
            write_discs(tmp_path / "data" / room / label, 10, seed=10 * number + ord(label))
    rows = [
        {"path": str(path.relative_to(tmp_path / "data")), "label": path.parent.name, "room": path.parts[-3]}
        for path in sorted((tmp_path / "data").rglob("*.png"))
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "data" / "labels.csv", index=False)
    trained = shapsight(
        "train", tmp_path / "data" / "labels.csv", "--task", "classification", "--label", "label",
        "--environment", "column:room", "--train-on", "red", "--out", tmp_path / "run", *TRAINED,
        "--validation-share", "0.4",
    )  # fmt: skip
    assert trained.exit_code == 0, trained.output
    result = shapsight(
        "diagnose", tmp_path / "run", "--roi", "below:16", *QUICK, "--only", "look,why,strategies"
    )
    assert result.exit_code == 0, result.output
    facts = json.loads((tmp_path / "run" / "diagnosis" / "why" / "facts.json").read_text())["facts"]
    assert facts["output"] == "label"
    assert 0 <= facts["scene_flips"] <= 1


def test_another_dataset_is_diagnosed_as_unseen(run: Path, tmp_path: Path):
    write_discs(tmp_path / "new" / "grey", 8, seed=5)
    write_discs(tmp_path / "new" / "red", 8, seed=6)
    result = shapsight(
        "diagnose",
        run,
        tmp_path / "new",
        "--roi",
        "below:16",
        *QUICK,
        "--only",
        "why",
        "--out",
        tmp_path / "out",
    )
    assert result.exit_code == 0, result.output
    images = pd.read_parquet(tmp_path / "out" / "images.parquet")
    assert set(images["environment"]) == {"grey", "red"}
    assert len(images) == 12


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--outputs", "z"], "no target"),
        (["--objects", "nowhere.json"], "no nowhere.json"),
    ],
)
def test_what_cannot_be_diagnosed_is_refused(
    run: Path, options: list[str], complaint: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(run)
    result = shapsight("diagnose", run, *QUICK, *options)
    assert result.exit_code == 1
    assert complaint in said(result)
    assert not (run / "diagnosis" / "report.html").exists()


def test_masks_of_another_size_are_refused(run: Path, tmp_path: Path):
    from PIL import Image

    for path in pd.read_csv(run / "manifest.csv")["path"]:
        (tmp_path / "masks" / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((9, 9), 255, np.uint8)).save(tmp_path / "masks" / path)
    result = shapsight("diagnose", run, "--roi", tmp_path / "masks", *QUICK)
    assert result.exit_code == 1
    assert "is 9 × 9 pixels, but" in said(result)


def test_rows_are_balanced_held_out_and_grow_with_the_count():
    table = pd.DataFrame(
        {
            "environment": ["a"] * 30 + ["b"] * 10 + ["c"] * 3,
            "split": ["train"] * 10 + ["validation"] * 20 + ["unseen"] * 10 + ["train"] * 3,
        }
    )
    few, notes = choose_held_out(table, 12)
    assert few["environment"].value_counts().to_dict() == {"a": 5, "b": 4, "c": 3}
    assert set(few.loc[few["environment"] == "a", "split"]) == {"validation"}
    assert "flatter" in notes[0]
    more, _ = choose_held_out(table, 20)
    assert set(few.index) <= set(more.index)
    labelled = table.assign(label=["x", "y"] * 21 + ["x"])
    chosen, _ = choose_held_out(labelled, 12)
    assert chosen.loc[chosen["environment"] == "b", "label"].value_counts().to_dict() == {"x": 2, "y": 2}
