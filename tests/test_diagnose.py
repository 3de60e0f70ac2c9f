"""`shapsight diagnose`, from the command line, on small pictures."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from discs import write_discs
from shapsight import Explanation, load_bundle
from shapsight.attribution.deep import DeepShap
from shapsight.cli import app
from shapsight.studies.diagnose import explanations, parts

SMALL = ["--images", "12", "--references", "2"]
PARTS = ("look", "why", "strategies", "trust")


def shapsight(*arguments: str | Path):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def train(data: Path, out: Path, *more: str) -> Path:
    command = ["train", data, "--out", out, "--arch", "small_cnn", "--epochs", "2", "--batch-size", "4"]
    result = shapsight(*command, "--references", "3", "--device", "cpu", *more)
    assert result.exit_code == 0, result.output
    return out


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for number, room in enumerate(("red", "green")):
        write_discs(folder / room, 14, seed=number)
    return folder


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(data, tmp_path_factory.mktemp("runs") / "red", "--train-on", "red")


@pytest.fixture(scope="module")
def diagnosed(run: Path):
    result = shapsight("diagnose", run, "--roi", "below:16", *SMALL)
    assert result.exit_code == 0, result.output
    return result, run / "diagnosis"


def test_every_part_leaves_its_facts_tables_and_pictures_and_a_verdict_is_given(diagnosed):
    result, folder = diagnosed
    for part in PARTS:
        facts = json.loads((folder / part / "facts.json").read_text())
        assert facts["part"] == part
        assert facts["tables"]
        for table in facts["tables"]:
            pd.testing.assert_frame_equal(
                pd.read_csv(folder / part / f"{table}.csv"),
                pd.read_parquet(folder / part / f"{table}.parquet"),
                check_dtype=False,
            )
        drawn = json.loads((folder / part / "pictures.json").read_text())
        assert drawn and all(bool(entry["chart"]) != bool(entry["images"]) for entry in drawn)
        for kind in ("png", "svg"):
            files = list((folder / part).glob(f"*.{kind}"))
            assert len(files) == len(drawn) and all(file.stat().st_size > 0 for file in files)
    verdict = json.loads((folder / "verdict.json").read_text())
    assert verdict["level"] in ("ok", "suspicious", "shortcut", "unknown")
    assert 1 <= len(verdict["sentences"]) <= 3
    page = (folder / "report.html").read_text()
    assert verdict["headline"].rstrip(".") in page
    assert f"Verdict    {verdict['level']}" in result.stdout
    for question in ("Where does it look?", "Is that why it fails?", "One strategy", "Can the explanation"):
        assert question in page


def test_the_verdict_quotes_the_errors_that_the_predictions_have(diagnosed, run):
    _, folder = diagnosed
    predictions = pd.read_parquet(run / "predictions.parquet")
    worst = json.loads((folder / "verdict.json").read_text())["evidence"][0]["facts"]["errors.worst_error"]
    away = predictions[predictions["environment"] == "green"]
    assert worst == pytest.approx(np.square(away["predicted_x"] - away["x"]).mean(), rel=1e-6)


def test_what_was_done_is_not_done_again_and_parts_can_be_done_alone(run, tmp_path, monkeypatch):
    out = tmp_path / "why"
    command = ["diagnose", run, "--roi", "below:16", *SMALL, "--out", out]
    first = shapsight(*command, "--only", "why")
    assert first.exit_code == 0, first.output
    assert {path.name for path in out.iterdir() if path.is_dir()} == {"why"}

    def refused(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for name in ("why", "trust"):
        monkeypatch.setitem(parts.PARTS, name, replace(parts.PARTS[name], find=refused))
    stopped = shapsight(*command)
    assert stopped.exit_code != 0  # why was there already, trust is where it stopped
    kept = sorted(out.glob("explanations/*/*.safetensors"))
    assert kept
    monkeypatch.undo()
    monkeypatch.setattr(explanations, "attributions", refused)
    resumed = shapsight(*command)
    assert resumed.exit_code == 0, resumed.output
    assert "Done already: look, why, strategies" in resumed.stderr
    assert sorted(out.glob("explanations/*/*.safetensors")) == kept


def test_the_page_is_there_while_parts_are_still_made_and_says_which(run, tmp_path, monkeypatch):
    pages = []

    def remembered(case, report):
        pages.append((tmp_path / "why" / "report.html").read_text())
        return real(case, report)

    real = parts.PARTS["why"].find
    monkeypatch.setitem(parts.PARTS, "why", replace(parts.PARTS["why"], find=remembered))
    command = ("diagnose", run, "--roi", "below:16", "--only", "why", "--out", tmp_path / "why", *SMALL)
    result = shapsight(*command)
    assert result.exit_code == 0, result.output
    assert "diagnosed so far; still to come: why" in pages[0]
    assert "Is that why it fails? This is still being made" in pages[0]
    assert "How large is the error?" in pages[0]
    last = (tmp_path / "why" / "report.html").read_text()
    assert "so far" not in last and "still being made" not in last


def test_explaining_goes_on_after_the_last_file_that_was_finished(run, tmp_path, monkeypatch):
    bundle = load_bundle(run / "model")
    images = torch.randint(256, (5, 3, 32, 32), dtype=torch.uint8)
    paths = [f"{number}.jpg" for number in range(5)]
    kept = explanations.StoredExplanations(tmp_path, bundle, ("x",), references=2)
    whole = kept.explain(images, paths, chunk=5)
    again = explanations.StoredExplanations(tmp_path / "again", bundle, ("x",), references=2)
    made: list[int] = []
    explain = DeepShap.__call__

    def counted(self, given, *arguments, **named) -> Explanation:
        if len(made) == 1:
            made.append(0)
            raise KeyboardInterrupt
        made.append(len(given))
        return explain(self, given, *arguments, **named)

    monkeypatch.setattr(DeepShap, "__call__", counted)
    with pytest.raises(KeyboardInterrupt):
        again.explain(images, paths, chunk=2)
    found = again.explain(images.flip(0), paths[::-1], chunk=2)
    assert made == [2, 0, 2, 1]
    torch.testing.assert_close(found.values.flip(0), whole.values)


def test_explanations_of_another_model_are_refused(data, run, tmp_path):
    out = tmp_path / "diagnosis"
    first = shapsight("diagnose", run, "--roi", "none", *SMALL, "--only", "look", "--out", out)
    assert first.exit_code == 0, first.output
    other = train(data, tmp_path / "other", "--train-on", "red", "--seed", "1")
    refused = shapsight("diagnose", other, "--roi", "none", *SMALL, "--only", "look", "--out", out)
    assert refused.exit_code == 1
    assert "of another model" in refused.stderr
    assert "--overwrite" in refused.stderr
    anew = shapsight(
        "diagnose", other, "--roi", "none", *SMALL, "--only", "look", "--out", out, "--overwrite"
    )
    assert anew.exit_code == 0, anew.output


def test_without_a_region_what_needs_one_is_left_out_and_said(run, tmp_path):
    result = shapsight(
        "diagnose", run, "--roi", "none", *SMALL, "--only", "look,why", "--out", tmp_path / "out"
    )
    assert result.exit_code == 0, result.output
    assert "region of interest" in result.stderr
    verdict = json.loads((tmp_path / "out" / "verdict.json").read_text())
    assert "nothing of this is a proof" in " ".join(verdict["reasons"])


def test_an_empty_or_full_region_is_refused_and_says_what_to_do(run, tmp_path):
    command = ["diagnose", run, *SMALL, "--only", "look,why", "--out", tmp_path / "out", "--roi"]
    empty = shapsight(*command, "below:32")
    assert empty.exit_code == 1
    assert "below:32 leaves nothing" in empty.stderr
    full = shapsight(*command, "below:0")
    assert full.exit_code == 1
    assert "all of every image" in full.stderr
    assert "--roi none" in full.stderr


def test_one_environment_and_constant_predictions_are_diagnosed_as_far_as_they_can_be(data, run, tmp_path):
    alone = tmp_path / "alone"
    shutil.copytree(data / "red", alone / "red")
    of_one = train(alone, tmp_path / "one")
    result = shapsight("diagnose", of_one, "--roi", "below:16", *SMALL, "--only", "look,why,strategies")
    assert result.exit_code == 0, result.output
    constant = tmp_path / "constant"
    shutil.copytree(run, constant)
    shutil.rmtree(constant / "diagnosis", ignore_errors=True)
    bundle = load_bundle(constant / "model")
    for parameter in bundle.model.parameters():
        parameter.data.zero_()
    bundle.save(constant / "model")
    result = shapsight("diagnose", constant, "--roi", "below:16", *SMALL)
    assert result.exit_code == 0, result.output
    assert "the same" in result.stdout


def test_a_classifier_is_diagnosed_by_the_class_it_says(tmp_path):
    generator = np.random.default_rng(0)
    from PIL import Image

    for environment, tint in (("day", 0), ("night", 60)):
        for label, column in (("left", 4), ("right", 20)):
            folder = tmp_path / "data" / environment / label
            folder.mkdir(parents=True)
            for number in range(10):
                pixels = generator.integers(0, 60, (32, 32, 3)) + tint
                pixels[20:28, column : column + 8] = 250
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    table = tmp_path / "table.csv"
    files = sorted((tmp_path / "data").rglob("*.png"))
    pd.DataFrame(
        {
            "path": [str(file.relative_to(tmp_path)) for file in files],
            "label": [file.parent.name for file in files],
            "environment": [file.parent.parent.name for file in files],
        }
    ).to_csv(table, index=False)
    run = train(
        table,
        tmp_path / "run",
        "--task",
        "classification",
        "--train-on",
        "day",
        "--environment",
        "environment",
    )
    result = shapsight("diagnose", run, "--roi", "below:16", *SMALL)
    assert result.exit_code == 0, result.output
    assert json.loads((run / "diagnosis" / "verdict.json").read_text())["sentences"]


def test_unknown_parts_and_folders_of_something_else_are_refused(run, tmp_path):
    unknown = shapsight("diagnose", run, "--only", "looks", "--out", tmp_path / "new")
    assert unknown.exit_code == 1
    assert "look, why, strategies, trust" in unknown.stderr
    (tmp_path / "note.txt").write_text("mine")
    taken = shapsight("diagnose", run, "--out", tmp_path)
    assert taken.exit_code == 1
    assert (tmp_path / "note.txt").read_text() == "mine"


def test_on_another_dataset_nothing_is_said_of_where_the_model_was_trained(run, tmp_path):
    write_discs(tmp_path / "other" / "blue", 8, seed=5)
    command = ["diagnose", run, tmp_path / "other", "--roi", "below:16", *SMALL, "--only", "why"]
    result = shapsight(*command, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "Trained on" not in result.stdout
    assert "It saw 0" not in result.stdout
    first = json.loads((tmp_path / "out" / "verdict.json").read_text())["evidence"][0]
    assert first["sentence"].startswith("On these data, which count as unseen, the model has MSE")
    assert "blue" in first["sentence"]
    assert first["facts"]["errors.worst_error"] > 0
