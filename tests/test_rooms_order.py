"""The order of the rooms: each uses only those below it, so a reader of one needs none above."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import shapsight

HOUSE = Path(shapsight.__file__).parent
ROOMS = (
    "errors",
    "data",
    "models",
    "drawing",
    "attribution",
    "store",
    "diagnosis",
    "report",
    "studies",
    "compat",
    "cli",
)
PUBLIC = ("maskers", "remedies", "targets", "trees")  # names of what lies in a room, imported by nobody here


def room_of(dotted: str) -> str:
    return dotted.split(".")[1].split("_")[0]


def top_of(path: Path) -> str:
    return path.relative_to(HOUSE).parts[0].removesuffix(".py").split("_")[0]


def imports_in(path: Path) -> list[tuple[int, str]]:
    """What a file imports of ours, also inside of functions: the line and the dotted name."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found += [(node.lineno, name) for name in names if name.startswith("shapsight.")]
    return found


def files_of(room: str) -> list[Path]:
    return [
        path
        for path in HOUSE.rglob("*.py")
        if room_of(f".{path.relative_to(HOUSE).parts[0]}") in (room, f"{room}.py")
    ]


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_from_no_room_above_it(room: str) -> None:
    files = files_of(room)
    assert files, f"there is no room {room}"
    above = ROOMS[ROOMS.index(room) + 1 :]
    wrong = [
        f"{path.relative_to(HOUSE)}:{line} imports {name}"
        for path in files
        for line, name in imports_in(path)
        if room_of(name) in above
    ]
    assert not wrong, "\n".join(wrong)


def test_every_file_belongs_to_a_room() -> None:
    tops = {
        path.relative_to(HOUSE).parts[0].removesuffix(".py").split("_")[0] for path in HOUSE.rglob("*.py")
    }
    assert tops - {""} == {*ROOMS, *PUBLIC}


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_module_is_imported_by_its_public_name(name: str) -> None:
    module = importlib.import_module(f"shapsight.{name}")
    assert module is getattr(shapsight, name) and module.__all__
    assert all(hasattr(module, public) for public in module.__all__)


def test_no_study_imports_from_the_inside_of_another() -> None:
    """Only `study.py` of another study is called; what two need lies in `shared` or `tasks`.

    The demo is a story told with the pieces of the others.
    """
    wrong = []
    for path in (HOUSE / "studies").rglob("*.py"):
        own = path.relative_to(HOUSE / "studies").parts[0]
        for line, name in imports_in(path):
            parts = name.split(".")
            if (
                parts[1] != "studies"
                or len(parts) < 4
                or parts[2] in (own, "shared", "tasks")
                or own == "demo"
            ):
                continue
            if parts[3] != "study":
                wrong.append(f"{path.relative_to(HOUSE)}:{line} imports {name}")
    assert not wrong, "\n".join(wrong)


IMPORT_EACH_FIRST = """
import sys
for name in sys.argv[1:]:
    for ours in [module for module in sys.modules if module.startswith("shapsight")]:
        del sys.modules[ours]
    try:
        __import__(name)
    except Exception as error:
        print(name, error)
"""


def test_every_module_can_be_the_first_that_is_imported() -> None:
    names = [
        ".".join(("shapsight", *path.relative_to(HOUSE).with_suffix("").parts)).removesuffix(".__init__")
        for path in sorted(HOUSE.rglob("*.py"))
        if top_of(path) in ("drawing", "attribution", "diagnosis", "report", "studies")
    ]
    command = [sys.executable, "-W", "ignore", "-c", IMPORT_EACH_FIRST, *names]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout == ""
