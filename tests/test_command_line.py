"""What all commands have in common: a project's file, answers as JSON, exit codes, and `doctor`."""

import json
import shutil
from importlib import metadata
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from typer.main import get_command
from typer.testing import CliRunner

import shapsight as ss
from shapsight.cli import COMMANDS as NAMES
from shapsight.cli import app
from shapsight.cli.project_file import defaults_of, typed
from shapsight.errors import SettingError
from shapsight.studies.doctor import study as doctor_study

COMMANDS = {name: get_command(app).commands[name] for name in NAMES}


def ask(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def project(folder, text):
    (folder / "shapsight.toml").write_text(text, encoding="utf-8")
    return folder / "shapsight.toml"


def test_keys_at_the_top_go_to_all_commands_that_have_them_and_a_table_goes_first(tmp_path):
    found = defaults_of(
        project(
            tmp_path, 'data = "photos"\nroi = "below:112"\nseed = 1\n[train]\nseed = 2\nimage-size = 64\n'
        ),
        COMMANDS,
    )
    assert found["train"] == {"data": "photos", "roi": "below:112", "seed": 2, "image_size": 64}
    assert found["check"] == {"data": "photos", "seed": 1}
    assert found["diagnose"] == {"roi": "below:112", "seed": 1}  # a run has a dataset of its own


def test_with_a_model_the_data_take_the_place_of_the_run(tmp_path):
    found = defaults_of(project(tmp_path, 'data = "photos"\nmodel = "mine:bundle"\n'), COMMANDS)
    assert found["evaluate"] == {"run": "photos", "model": "mine:bundle"}
    assert found["train"] == {"data": "photos"}


def test_lists_become_commas_or_repeated_options_and_options_go_by_their_flags_names(tmp_path):
    text = '[cure]\ntry = ["flip", "light"]\nscale = ["x=half", "y=half"]\n[train]\njitter = false\n'
    found = defaults_of(project(tmp_path, text), COMMANDS)
    assert found["cure"] == {"recipes": "flip,light", "scale": ["x=half", "y=half"]}
    assert typed(COMMANDS["cure"], found["cure"]) == [
        "--try",
        "flip,light",
        "--scale",
        "x=half",
        "--scale",
        "y=half",
    ]
    assert typed(COMMANDS["train"], found["train"]) == ["--no-jitter"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rio = 3", "did you mean roi"),
        ("[trian]\nseed = 1", "no command 'trian': did you mean train"),
        ("[train]\nimages = 3", r"\[train\] has no option 'images'"),
        ("roi = {a = 1}", "there is no command 'roi'"),
        ("roi = [[1]]", "it takes a text"),
        ("roi = [", "cannot be read"),
    ],
)
def test_a_project_file_that_is_wrong_is_refused_with_what_was_meant(tmp_path, monkeypatch, text, said):
    with pytest.raises(SettingError, match=said):
        defaults_of(project(tmp_path, text), COMMANDS)
    monkeypatch.chdir(tmp_path)
    assert ask("check", tmp_path).exit_code == 1


@pytest.fixture
def folder_of_images(tmp_path):
    """Two environments of two images each."""
    for room in ("hall", "lockers"):
        (tmp_path / "photos" / room).mkdir(parents=True)
        for number in range(2):
            pixels = np.random.default_rng(number).integers(256, size=(40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / room / f"{10 + number}_20_{room}.png")
    return tmp_path / "photos"


def test_a_command_takes_options_from_the_file_says_so_and_what_is_typed_goes_first(
    tmp_path, monkeypatch, folder_of_images
):
    monkeypatch.chdir(tmp_path)
    project(tmp_path, f'data = "{folder_of_images.as_posix()}"\ntrain-on = "hall"\n')
    found = ask("check", "--json")
    assert found.exit_code == 0, found.output
    assert "From shapsight.toml:" in found.stderr and "--train-on hall" in found.stderr
    answer = json.loads(found.stdout)
    assert answer["tables"]["checks"] and answer["left_out"] == []
    wrong = ask("check", "--train-on", "nowhere")
    assert (
        wrong.exit_code == 1 and "nowhere" in wrong.stderr and "--train-on" not in wrong.stderr.split("\n")[0]
    )


def test_init_writes_what_is_in_a_dataset_into_a_file_that_commands_read(
    tmp_path, monkeypatch, folder_of_images
):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(folder_of_images, tmp_path / 'my "photos"')
    assert ask("init", 'my "photos"').exit_code == 0
    found = defaults_of(tmp_path / "shapsight.toml", COMMANDS)
    assert found["train"] == {"data": 'my "photos"', "train_on": "hall"}
    assert "environments: hall 2, lockers 2" in (tmp_path / "shapsight.toml").read_text(encoding="utf-8")
    again = ask("init")
    assert again.exit_code == 1 and "--overwrite" in again.stderr
    assert ask("init", "--overwrite").exit_code == 0
    assert not any(defaults_of(tmp_path / "shapsight.toml", COMMANDS).values())


def test_doctor_says_versions_and_memory_and_that_all_is_well_here():
    found = ask("doctor", "--json")
    assert found.exit_code == 0, found.output
    rows = {row["what"]: row for row in json.loads(found.stdout)["tables"]["checkup"]}
    assert f"torch {torch.__version__.split('+')[0]}" in rows["libraries"]["found"]
    assert " GB free of " in rows["memory"]["found"]


def test_doctor_names_what_is_missing_and_how_to_get_it(monkeypatch):
    real = metadata.version

    def version(name):
        if name in ("lightning", "safetensors"):
            raise metadata.PackageNotFoundError(name)
        return "0.1" if name == "numpy" else real(name)

    monkeypatch.setattr(doctor_study.metadata, "version", version)
    monkeypatch.setattr(
        doctor_study.psutil, "virtual_memory", lambda: SimpleNamespace(available=1e9, total=4e9)
    )
    checkup = ss.doctor()
    rows = {row["what"]: row for row in checkup.table.to_dict("records")}
    assert rows["safetensors"]["found"] == "missing" and rows["safetensors"]["do"].startswith(
        "pip install 'safetensors>="
    )
    assert rows["numpy"]["state"] == "problem" and rows["numpy"]["found"] == "0.1"
    assert rows["extra train"]["do"] == "pip install 'shapsight[train]'"
    assert rows["memory"]["state"] == "problem"
    assert not checkup.is_well and checkup.headline.startswith("3 of ")
    assert ask("doctor").exit_code == 1


def test_doctor_of_a_checkout_that_is_only_on_the_path_says_so(monkeypatch):
    real = doctor_study.metadata.version

    def version(name: str) -> str:
        if name == "shapsight":
            raise doctor_study.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(doctor_study.metadata, "version", version)
    found = ss.doctor().table.set_index("what")
    assert found.loc["shapsight", "found"].startswith("on the path but not installed")
    assert "libraries" not in found.index
