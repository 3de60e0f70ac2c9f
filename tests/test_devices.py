"""--device means the same everywhere, and a wrong one is one sentence before any work."""

import inspect

import pytest
import torch
from typer.testing import CliRunner

from discs import write_discs
from shapsight.cli import app
from shapsight.errors import ModelError
from shapsight.models.devices import chosen_device


def shapsight(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    folder = tmp_path_factory.mktemp("devices")
    for number, room in enumerate(("red", "green")):
        write_discs(folder / "data" / room, 8, seed=number)
    common = ["--arch", "small_cnn", "--epochs", 1, "--references", 2, "--device", "cpu"]
    result = shapsight("train", folder / "data", "--out", folder / "run", *common)
    assert result.exit_code == 0, result.output
    return folder


@pytest.mark.parametrize("device", ["toaster", "cuda:99", "mps:7", "meta"])
@pytest.mark.parametrize(
    "command", ["train", "debug", "evaluate", "diagnose", "cure", "explain", "demo", "compare"]
)
def test_a_device_that_is_not_there_is_one_sentence_and_leaves_nothing(places, tmp_path, command, device):
    subject = {
        "train": ["data"],
        "debug": ["data"],
        "demo": [],
        "explain": ["run", "data"],
        "compare": ["run", "run"],
    }.get(command, ["run"])
    given = [places / name for name in subject]
    result = shapsight(command, *given, "--device", device, "--out", tmp_path / "out")
    assert result.exit_code == 1, result.output
    assert f"--device {device} is not to be had here" in " ".join(result.stderr.split())
    assert list(tmp_path.iterdir()) == []


def test_every_command_chooses_the_device_by_itself_unless_told():
    defaults = {
        name: parameter.default
        for name, command in ((c.name or c.callback.__name__, c.callback) for c in app.registered_commands)
        if (parameter := inspect.signature(command).parameters.get("device"))
    }
    assert len(defaults) == 8
    assert set(defaults.values()) == {"auto"}


def test_auto_is_the_accelerator_where_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: None)
    assert chosen_device("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: torch.device("mps"))
    assert chosen_device("auto") == torch.device("mps")
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: torch.device("xpu"))
    assert chosen_device("auto") == torch.device("cpu")  # Lightning does not train there
    with pytest.raises(ModelError, match="There are auto, cpu"):
        chosen_device("tpu")
