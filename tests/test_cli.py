import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from discs import write_discs
from shapsight import Explanation, load_bundle
from shapsight.cli import app
from shapsight.errors import ShapsightError
from shapsight.models import train as training

QUICK = [
    "--arch", "squeezenet1_1", "--weights", "none", "--epochs", "2", "--image-size", "48",
    "--references", "3", "--explain", "2", "--device", "cpu",
]  # fmt: skip


def shapsight(*arguments: str | Path):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for number, room in enumerate(("red", "green", "blue")):
        write_discs(tmp_path / "data" / room, 8, seed=number)
    return tmp_path / "data"


def text_of(html: str) -> str:
    words: list[str] = []
    parser = HTMLParser()
    parser.handle_data = words.append  # type: ignore[method-assign]
    parser.feed(html)
    return " ".join(" ".join(words).split())


def test_debug_trains_measures_explains_and_reports(data: Path, tmp_path: Path):
    run = tmp_path / "run"
    result = shapsight("debug", data, "--train-on", "red", "--roi", "below:24", "--out", run, *QUICK)
    assert result.exit_code == 0, result.output
    assert str(run / "report.html") in result.stdout.replace("\n", "")
    assert 8 <= len(result.stdout.strip().splitlines()) <= 12

    card = json.loads((run / "run.json").read_text())
    assert card["status"] == "done"
    predictions = pd.read_parquet(run / "predictions.parquet")
    assert set(predictions["split"]) == {"train", "validation", "unseen"}
    errors = pd.read_parquet(run / "errors.parquet").set_index(["environment", "split", "target"])
    green = predictions[predictions["environment"] == "green"]
    by_hand = ((green["predicted_x"] - green["x"]) ** 2).mean()
    assert errors.loc[("green", "unseen", "x"), "mse"] == pytest.approx(by_hand, rel=1e-5)

    explanation = Explanation.load(run / "explanations" / "deep.safetensors")
    assert explanation.values.shape == (6, 2, 3, 48, 48)
    assert explanation.output_names == ("x", "y")
    gap = explanation.completeness_gap.abs().max()
    assert gap < 1e-3 * (explanation.predictions - explanation.base_values).abs().max()
    report = text_of((run / "report.html").read_text())
    assert "How large is the error?" in report
    assert f"{by_hand:.3g}" in report


def test_the_bundle_of_a_run_predicts_what_the_run_predicted(data: Path, tmp_path: Path):
    from shapsight.data.images import load_images

    run = tmp_path / "run"
    assert shapsight("debug", data, "--train-on", "red,blue", "--out", run, *QUICK).exit_code == 0
    predictions = pd.read_parquet(run / "predictions.parquet")
    bundle = load_bundle(run / "model")
    again = bundle.predict(load_images(data, list(predictions["path"]), bundle.card.input_size))
    said = torch.tensor(predictions[["predicted_x", "predicted_y"]].to_numpy(), dtype=torch.float32)
    torch.testing.assert_close(again, said, rtol=1e-4, atol=1e-5)


def test_one_environment_works_and_says_that_nothing_is_unseen(data: Path, tmp_path: Path):
    result = shapsight("debug", data / "red", "--out", tmp_path / "run", *QUICK)
    assert result.exit_code == 0, result.output
    assert re.search("nothing unseen|No environment is left unseen", " ".join(result.output.split()))


def test_bad_files_are_listed_and_the_rest_goes_on(data: Path, tmp_path: Path):
    (data / "red" / "1_1_empty.jpg").write_bytes(b"")
    (data / "red" / "1_1_text.jpg").write_text("no picture")
    (data / "red" / "nameless.png").write_bytes(next((data / "red").glob("*.png")).read_bytes())
    result = shapsight("debug", data, "--train-on", "red", "--out", tmp_path / "run", *QUICK)
    assert result.exit_code == 0, result.output
    skipped = pd.read_csv(tmp_path / "run" / "skipped.csv")
    assert sorted(skipped["path"]) == ["red/1_1_empty.jpg", "red/1_1_text.jpg", "red/nameless.png"]
    assert skipped["reason"].str.len().min() > 10
    assert "3 files" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nowhere"], "nowhere"),
        (["{data}", "--train-on", "purple"], "purple"),
        (["{data}", "--roi", "above:3"], "below:ROW"),
        (["{data}", "--arch", "resnet81"], "resnet18"),
        (["{data}", "--weights", "lost.safetensors"], "lost.safetensors"),
    ],
)
def test_a_mistake_gets_one_clear_message_and_leaves_nothing_behind(
    data: Path, tmp_path: Path, arguments: list[str], complaint: str
):
    filled = [argument.format(data=data) for argument in arguments]
    result = shapsight("debug", *QUICK, *filled, "--out", tmp_path / "run")  # the last of an option counts
    assert result.exit_code == 1
    assert complaint in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_a_second_run_into_the_same_folder_asks_for_overwrite(data: Path, tmp_path: Path):
    command = ["debug", data, "--out", tmp_path / "run", *QUICK]
    assert shapsight(*command).exit_code == 0
    before = (tmp_path / "run" / "run.json").read_text()
    refused = shapsight(*command)
    assert refused.exit_code == 1
    assert "--overwrite" in refused.stderr
    assert (tmp_path / "run" / "run.json").read_text() == before
    assert shapsight(*command, "--overwrite").exit_code == 0


def test_ctrl_c_during_training_keeps_the_best_epoch_and_exits_with_130(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    fit = training.fit

    def interrupted(*args, **kwargs):
        def stop(epoch: int, *_: object) -> None:
            if epoch == 1:
                raise KeyboardInterrupt

        return fit(*args, **kwargs, on_epoch=stop)

    monkeypatch.setattr("shapsight.studies.shared.analysis.fit", interrupted)
    result = shapsight("debug", data, "--train-on", "red", "--out", tmp_path / "run", *QUICK)
    assert result.exit_code == 130
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "interrupted"
    assert load_bundle(tmp_path / "run" / "model").card.output_names == ("x", "y")


def test_a_failure_after_training_keeps_the_model(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object, **__: object) -> None:
        raise ShapsightError("the report could not be drawn")

    monkeypatch.setattr("shapsight.studies.debug.study.debug_page", fail)
    result = shapsight("debug", data, "--train-on", "red", "--out", tmp_path / "run", *QUICK)
    assert result.exit_code == 1
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "failed"
    assert load_bundle(tmp_path / "run" / "model").card.output_names == ("x", "y")


def test_help_needs_no_torch():
    code = """
import sys
sys.argv = ["shapsight", "--help"]
try:
    from shapsight.cli import main
    main()
except SystemExit:
    print(sorted({"torch", "pandas", "matplotlib"} & set(sys.modules)))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip().endswith("[]")
    assert "debug" in result.stdout
