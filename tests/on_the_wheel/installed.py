"""The wheel as people get it: alone in an environment, used from a folder that has no checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest
from environment import empty, install
from packaging.requirements import Requirement

CHECKOUT = Path(__file__).parents[2]
EXPLAINED = """
import torch, shapsight as ss
network = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(72, 2))
images = torch.rand(3, 3, 8, 8)
explanation = ss.DeepShap(network, images[:2])(images[2:])
explanation.plot().savefig("first.png")
assert explanation.completeness_gap.abs().max() < 1e-5
"""
EVERY_NAME = """
import shapsight
for name in shapsight.__all__:
    try:
        getattr(shapsight, name)
    except shapsight.ShapsightError as error:
        print(name, error)
"""


@pytest.fixture(scope="session")
def release(tmp_path_factory) -> Path:
    """The folder of a source distribution, and of the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("release")
    subprocess.run([sys.executable, "-m", "build", "--outdir", str(folder), str(CHECKOUT)], check=True)
    return folder


@pytest.fixture(scope="session")
def wheel(release) -> Path:
    (wheel,) = release.glob("*.whl")
    return wheel


def asked_by(wheel: Path, extras: str) -> list[Requirement]:
    """What the wheel says that it needs, with some extras."""
    with zipfile.ZipFile(wheel) as file:
        (name,) = [name for name in file.namelist() if name.endswith(".dist-info/METADATA")]
        lines = message_from_bytes(file.read(name)).get_all("Requires-Dist")
    needs = [Requirement(line) for line in lines]
    wanted = ["", *extras.split(",")]
    return [
        need for need in needs if not need.marker or any(need.marker.evaluate({"extra": e}) for e in wanted)
    ]


class User:
    """Someone who has installed the wheel, at work in a folder of their own."""

    def __init__(self, wheel: Path, folder: Path, extras: str = "") -> None:
        self.folder = folder / "work"
        self.folder.mkdir()
        self.bin = empty(folder / "environment", asked_by(wheel, extras)) / "bin"
        assert "No module named 'shapsight'" in self.runs("python", "-c", "import shapsight", code=1)
        assert "No module named 'pytest'" in self.runs("python", "-c", "import pytest", code=1)
        install(wheel, folder / "environment")

    def runs(self, *command: str, code: int = 0) -> str:
        """What a command prints."""
        others = {
            name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST"))
        }
        found = subprocess.run(
            [self.bin / command[0], *command[1:]],
            cwd=self.folder,
            env={**others, "COLUMNS": "200"},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        assert found.returncode == code, found.stdout
        return found.stdout


@pytest.fixture(scope="module")
def explaining(wheel, tmp_path_factory) -> User:
    """With the core alone."""
    return User(wheel, tmp_path_factory.mktemp("core"))


@pytest.fixture(scope="module")
def training(wheel, tmp_path_factory) -> User:
    """As the first page of the documentation says."""
    return User(wheel, tmp_path_factory.mktemp("trains"), "train,diagnose")


def test_the_wheel_holds_every_file_of_the_package_and_no_other(wheel):
    listed = subprocess.run(
        ["git", "ls-files", "src"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    with zipfile.ZipFile(wheel) as file:
        inside = {f"src/{name}" for name in file.namelist() if ".dist-info/" not in name}
    assert inside == set(listed.stdout.split())


def test_the_core_explains_and_says_what_is_missing_for_more(wheel, explaining):
    version = wheel.name.split("-")[1]
    assert explaining.runs("shapsight", "--version") == f"shapsight {version}\n"
    assert explaining.runs("python", "-m", "shapsight", "--version") == f"shapsight {version}\n"
    said = explaining.runs("shapsight", "doctor")
    assert "pip install 'shapsight[train]'" in said and version in said
    explaining.runs("python", "-W", "error", "-c", EXPLAINED)
    assert (explaining.folder / "first.png").is_file()


def test_every_public_name_is_there_but_the_one_that_needs_lightning(explaining, training):
    (missing,) = explaining.runs("python", "-c", EVERY_NAME).splitlines()
    assert missing.startswith("ShapCallback ") and "pip install 'shapsight[train]'" in missing
    assert training.runs("python", "-c", EVERY_NAME) == ""


def test_the_core_alone_names_the_extra_that_the_demo_needs(explaining):
    assert "pip install 'shapsight[train]'" in explaining.runs("shapsight", "demo", "--quick", code=1)
    assert not (explaining.folder / "runs" / "demo").exists()


def test_the_demo_is_told_to_its_end(training):
    said = training.runs("shapsight", "demo", "--quick")
    assert "swap-scene" in said
    assert (training.folder / "runs" / "demo" / "report.html").is_file()


@pytest.mark.parametrize("page", ["README.md", "docs/start.md"])
def test_the_python_of_a_first_page_runs_as_it_is_copied(page, training):
    reader = Path(__file__).with_name("reader.py")
    training.runs("python", str(reader), str(CHECKOUT / page))
