"""The explainers and commands on a device in software, each file in a process of its own.

The device is made known to all of torch, which then moves parameters and picks devices otherwise: no other test may
share its process.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "on_a_device"


@pytest.mark.parametrize("name", ["explainers", "commands", "waits"])
def test_everything_runs_on_a_device_without_float64(name: str):
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        str(FOLDER / f"{name}.py"),
    ]
    plain = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    found = subprocess.run(command, capture_output=True, text=True, check=False, env=plain)
    assert found.returncode == 0, found.stdout[-6000:] + found.stderr[-2000:]
    assert " passed" in found.stdout.splitlines()[-1]
